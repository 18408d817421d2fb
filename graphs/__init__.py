"""What `langgraph.json` serves."""
