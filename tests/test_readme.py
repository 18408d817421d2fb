"""Everything that the README shows runs."""

import re
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from langchain_openai import ChatOpenAI
from openai_server import OpenAIServer
from people import edit, edits

import langgraph_learning
from langgraph_learning import LearningMachine, Mode, Scope
from langgraph_learning.errors import Misconfigured

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def answer(messages: list[Any]) -> Any:
    """Extract one insight from the first conversation, and otherwise repeat what was shown."""
    if messages[0].text.startswith("You watch a conversation"):
        cost = edit(
            "insight", category="insight", title="Egress", insight="Cutting egress costs matters", when_to_apply=None
        )
        return edits(cost) if "insight" in messages[0].text and "Cutting" in messages[-1].text else edits()
    return f"I was shown: {messages[-1].text}"


def test_every_block_runs_in_order(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """From the first program to the last, with the model that they name behind OpenAI's own protocol."""
    with OpenAIServer(answer) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", "none")
        monkeypatch.setenv("DATABASE_URL", empty_database_url)
        shared: dict[str, Any] = {"my_model": ChatOpenAI(model="any")}
        for block in BLOCKS:
            exec(compile(block, "README.md", "exec"), shared)
        last = shared["graph"].invoke(
            {"messages": [("user", "hi")]}, {"configurable": {"thread_id": "t9"}}, context=shared["alex"]
        )

    assert "Cutting egress costs matters" in capsys.readouterr().out
    assert "hi" in last["messages"][-1].text


def test_a_complete_program_comes_before_line_30():
    """The first five minutes are the most important ones."""
    end = README[: README.index(BLOCKS[0]) + len(BLOCKS[0])].count("\n")

    assert end < 30
    assert 15 >= sum(bool(line.strip()) and not line.startswith(("from", "import")) for line in BLOCKS[0].splitlines())


ROW = re.compile(r"^\| `(\w+)\(.*?\)` \| .*? \| (\w+)(, always)? \| (\w+) \| (.*?) \| .*? \|$", re.MULTILINE)


@pytest.mark.parametrize(("name", "scope", "always", "modes", "tools"), ROW.findall(README))
def test_the_table_of_learning_stores_tells_the_truth(name: str, scope: str, always: str, modes: str, tools: str):
    """The scope, the modes and the tools of each are what the code says."""
    kind = getattr(langgraph_learning, name)

    assert kind().scope.name == scope
    assert kind().modes == (set(Mode) if modes == "any" else {Mode(modes)})
    with pytest.raises((Misconfigured, TypeError)) if always else nullcontext():
        kind(scope=Scope.TEAM)
    assert tools == (", ".join(f"`{tool}`" for tool in _saving(kind)) or "none")


def _saving(kind: Any) -> list[str]:
    """The tools by which an agent saves what such a learning store keeps."""
    if Mode.AGENTIC not in kind().modes:
        return []
    return [tool.name for tool in LearningMachine(None, [kind(mode=Mode.AGENTIC)]).tools() if "save" in tool.name]


def test_the_table_has_all_nine_learning_stores():
    """None that comes with the package is left out."""
    assert 9 == len(ROW.findall(README))
