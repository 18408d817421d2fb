"""Telemetry: spans and metrics of OpenTelemetry, if its API is installed (extra `otel`); otherwise nothing."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

try:
    from opentelemetry import metrics, trace
except ImportError:
    _INSTALLED = False
else:
    _INSTALLED = True

SCOPE = "langgraph_learning"


class Measurement:
    """What is known of an operation when it ends. No texts and no users: telemetry often leaves the house."""

    def __init__(self, attributes: Mapping[str, Any]) -> None:
        self.attributes = dict(attributes)

    def note(self, **attributes: Any) -> None:
        """Add attributes."""
        self.attributes |= attributes


@contextmanager
def measure(operation: str, **attributes: Any) -> Iterator[Measurement]:
    """Make a span of a block, and count its duration by operation, tenant and outcome.

    The span is not the current one inside: a flow may be continued in another thread.
    """
    measurement = Measurement(attributes)
    if not _INSTALLED:
        yield measurement
        return
    span = trace.get_tracer(SCOPE).start_span(f"learning.{operation}")
    started, outcome = time.monotonic(), "ok"
    try:
        yield measurement
    except Exception as error:
        outcome = type(error).__name__
        span.set_status(trace.StatusCode.ERROR, outcome)
        raise
    finally:
        for name, value in measurement.attributes.items():
            span.set_attribute(f"learning.{name}", value)
        span.end()
        labels = {"operation": operation, "outcome": outcome, "tenant": str(attributes.get("tenant", ""))}
        _durations().record(time.monotonic() - started, labels)


def count_tokens_used(tenant: str, input_tokens: int, output_tokens: int) -> None:
    """Count tokens of extractions."""
    if _INSTALLED:
        _tokens().add(input_tokens, {"tenant": tenant, "direction": "input"})
        _tokens().add(output_tokens, {"tenant": tenant, "direction": "output"})


@cache
def _durations() -> Any:
    return metrics.get_meter(SCOPE).create_histogram("learning.duration", "s", "Duration of an operation")


@cache
def _tokens() -> Any:
    return metrics.get_meter(SCOPE).create_counter("learning.tokens", "{token}", "Tokens of extractions")
