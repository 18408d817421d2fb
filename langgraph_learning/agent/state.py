"""What the loop keeps in a graph's state."""

from typing import Annotated, Any, NotRequired, TypedDict

from langchain.agents.middleware.types import AgentState, OmitFromInput, PrivateStateAttr
from langchain_core.messages import AnyMessage
from langgraph.channels import UntrackedValue

Recalled = dict[str, list[dict[str, Any]]]


class LearningState(TypedDict, total=False):
    """The channels of the loop. They join a graph's state by themselves when the nodes are added."""

    # A plain channel gives way to the reducer that the graph itself declares for its messages.
    messages: list[AnyMessage]
    learning_recalled: Annotated[Recalled, UntrackedValue]
    learning_context: Annotated[dict[str, Any], UntrackedValue]
    learning_lesson: Annotated[dict[str, Any], UntrackedValue]
    learning_session: list[dict[str, Any]]
    learning_errors: list[str]
    learning_proposed: list[str]


class LearningAgentState(AgentState[Any]):
    """The same channels for an agent made by `create_agent`: private to the middleware, but for the errors."""

    learning_context: NotRequired[Annotated[dict[str, Any], UntrackedValue, PrivateStateAttr]]
    learning_session: NotRequired[Annotated[list[dict[str, Any]], PrivateStateAttr]]
    learning_errors: NotRequired[Annotated[list[str], OmitFromInput]]
