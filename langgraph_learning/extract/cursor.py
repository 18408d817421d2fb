"""The cursor of a thread: fingerprints of the messages that were already learnt from."""

CURSOR_SIZE = 4_000
"""How many marks of messages a thread's cursor holds: the oldest are dropped, long after anyone sends them again."""
