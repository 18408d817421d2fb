"""Graph in which a person approves, corrects or rejects the learning agent's proposals, in Studio or through the SDK.

A run pauses with the pending proposals that this person may read, each with the message it is based on. When it is
resumed with their verdicts, even after a restart, it carries them out in that person's name.
"""

from graphs.learning_agent import machine

graph = machine.nodes.review.graph
