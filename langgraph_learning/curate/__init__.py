"""Housekeeping of learnings: merging duplicates, settling contradictions, archiving what is unused or harmful."""
