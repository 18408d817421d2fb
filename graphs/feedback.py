"""Graph for feedback on answers from your own interface, run through the SDK as the user who gives it.

Its input is a `thread_id`, the `message_id` of an answer, a `verdict` ("up", "down" or what would have been right) and
optionally a `comment`. Its output has the keys of the learnings that `changed`, or the reason why it was `refused`.
"""

from graphs.learning_agent import machine

graph = machine.nodes.feedback
