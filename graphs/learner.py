"""Graph that learns for runs of the agent, on threads of its own: with LEARN=server, in graphs/learning_agent.py.

It runs as the user of the chat, and reads from the chat's thread what it has to learn from.
"""

from graphs.learning_agent import machine

graph = machine.nodes.learner
