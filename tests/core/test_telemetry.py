"""Spans and metrics say how long it took and what came of it, and nobody's words."""

import subprocess
import sys

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.memory import InMemoryStore
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from people import ALEX, echo, machine, notes_what_users_say, said, thread

EXPORTER = InMemorySpanExporter()
PROVIDER = TracerProvider()
PROVIDER.add_span_processor(SimpleSpanProcessor(EXPORTER))
trace.set_tracer_provider(PROVIDER)  # a process has one


@pytest.fixture
def spans():
    """Give a function that returns the spans until now, by name."""
    EXPORTER.clear()
    return lambda: {span.name: span for span in EXPORTER.get_finished_spans()}


def test_a_turn_has_a_span_for_each_step(spans):
    """With numbers, and without texts and users."""
    learning = machine(notes_what_users_say, store=InMemoryStore())
    agent = learning.wrap(echo(), checkpointer=InMemorySaver())
    agent.invoke(said("I like tea"), thread("a"), context=ALEX)
    found = spans()

    assert {"learning.recall", "learning.extract", "learning.update"} == set(found)
    assert (1, "default") == (
        found["learning.extract"].attributes["learning.calls"],
        found["learning.extract"].attributes["learning.tenant"],
    )
    assert not [span for span in found.values() if "tea" in str(span.attributes) or "alex" in str(span.attributes)]


def test_a_failure_is_named_in_its_span(spans):
    """By the kind of the error: its message may hold somebody's words."""
    learning = machine([ConnectionError("tea")], store=InMemoryStore(), on_error="report")
    agent = learning.wrap(echo(), checkpointer=InMemorySaver())
    agent.invoke(said("I like tea"), thread("a"), context=ALEX)

    assert "ConnectionError" == spans()["learning.extract"].attributes["learning.failure"]


def test_nothing_needs_opentelemetry():
    """Without its package, everything works."""
    program = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "from langgraph_learning.core.telemetry import measure, count_tokens_used\n"
        "with measure('recall', tenant='t') as m: m.note(learnings=1)\n"
        "count_tokens_used('t', 1, 2)\n"
        "print(m.attributes['learnings'])"
    )
    assert "1\n" == subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
