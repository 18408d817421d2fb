"""Reviewers' decisions, versions of instructions, users' feedback, and replays of turns."""
