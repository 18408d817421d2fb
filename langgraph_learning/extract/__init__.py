"""The second half of a turn: what a conversation teaches, in whose words, as checked edits."""
