"""Writes of learnings, and how they are taken back: write policy, proposals, promotion, votes, forgetting, history."""
