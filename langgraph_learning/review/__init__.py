"""What people say about learnings: decisions, instructions, feedback, replays."""
