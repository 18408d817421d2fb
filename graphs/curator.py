"""Tidies up what was learnt in the tenant of whoever runs it: by hand, or at night by a cron.

Its input is nothing, or `dry_run` to be told only. Its answer is a `report`, and the same `told` for people. Both hold
what users of the tenant said: graphs/auth.py decides who `curates`.
"""

from graphs.learning_agent import machine

graph = machine.nodes.curator
