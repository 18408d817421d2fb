"""A database in which the tables of the queue are made already."""

import pytest
from langgraph.checkpoint.postgres import PostgresSaver
from people import INDEX

from langgraph_learning.background.queue import Queue
from langgraph_learning.core.flow import drive
from langgraph_learning.postgres import HybridPostgresStore


def set_up_queue(url):
    """Make the tables of the stores, the checkpointer and the queue."""
    with HybridPostgresStore.from_conn_string(url, index=INDEX, search_mode="hybrid") as store:
        store.setup()
        drive(Queue("learning").set_up(store), store)
    with PostgresSaver.from_conn_string(url) as saver:
        saver.setup()


@pytest.fixture
def database_url(databases):
    """Give the URL of a new database with all tables."""
    with databases.copy("queue", set_up_queue) as url:
        yield url
