"""How well a model learns with the package: conversations, and the edits that should come of them."""
