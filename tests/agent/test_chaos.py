"""Many turns while the database goes away, the network stalls and the embedding model fails: nothing is lost or doubled."""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from langchain.agents import create_agent
from langgraph.checkpoint.memory import InMemorySaver
from people import ALEX, echo, machine, notes_what_users_say, said, thread
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from langgraph_learning import UserMemory
from langgraph_learning.postgres import HybridPostgresStore
from langgraph_learning.testing import HashEmbeddings

TURNS, LIMIT = 200, 2.0
GRACE = 5.0
"""Seconds beside the limit for the agent itself, and for what a busy machine does."""


class Proxy:
    """Stands between a store and its server: lets all through, refuses everything, or stalls."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._connections: list[socket.socket] = []
        self._passing = threading.Event()
        self._passing.set()
        self._refusing = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def refuse(self) -> None:
        """End all connections, and take no new ones."""
        self._refusing = True
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._connections.clear()

    def stall(self) -> None:
        """Keep connections, and pass nothing on."""
        self._passing.clear()

    def recover(self) -> None:
        """Let all through again."""
        self._refusing = False
        self._passing.set()

    def close(self) -> None:
        """End."""
        self.recover()
        self.refuse()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._refusing:
                client.close()
                continue
            server = self._connect()
            self._connections += [client, server]
            for source, target in ((client, server), (server, client)):
                threading.Thread(target=self._pass_on, args=(source, target), daemon=True).start()

    def _connect(self) -> socket.socket:
        parts = conninfo_to_dict(self._server)
        host, port = str(parts["host"]), int(parts.get("port") or 5432)
        if not host.startswith("/"):
            return socket.create_connection((host, port))
        server = socket.socket(socket.AF_UNIX)
        server.connect(f"{host}/.s.PGSQL.{port}")
        return server

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                self._passing.wait()
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


class Unreliable(HashEmbeddings):
    """An embedding model that fails one call in three, while it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.random = Random(7)
        self.failing = True

    def embed_query(self, text: str) -> list[float]:
        """Fail, or embed."""
        if self.failing and self.random.random() < 1 / 3:
            raise ConnectionError("the embedding service is down")
        return super().embed_query(text)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Fail, or embed."""
        if self.failing and self.random.random() < 1 / 3:
            raise ConnectionError("the embedding service is down")
        return [HashEmbeddings.embed_query(self, text) for text in texts]


@pytest.fixture
def proxy(database_url: str) -> Iterator[Proxy]:
    """Give a proxy before the database of the test."""
    between = Proxy(database_url)
    yield between
    between.close()


@pytest.mark.long
@pytest.mark.parametrize("world", ["sync", "async"])
def test_every_answer_arrives_and_every_learning_is_there_once(database_url, proxy, world):
    """The network ends all connections at turn 50, stalls at turn 100, and recovers ten turns or ten seconds later."""
    embed = Unreliable()
    url = make_conninfo(**{**conninfo_to_dict(database_url), "host": "127.0.0.1", "port": proxy.port})
    index = {"dims": embed.dims, "embed": embed, "fields": ["text"]}
    store = HybridPostgresStore(url, index=index, search_mode="hybrid")
    store.setup()
    learning = machine(
        notes_what_users_say, [UserMemory(limit=500)], store=store, on_error="report", store_timeout=LIMIT
    )
    agent = create_agent(echo(), [], middleware=[learning.middleware()], store=store, checkpointer=InMemorySaver())
    waits, reported = [], 0

    async def turn(text: str) -> Any:
        arguments = said(text), thread("t")
        if world == "async":
            return await agent.ainvoke(*arguments, context=ALEX)
        return await asyncio.to_thread(agent.invoke, *arguments, context=ALEX)

    async def conversation() -> None:
        nonlocal reported
        recovers: float | None = None
        for number in range(TURNS):
            if number in (TURNS // 4, TURNS // 2):
                (proxy.refuse if number == TURNS // 4 else proxy.stall)()
                recovers = time.monotonic() + 10
            if recovers and time.monotonic() > recovers:
                proxy.recover()
                recovers = None
            started = time.monotonic()
            result = await turn(f"Fact number {number}")
            waits.append(time.monotonic() - started)
            assert f"You said: Fact number {number}" == result["messages"][-1].text
            reported += bool(result.get("learning_errors"))
        proxy.recover()
        embed.failing = False
        for number in range(4):  # one extraction reads so much and no more
            last = await turn(f"And {number}")
        assert not last.get("learning_errors")
        await store.aclose()

    asyncio.run(conversation())
    with HybridPostgresStore(database_url) as direct:
        items = [item.value["text"] for item in direct.search(("learnings",), limit=2_000) if "text" in item.value]
    facts = sorted(text for text in items if text.startswith("Fact"))

    assert max(waits) < LIMIT + GRACE
    assert reported
    assert sorted(f"Fact number {number}" for number in range(TURNS)) == facts
