"""The first half of a turn: what is found, and what the agent is shown of it."""
