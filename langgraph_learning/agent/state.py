"""The channels that the loop adds to a graph's state."""

from collections.abc import Sequence
from typing import Annotated, Any, NotRequired, Self, TypedDict

from langchain.agents.middleware.types import AgentState, OmitFromInput, PrivateStateAttr
from langchain_core.messages import AnyMessage
from langgraph.channels import LastValue, UntrackedValue

from langgraph_learning.agent.run_context import TurnStart
from langgraph_learning.core.langgraph_compat import read_surrounding_channels
from langgraph_learning.core.speakers import Origin, find_origin
from langgraph_learning.extract.result import ExtractionResult
from langgraph_learning.recall.context import AgentContext
from langgraph_learning.stores.base import Recalled


class LastNonEmpty(LastValue[list[str]]):
    """A channel that an empty list empties, so that its key is in the state only if there is something to report."""

    def from_checkpoint(self, checkpoint: list[str]) -> Self:
        """Return the channel of a saved thread."""
        channel = super().from_checkpoint(checkpoint)
        channel._drop_empty_list()
        return channel

    def update(self, values: Sequence[list[str]]) -> bool:
        """Take the value of a step."""
        changed = super().update(values)
        self._drop_empty_list()
        return changed

    def _drop_empty_list(self) -> None:
        if self.is_available() and not self.value:
            self.value = type(self)(self.typ, self.key).value


class OriginChannel(UntrackedValue[Origin]):
    """A channel that holds the user's messages in the run around a nested one; empty in an outermost run.

    It is filled when a run starts: then the graph around is still within reach, which no node of the run reaches.
    """

    def from_checkpoint(self, checkpoint: Origin) -> Self:
        """Return the channel of a run that starts."""
        channel = super().from_checkpoint(checkpoint)
        surrounding = read_surrounding_channels()
        if surrounding is not None:
            channel.value = find_origin(surrounding)
        return channel


class LearningState(TypedDict, total=False):
    """The channels of the loop. LangGraph adds them to a graph's state when the nodes are added.

    Untracked channels are never saved, so they hand objects from step to step as they are.
    """

    # A plain channel gives way to the reducer that the graph itself declares for its messages.
    messages: list[AnyMessage]
    learning_turn: Annotated[TurnStart, UntrackedValue]
    learning_origin: Annotated[Origin, OriginChannel]
    learning_recalled: Annotated[Recalled, UntrackedValue]
    # After an interrupt several nodes may build it anew in one step.
    learning_context: Annotated[AgentContext, UntrackedValue(AgentContext, guard=False)]
    learning_lesson: Annotated[ExtractionResult, UntrackedValue]
    learning_session: list[dict[str, Any]]
    learning_speakers: dict[str, str | None]
    learning_times: dict[str, str]
    learning_threads: list[str]
    learning_errors: Annotated[list[str], LastNonEmpty]
    learning_proposed: list[str]


UNSAVED_CHANNELS = ("learning_turn", "learning_origin", "learning_recalled", "learning_context", "learning_lesson")
"""Channels that live for one run and are streamed to nobody."""


class LearningAgentState(AgentState[Any]):
    """The same channels for an agent made by `create_agent`: private to the middleware, except for the errors."""

    learning_turn: NotRequired[Annotated[TurnStart, UntrackedValue, PrivateStateAttr]]
    learning_origin: NotRequired[Annotated[Origin, OriginChannel, PrivateStateAttr]]
    learning_context: NotRequired[Annotated[AgentContext, UntrackedValue, PrivateStateAttr]]
    learning_session: NotRequired[Annotated[list[dict[str, Any]], PrivateStateAttr]]
    learning_speakers: NotRequired[Annotated[dict[str, str | None], PrivateStateAttr]]
    learning_times: NotRequired[Annotated[dict[str, str], PrivateStateAttr]]
    learning_threads: NotRequired[Annotated[list[str], PrivateStateAttr]]
    learning_errors: NotRequired[Annotated[list[str], LastNonEmpty, OmitFromInput]]
