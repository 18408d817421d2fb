"""Graph that curates the learnings of the tenant of the user who runs it, by hand or at night by a cron.

Its input is empty, or `dry_run` to get the report without changes. Its output is a `report`, and `told`, the same as
text. Both contain statements of users of the tenant: graphs/auth.py decides who `curates`.
"""

from graphs.learning_agent import machine

graph = machine.nodes.curator
