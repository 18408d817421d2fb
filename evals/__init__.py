"""Evaluation of how well a model learns with the package: conversations, and the edits expected from them."""
