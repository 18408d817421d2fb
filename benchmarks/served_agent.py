"""Agents that `benchmarks/server.py` lets `langgraph dev` serve: one for each way of learning, and one without."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benchmarks.background import agent_of, extractor
from langgraph_learning import LearningMachine, Schedule, UserMemory
from langgraph_learning.postgres import HybridPostgresStore

SECONDS = 3.0
"""Time that an extraction takes."""
QUIET = 1.0
"""Seconds after an answer from which on it is learnt from."""


def machine_that(learn: str) -> LearningMachine:
    """Return a machine that learns in one of the ways."""
    return LearningMachine(
        extractor(SECONDS),
        [UserMemory()],
        learn=learn,  # type: ignore[arg-type]  # the machine refuses any other name
        schedule=Schedule(quiet=QUIET),
    )


@asynccontextmanager
async def store() -> AsyncIterator[HybridPostgresStore]:
    """Open the store of the server."""
    async with HybridPostgresStore.from_conn_string(os.environ["DATABASE_URL"], search_mode="hybrid") as postgres_store:
        yield postgres_store


without = agent_of(None, None, None)
deferred, queue = (agent_of(machine_that(learn), None, None) for learn in ("deferred", "queue"))
_machine = machine_that("server")
server, learner = agent_of(_machine, None, None), _machine.nodes.learner
