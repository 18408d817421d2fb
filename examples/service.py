"""A web service whose agent learns in workers: nobody waits for an extraction, and nothing is lost if a process dies.

    pip install -e '.[cli,worker,embedded]' fastapi uvicorn
    uvicorn --app-dir examples service:app
    PYTHONPATH=examples langgraph-learning worker --machine service:machine --embed none

It believes whoever names a user: put your authentication in front.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from langchain.agents import create_agent
from langchain.chat_models import init_chat_model
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from pydantic import BaseModel, Field

from langgraph_learning import LearningContext, LearningMachine, Schedule, UserMemory
from langgraph_learning.postgres import HybridPostgresStore
from langgraph_learning.postgres.embedded import database_url
from reader import Reader

model = init_chat_model(os.environ["MODEL"]) if os.environ.get("MODEL") else Reader()
store = HybridPostgresStore(database_url(), search_mode="hybrid")
machine = LearningMachine(model, [UserMemory()], store=store, learn="queue", schedule=Schedule(quiet=5))


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Make the tables, and open what the agent needs."""
    await store.asetup()
    async with AsyncPostgresSaver.from_conn_string(database_url()) as saver:
        await saver.setup()
        app.state.agent = create_agent(
            model,
            middleware=[machine.middleware()],
            context_schema=LearningContext,
            store=store,
            checkpointer=saver,
        )
        yield
    await store.aclose()


app = FastAPI(lifespan=lifespan)


class Message(BaseModel):
    """What a user says."""

    user: str = Field(min_length=1)
    thread: str = Field(min_length=1)
    text: str


@app.post("/chat")
async def chat(message: Message, request: Request) -> dict[str, str]:
    """Answer a message; the request ends with the answer."""
    config = {"configurable": {"thread_id": message.thread}}
    context = LearningContext(user_id=message.user)
    state = await request.app.state.agent.ainvoke({"messages": [("user", message.text)]}, config, context=context)
    return {"answer": state["messages"][-1].text}


@app.get("/pending")
async def pending(user: str) -> dict[str, int]:
    """Tell how much of what a user said is still to be learnt from."""
    return {"jobs": await machine.jobs.apending(LearningContext(user_id=user))}
