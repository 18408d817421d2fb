"""What may be written, and how it is taken back: policy, proposals, votes, forgetting, history."""
