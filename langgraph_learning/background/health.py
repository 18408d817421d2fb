"""Health endpoint: tells over HTTP whether a worker works, and what it did."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from langgraph_learning.background.worker import WorkerState


@contextmanager
def serve_health(state: WorkerState, host: str, port: int) -> Iterator[int]:
    """Answer every GET with the state of a worker: 200 if it works, 503 if not. Gives the port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(asdict(state), default=str).encode()
            self.send_response(200 if state.working else 503)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing: probes come every few seconds."""

    with ThreadingHTTPServer((host, port), Handler) as server:
        thread = Thread(target=server.serve_forever, name="langgraph-learning-health", daemon=True)
        thread.start()
        try:
            yield int(server.server_address[1])
        finally:
            server.shutdown()
            thread.join()
