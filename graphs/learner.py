"""Graph that takes over where the server could not learn from runs of the agent: with LEARN=server.

It runs as the user of the chat, on a thread of its own, and reads from the chat's thread what it has to learn from.
"""

from graphs.learning_agent import machine

graph = machine.nodes.learner
