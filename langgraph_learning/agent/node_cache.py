"""Keys of node caches that keep one caller's answer from another."""

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from langgraph.config import get_config
from langgraph.types import CachePolicy

from langgraph_learning.agent.run_context import TURN_CHANNEL
from langgraph_learning.core.langgraph_compat import PregelNode, read_channel
from langgraph_learning.recall.context import AgentContext
from langgraph_learning.recall.injection import CHANNEL, current_context


class StateOfCaller(dict[str, Any]):
    """The input of a cached node, with a digest of the caller and of what the node is shown."""

    digest: str = ""


def separate_callers(node: PregelNode, policy: CachePolicy[Any]) -> dict[str, Any]:
    """Return the changes of a cached node that keep one caller's answer from another.

    A Send has no digest, nor has a run after an interrupt, or a state that is an object: nothing is cached for them.
    """
    if not isinstance(node.channels, list) or node.mapper is not None:
        return {"cache_policy": CachePolicy(key_func=lambda _: secrets.token_hex(), ttl=policy.ttl)}

    def with_digest(values: Mapping[str, Any]) -> StateOfCaller:
        state = StateOfCaller({key: value for key, value in values.items() if key not in (CHANNEL, TURN_CHANNEL)})
        state.digest = _digest(values.get(CHANNEL), values.get(TURN_CHANNEL))
        return state

    def key(state: Any) -> str:
        digest = getattr(state, "digest", "") or secrets.token_hex()
        return f"{digest}:{_key_text(policy, dict(state) if isinstance(state, StateOfCaller) else state)}"

    return {
        "channels": [*node.channels, CHANNEL, TURN_CHANNEL],
        "mapper": with_digest,
        "cache_policy": CachePolicy(key_func=key, ttl=policy.ttl),
    }


def key_by_context(policy: CachePolicy[Any]) -> CachePolicy[Any]:
    """Return the cache policy of a node in a graph inside the agent, where the context is known while it runs."""

    def key(state: Any) -> str:
        digest = _digest(current_context(), read_channel(get_config(), TURN_CHANNEL)) or secrets.token_hex()
        return f"{digest}:{_key_text(policy, state)}"

    return CachePolicy(key_func=key, ttl=policy.ttl)


def _key_text(policy: CachePolicy[Any], state: Any) -> str:
    key = policy.key_func(state)
    return key if isinstance(key, str) else key.hex()


def _digest(context: Any, turn: Any) -> str:
    """Return a digest of a caller and what the caller's agent is shown; empty if they are not known."""
    if not isinstance(context, AgentContext) or turn is None:
        return ""
    return hashlib.sha256(f"{replace(turn.caller, thread=None, now=None)!r}\0{context}".encode()).hexdigest()
