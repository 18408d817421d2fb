"""What the learning agent proposes, shown to a person to approve, correct or reject, in Studio or by the SDK.

A run pauses with what waits where this person may read, each proposal with the message that it rests on. Resumed with
their verdicts, tomorrow or after a restart, it carries them out as that person's.
"""

from graphs.learning_agent import machine

graph = machine.nodes.review.graph
