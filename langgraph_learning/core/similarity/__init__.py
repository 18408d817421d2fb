"""Deterministic comparison of two statements: duplicates, contradictions and candidates for a closer look."""
