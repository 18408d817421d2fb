"""Types and functions that all packages share: learnings, records, scopes, settings, keys, texts, messages and flows.

Import from its modules; this one re-exports nothing.
"""
