"""Authentication and authorisation of the server.

Replace `authenticate` by a check of your tokens, and `person` by a look-up in your own system.

As it stands it cannot verify any identity, so it lets nobody in. To try the server on your own machine, name some users
and their teams in LEARNING_DEMO_USERS, such as "alex:acme,sam:acme,kim:other": then the token "alex" is accepted as
Alex. Anybody who reaches the port can send it: never set the variable where others can.

LEARNING_DEMO_CURATORS=alex allows one of them to run graphs/curator.py, by hand or by a cron.
LEARNING_DEMO_REVIEWERS=sam allows only that one to review shared proposals in graphs/review.py. Without it, all users
may review those of their teams.

The result of `person` decides what a run may see: the package takes `identity`, `tenant_id`, `team_ids` and `owners`
from it, and refuses a run whose context claims more. Threads, their runs and crons belong to the user who created them.
Users may read their own private items in the store; only the graphs write learnings.

A run may start, continue and resume a graph. Only the operator, which is Studio's user, may jump to a node of it
(`command.goto`), write into its state (`command.update`) or change the state of a thread (`as_node`).

The server itself authenticates Studio: by an API key of the workspace or, in `langgraph dev`, without one. Studio's
user has a memory and a team of its own, and reads nothing of others. Only if there are demo users may Studio act as one
of them, by naming them in the context, and read all items. To keep Studio out, set `disable_studio_auth` in
langgraph.json.
"""

import os
from collections.abc import Mapping
from typing import Any

from langgraph_sdk import Auth

from graphs.learning_agent import machine
from graphs.store import store
from langgraph_learning.core.scopes import Caller, LearningContext, Scope, apply_authentication

TENANT = "default"
STUDIO_TEAM = "studio"
NAMED = [part.strip().partition(":") for part in os.environ.get("LEARNING_DEMO_USERS", "").split(",")]
DEMO_USERS = {name: team for name, _, team in NAMED if name}
"""The team of every demo user."""
REVIEWERS = {name.strip() for name in os.environ.get("LEARNING_DEMO_REVIEWERS", "").split(",")} & set(DEMO_USERS)
"""The users who may review proposals of their teams; if empty, all users may."""
CURATORS = {name.strip() for name in os.environ.get("LEARNING_DEMO_CURATORS", "").split(",")} & set(DEMO_USERS)
"""The users who may curate the learnings of the whole tenant, and read the report: graphs/curator.py."""

auth = Auth()


@auth.authenticate
async def authenticate(authorization: str | None) -> dict[str, Any]:
    """Return the user who sends a request. Replace this: verify the token, and take identity and teams from it."""
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or token not in DEMO_USERS:
        raise Auth.exceptions.HTTPException(
            status_code=401,
            detail="This token belongs to no user. Write your own check in graphs/auth.py or, on your own machine "
            "only, name demo users in LEARNING_DEMO_USERS.",
        )
    return person(token)


def person(identity: str) -> dict[str, Any]:
    """Return tenant, teams and permissions of a user. Replace this by a look-up in your own system."""
    team = DEMO_USERS.get(identity, STUDIO_TEAM)
    teams = [team] if team else []
    may = {"reviews": not REVIEWERS or identity in REVIEWERS, "curates": identity in CURATORS}
    return {"identity": identity, "tenant_id": TENANT, "team_ids": teams, **may}


@auth.on
async def nothing_else(ctx: Auth.types.AuthContext, value: Any) -> bool:
    """Refuse everything that is not allowed below."""
    return False


@auth.on.threads
async def own_threads(ctx: Auth.types.AuthContext, value: dict[str, Any]) -> dict[str, str]:
    """Allow all users to create threads and runs, and to see their own."""
    return _restrict_to_owner(ctx, value)


@auth.on.threads.update
async def own_thread_updates(ctx: Auth.types.AuthContext, value: Auth.types.ThreadsUpdate) -> dict[str, str]:
    """Allow all users to change the metadata of their threads and to cancel their runs, but no state of a thread."""
    if value.get("metadata") is None and value.get("action") is None:
        _require_operator(ctx, "The state of a thread is changed by runs of its graph only.")
    return _restrict_to_owner(ctx, value)


@auth.on.threads.delete
async def own_thread_deletions(ctx: Auth.types.AuthContext, value: Any) -> dict[str, str]:
    """Allow all users to delete their threads, and delete the sessions of these threads in the store as well.

    The server checks whose thread it is after this; a session is deleted for a user who spoke in the thread only.
    """
    context = _authenticate_context({}, person(ctx.user.identity))
    async with store() as learnings:
        for thread in value.get("thread_ids") or [value["thread_id"]]:
            await machine.aforget_session(context, str(thread), store=learnings)
    return _restrict_to_owner(ctx, value)


@auth.on.crons
async def own_crons(ctx: Auth.types.AuthContext, value: dict[str, Any]) -> dict[str, str]:
    """Allow all users to create crons, and to see their own."""
    return _restrict_to_owner(ctx, value)


@auth.on.threads.create_run
async def own_runs(ctx: Auth.types.AuthContext, value: Auth.types.RunsCreate) -> dict[str, str]:
    """Allow all users to run graphs in their own threads as themselves, and Studio as a demo user that it names."""
    kwargs, identity = value["kwargs"], ctx.user.identity
    command = kwargs.get("command") or {}
    if any(command.get(name) for name in command if name != "resume"):
        _require_operator(ctx, "A run may resume a graph, not jump to one of its nodes or write into its state.")
    context = kwargs.get("context") or {}
    if isinstance(ctx.user, Auth.types.StudioUser) and context.get("user_id") in list(DEMO_USERS):
        identity = context["user_id"]
    # For Studio's user and for the user of a cron, the server knows only the identity.
    user = kwargs["config"]["configurable"]["langgraph_auth_user"] = person(identity)
    _authenticate_context(context, user)  # the run does the same, but here the error is a plain 403
    return _restrict_to_owner(ctx, value)


@auth.on.assistants
async def assistants(ctx: Auth.types.AuthContext, value: dict[str, Any]) -> bool:
    """Allow all users to use the assistants, and only Studio's user to create and change them."""
    return isinstance(ctx.user, Auth.types.StudioUser) or ctx.action in ("read", "search")


@auth.on.store
async def own_items(ctx: Auth.types.AuthContext, value: dict[str, Any]) -> bool:
    """Allow users to read their own private learnings, and nobody to write to the store directly."""
    if ctx.action not in ("get", "search", "list_namespaces"):
        return False
    if DEMO_USERS and isinstance(ctx.user, Auth.types.StudioUser):
        return True
    own = _private_namespace(ctx.user)
    asked = tuple(value["namespace"] or ())
    if ctx.action != "get" and asked == own[: len(asked)]:
        value["namespace"] = own  # a search above the user's own namespace is narrowed to it
        return True
    return asked[: len(own)] == own


def _require_operator(ctx: Auth.types.AuthContext, reason: str) -> None:
    if not isinstance(ctx.user, Auth.types.StudioUser):
        raise Auth.exceptions.HTTPException(status_code=403, detail=reason)


def _restrict_to_owner(ctx: Auth.types.AuthContext, value: Any) -> dict[str, str]:
    """Set the user as the owner in the metadata, and return it as a filter for what they may see."""
    owner = {"owner": ctx.user.identity}
    if value.get("metadata") is None:
        value["metadata"] = {}
    value["metadata"].update(owner)  # in place, because the server keeps using this mapping
    return owner


def _private_namespace(user: Any) -> tuple[str, ...]:
    """Return the namespace of a user's private learnings."""
    return Caller.of(_authenticate_context({}, user)).owner_namespace(Scope.USER)


def _authenticate_context(context: Mapping[str, Any], user: Any) -> LearningContext:
    """Return a run's context with the authenticated identity. Raises a 403 if the context claims more."""
    known = {name: value for name, value in context.items() if name in LearningContext.model_fields}
    try:
        return apply_authentication(LearningContext.model_validate(known), user)
    except ValueError as error:
        raise Auth.exceptions.HTTPException(status_code=403, detail=str(error)) from error
