"""What users say of answers, by a button in your own interface: the SDK runs this graph as the user who presses it.

Its input is a `thread_id`, the `message_id` of an answer, a `verdict` ("up", "down" or what would have been right) and,
if you like, a `comment`. Its answer holds the keys of the learnings that `changed`, or why it was `refused`.
"""

from graphs.learning_agent import machine

graph = machine.nodes.feedback
