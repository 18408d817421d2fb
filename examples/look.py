"""Prints the items that an example has left in the store: `python examples/look.py three_sessions`."""

import sys
from itertools import groupby

from langgraph_learning.core.scopes import ROOT
from stage import open_store

with open_store() as store:
    namespaces = store.list_namespaces(prefix=(ROOT, *sys.argv[1:2]), limit=1_000)
    items = [item for namespace in namespaces for item in store.search(namespace, limit=1_000) if "text" in item.value]

for path, group in groupby(items, key=lambda item: "/".join(item.namespace[1:])):
    print(f"\n{path}")
    for item in sorted(group, key=lambda item: item.value["learned_at"]):
        print(f"  {item.created_at:%Y-%m-%d %H:%M}  {item.value['status']:<10}  {item.value['text']}")
