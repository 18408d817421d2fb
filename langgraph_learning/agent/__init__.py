"""The agent in the middle: the steps as nodes and as middleware, the agent's tools, and the graphs beside it."""
