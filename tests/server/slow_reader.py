"""SlowReader: a model that answers and extracts when a test allows it."""

import threading
from collections.abc import Sequence
from typing import Any

from langchain_core.messages import BaseMessage
from people import conversation, is_extraction


class SlowReader:
    """A model that answers "Good." and notes what users say; a test may hold up one call."""

    def __init__(self) -> None:
        self.reading, self.go_on, self.hold = threading.Event(), threading.Event(), ""
        self.holds_answers = False

    def __call__(self, messages: Sequence[BaseMessage]) -> Any:
        """Answer, or extract."""
        if not is_extraction(messages):
            if self.holds_answers:
                self._wait_at([messages[-1].text])
            return "Good."
        said = [(number, text) for number, speaker, text in conversation(messages) if speaker.startswith("user")]
        if not self.holds_answers:
            self._wait_at([text for _, text in said])
        return {
            "edits": [
                {"edit": "observation", "observation": text, "replaces": None, "message": number}
                for number, text in said
            ]
        }

    def pause_at(self, text: str, *, answer: bool = False) -> None:
        """Wait in the extraction of this text, or in the answer to it."""
        self.reading.clear()
        self.go_on.clear()
        self.hold, self.holds_answers = text, answer

    def resume(self) -> None:
        """Wait no more."""
        self.hold = ""
        self.go_on.set()

    def _wait_at(self, texts: Sequence[str]) -> None:
        if self.hold and any(self.hold in text for text in texts):
            self.reading.set()
            self.go_on.wait(60)
