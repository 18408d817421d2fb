"""Limits on one learning, one answer and one turn: what is over them is reported, and stops nothing else."""

MAX_TEXT_CHARS = 8_000
"""Characters of a learning's text: about 2,000 tokens, the default budget of the whole context. A longer one could
never be shown whole."""
MAX_DATA_CHARS = 32_000
"""Characters of a learning's fields as JSON: what is not part of the text is stored and read with it. Also of the text
of what code notes, such as whole messages."""
MAX_EDITS = 250
"""Edits of one answer: one for about 50 tokens of the conversation that an extraction reads by default. More are a
model that repeats itself, or a text that made it do so."""
MAX_CHUNKS = 4
"""Parts of a long conversation that are read in one turn. The next turn continues where this one stopped."""
MAX_FINGERPRINTS = 4_000
"""Fingerprints of messages in the cursor of a user. The oldest are dropped: a conversation that was read without a gap
up to some message is recognised by the fingerprint of all of it."""
MAX_REPORT_CHARS = 500
"""Characters of an edit that a report of its loss repeats, to the user and to the model."""
