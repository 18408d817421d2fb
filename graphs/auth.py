"""Who may do what on the server. Replace `authenticate` by a check of your tokens, and `person` by a look-up.

As it stands it proves nobody's identity, so it lets nobody in. To try the server on your own machine, name some people
and their teams in LEARNING_DEMO_USERS, such as "alex:acme,sam:acme,kim:other": then "Bearer alex" is taken for Alex.
Whoever reaches the port can say that: never set it where others do.

LEARNING_DEMO_CURATORS=alex lets one of them run graphs/curator.py, by hand or by a cron; LEARNING_DEMO_REVIEWERS=sam
lets only that one decide, in graphs/review.py, what counts for others. Without it everybody may, in their teams.

What a run may see follows from what is returned here: the package takes `identity`, `tenant_id`, `team_ids` and
`owners` from it, and refuses a run whose context claims more. Threads, their runs and crons belong to whoever made
them. Of the raw items a user may read their own private ones; learnings are written by learning alone.

Studio is let in by the server itself: by an API key of the workspace or, by `langgraph dev`, without any. Its user is
a person with a memory and a team of their own, and reads nobody else's. Only where there are demo users may Studio
speak for one of them, by naming them in the context, and look at all items. To keep Studio out, set
`disable_studio_auth` in langgraph.json.
"""

import os
from collections.abc import Mapping
from typing import Any

from langgraph_sdk import Auth

from langgraph_learning.core.scopes import Caller, LearningContext, Scope, apply_authentication

TENANT = "default"
STUDIO_TEAM = "studio"
NAMED = [part.strip().partition(":") for part in os.environ.get("LEARNING_DEMO_USERS", "").split(",")]
DEMO_USERS = {name: team for name, _, team in NAMED if name}
"""The team of every demo user."""
REVIEWERS = {name.strip() for name in os.environ.get("LEARNING_DEMO_REVIEWERS", "").split(",")} & set(DEMO_USERS)
"""Who may let count, or refuse, what waits in their teams; if empty, everybody."""
CURATORS = {name.strip() for name in os.environ.get("LEARNING_DEMO_CURATORS", "").split(",")} & set(DEMO_USERS)
"""Who may tidy up what all of the tenant have learnt, and read the report: graphs/curator.py."""

auth = Auth()


@auth.authenticate
async def authenticate(authorization: str | None) -> dict[str, Any]:
    """Return who sends a request. Replace this: verify the token, and take identity and teams from it."""
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or token not in DEMO_USERS:
        raise Auth.exceptions.HTTPException(
            status_code=401,
            detail="Nobody is known by this token. Write your own check in graphs/auth.py, or, on your own machine "
            "only, name demo users in LEARNING_DEMO_USERS.",
        )
    return person(token)


def person(identity: str) -> dict[str, Any]:
    """Return what is vouched for of somebody. Replace this: look up their tenant, their teams, and what they may do."""
    team = DEMO_USERS.get(identity, STUDIO_TEAM)
    teams = [team] if team else []
    may = {"reviews": not REVIEWERS or identity in REVIEWERS, "curates": identity in CURATORS}
    return {"identity": identity, "tenant_id": TENANT, "team_ids": teams, **may}


@auth.on
async def nothing_else(ctx: Auth.types.AuthContext, value: Any) -> bool:
    """Refuse whatever is not allowed below."""
    return False


@auth.on.threads
async def own_threads(ctx: Auth.types.AuthContext, value: dict[str, Any]) -> dict[str, str]:
    """Let everyone make threads and runs, and see their own."""
    return _owned(ctx, value)


@auth.on.crons
async def own_crons(ctx: Auth.types.AuthContext, value: dict[str, Any]) -> dict[str, str]:
    """Let everyone plan runs, and see their own plans."""
    return _owned(ctx, value)


@auth.on.threads.create_run
async def own_runs(ctx: Auth.types.AuthContext, value: Auth.types.RunsCreate) -> dict[str, str]:
    """Let everyone run the agent in their own threads, as themselves; Studio also as a demo user whom it names."""
    kwargs, identity = value["kwargs"], ctx.user.identity
    context = kwargs.get("context") or {}
    if isinstance(ctx.user, Auth.types.StudioUser) and context.get("user_id") in list(DEMO_USERS):
        identity = context["user_id"]
    # Of Studio's user, and of the user of a planned run, the server knows no more than the identity.
    user = kwargs["config"]["configurable"]["langgraph_auth_user"] = person(identity)
    _vouched(context, user)  # the machine does the same when the run begins; here the answer is a plain 403
    return _owned(ctx, value)


@auth.on.assistants
async def assistants(ctx: Auth.types.AuthContext, value: dict[str, Any]) -> bool:
    """Let everyone use the assistants; who may make and change them is Studio's user."""
    return isinstance(ctx.user, Auth.types.StudioUser) or ctx.action in ("read", "search")


@auth.on.store
async def own_items(ctx: Auth.types.AuthContext, value: dict[str, Any]) -> bool:
    """Show everyone their own private learnings, and let nobody write any past the machine."""
    if ctx.action not in ("get", "search", "list_namespaces"):
        return False
    if DEMO_USERS and isinstance(ctx.user, Auth.types.StudioUser):
        return True
    own = _folder(ctx.user)
    asked = tuple(value["namespace"] or ())
    if ctx.action != "get" and asked == own[: len(asked)]:
        value["namespace"] = own  # whoever asks for all is shown all that is theirs
        return True
    return asked[: len(own)] == own


def _owned(ctx: Auth.types.AuthContext, value: Any) -> dict[str, str]:
    """Mark what is made or sought as the user's, and let nothing else through."""
    owner = {"owner": ctx.user.identity}
    if value.get("metadata") is None:
        value["metadata"] = {}
    value["metadata"].update(owner)  # in place, for the server goes on with the very same mapping
    return owner


def _folder(user: Any) -> tuple[str, ...]:
    """Return where all that is private to a user lies."""
    return Caller.of(_vouched({}, user)).owner_namespace(Scope.USER)


def _vouched(context: Mapping[str, Any], user: Any) -> LearningContext:
    """Return a run's context as far as the authentication vouches for it."""
    known = {name: value for name, value in context.items() if name in LearningContext.model_fields}
    try:
        return apply_authentication(LearningContext.model_validate(known), user)
    except ValueError as error:
        raise Auth.exceptions.HTTPException(status_code=403, detail=str(error)) from error
