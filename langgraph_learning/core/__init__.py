"""The vocabulary of the package: learnings, scopes, keys, texts, records, and the flows that ask for them."""
