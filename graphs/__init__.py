"""Graphs, authentication and store that `langgraph.json` serves."""
