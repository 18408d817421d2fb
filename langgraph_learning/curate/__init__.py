"""Housekeeping of what was learnt: duplicates, contradictions, and what nobody uses."""
