"""Everything that the README and the pages under docs/ show runs, and what they say of the code is true."""

import re
import shlex
import tomllib
from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import typer
from documentation import DOCS, PAGES, PROJECT, README, blocks_of, text_of
from openai_server import OpenAIServer
from people import conversation, edit, edits, repeat

import langgraph_learning
from langgraph_learning import LearningMachine, Mode, Scope
from langgraph_learning.cli import app
from langgraph_learning.errors import Misconfigured
from langgraph_learning.postgres import HybridPostgresStore
from langgraph_learning.testing import Answer, ModelCall, ScriptedModel

STORES = text_of(PROJECT / "docs" / "stores.md")

LESSONS = {
    "Cutting egress costs": edit(
        "insight", category="insight", title="Egress", insight="Cutting egress costs matters", when_to_apply=None
    ),
    "Keep answers short": edit("observation", observation="Wants short answers, for a phone"),
    "I work from Lisbon": edit("observation", observation="Works from Lisbon"),
    "I dislike": edit("observation", observation="Dislikes long meetings"),
    "As I said, I dislike": edit("observation", observation="Dislikes meetings that are long"),
    "We chose Grafana": edit(
        "decision",
        decision="Grafana over Datadog",
        reasoning="because of egress costs",
        alternatives=["Datadog"],
        context=None,
        confidence="high",
    ),
    "Too long": edit(
        "feedback", behaviour="Long answers", worked=False, instead="Answer in three sentences", situation=None
    ),
    "Mind that the tests": edit("gotcha", area="tests", statement="The tests need Docker"),
}
"""Which edit an extraction makes of a user's message that begins so, if its schema has this kind of record."""

INSTRUCTION = edit(
    "instruction", section="tone", text="Answer in three sentences.", reasoning="Three corrections say so"
)
"""Which one it makes once a correction is known that was made twice before."""

PRINTED = {
    "README.md": ["Cutting egress costs matters"],
    "curation.md": ["2 learnings in 1", "merged ('Dislikes long meetings', 'Dislikes meetings that are long')"],
    "deployment.md": ["pending 1", "learnt ['Wants short answers, for a phone']"],
    "feedback.md": [
        "Egress is down by a third",
        "Compare what both cost at 200 hosts",
        "Answer in three sentences. Three corrections say so",
        "What does the pro plan cost? I was shown: ",
        "1 20",
        "+Answer in three sentences.",
    ],
    "inspect-and-forget.md": ["user Wants short answers", "user Works from Lisbon", "alex None", "rejected"],
    "sharing-and-review.md": [
        "Cutting egress costs is our priority now. ()",
        "Egress first: Cutting",
        "['sam', 'alex']",
    ],
    "store.md": ["Egress is most of the bill", "ann"],
    "stores.md": ["save_observation", "The tests need Docker"],
}
"""Some of what the code of each page prints: its loops have something to print only if the code before them worked."""


class Reader(ScriptedModel):
    """Extracts the lessons above, finds all pairs alike, and answers by repeating what it was shown."""

    def __init__(self) -> None:
        super().__init__([])

    def answer(self, call: ModelCall, number: int) -> Answer:
        """Answer whatever is asked for."""
        if call.schema is None:
            return f"I was shown: {repeat(call.messages[-1:])}"
        if "opinions" in str(call.schema):
            pairs = re.findall(r"^\[(\d+)\]", call.messages[-1].text, re.MULTILINE)
            return {"opinions": [{"pair": int(pair), "opinion": "same"} for pair in pairs]}
        found = []
        for number, speaker, text in conversation(call.messages):
            if speaker.startswith("user"):
                found += [{**lesson, "message": number} for heard, lesson in LESSONS.items() if text.startswith(heard)]
        if known := re.search(r"^(k\d+): feedback .*\(said 2 times\)$", call.messages[-1].text, re.MULTILINE):
            found.append({**INSTRUCTION, "evidence": [known[1]], "message": 1})
        return edits(*(edit for edit in found if f"'{edit['edit']}'" in str(call.schema)))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_runs_in_order(
    page: Path, empty_database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """Each page is one program from its first block to its last, with its models behind OpenAI's own protocol."""
    shared: dict[str, Any] = {}
    with OpenAIServer([]) as server:
        server.model = Reader()
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", "none")
        monkeypatch.setenv("DATABASE_URL", empty_database_url)
        for block in blocks_of(page, "python"):
            exec(compile("\n" * (block.line - 1) + block.code, page.name, "exec"), shared)
        if page == README:
            last = shared["graph"].invoke(
                {"messages": [("user", "hi")]}, {"configurable": {"thread_id": "t9"}}, context=shared["alex"]
            )
            assert "hi" in last["messages"][-1].text
    for store in (value for value in shared.values() if isinstance(value, HybridPostgresStore)):
        store.close()

    printed = capsys.readouterr().out
    assert [] == [text for text in PRINTED.get(page.name, []) if text not in printed]


def test_a_complete_program_comes_before_line_30():
    """The first five minutes are the most important ones."""
    first = blocks_of(README, "python")[0]
    code = first.code.splitlines()

    assert first.line + len(code) < 30
    assert 15 >= sum(bool(line.strip()) and not line.startswith(("from", "import")) for line in code)


def test_the_readme_is_short_and_leads_to_every_page():
    """Whoever wants to know more finds it under docs/."""
    assert 250 >= len(text_of(README).splitlines())
    assert [] == [page.name for page in DOCS if f"](docs/{page.name})" not in text_of(README)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_names_a_language_that_is_checked(page: Path):
    """`python` runs here, `py` in tests/server, `sh` is checked below, and `text` is no code."""
    assert set() == {block.language for block in blocks_of(page)} - {"python", "py", "sh", "text"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_exists(page: Path):
    """Commands of our own, with all their options; make targets; modules; and the extras of the package."""
    for line in "".join(block.code for block in blocks_of(page, "sh")).splitlines():
        words = shlex.split(line, comments=True)
        match [word for word in words if "=" not in word or word.startswith("-")]:
            case ["langgraph-learning", name, *options]:
                _commands()[name].make_context(name, options)  # parses the options, and runs nothing
            case ["make", target, *_]:
                assert f"\n{target}:" in (PROJECT / "Makefile").read_text()
            case ["python", "-m", module, *_]:
                assert find_spec(module)
            case ["python", script]:
                assert (PROJECT / script).exists()
            case ["pip", "install", *wanted]:
                ours = " ".join(word for word in wanted if word.startswith((".", "langgraph-learning")))
                assert set(re.findall(r"\w+", " ".join(re.findall(r"\[(.*?)\]", ours)))) <= _extras()
            case ["langgraph", "dev"] | []:
                pass
            case unknown:
                pytest.fail(f"{page.name} shows a command that no test knows: {unknown}")


def test_the_table_of_extras_is_complete():
    """All but the one for developers."""
    table = text_of(README).partition("| extra | adds |")[2].partition("\n\n")[0]

    assert _extras() - {"dev"} == set(re.findall(r"^\| `(\w+)`", table, re.MULTILINE))


def _commands() -> dict[str, Any]:
    return typer.main.get_command(app).commands  # type: ignore[attr-defined]  # it is a group


def _extras() -> set[str]:
    return set(tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["optional-dependencies"])


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.name)
def test_every_page_begins_with_the_job_it_helps_with(page: Path):
    """One sentence under the title, and the way back."""
    title, job, *_ = text_of(page).split("\n\n")

    assert title.startswith("# ")
    assert re.fullmatch(r"Use this page to [^.]+\. Back to the \[README\]\(\.\./README\.md\)\.", " ".join(job.split()))


@pytest.mark.parametrize(
    "page", [*PAGES, PROJECT / "CONTRIBUTING.md", PROJECT / "SECURITY.md"], ids=lambda page: page.name
)
def test_every_link_to_a_file_leads_somewhere(page: Path):
    """To a file of the repository, and to a heading of it where the link names one."""
    for target in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
        if "://" in target:
            continue
        path, _, heading = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), target
        assert not heading or heading in _headings(file), target


def _headings(page: Path) -> set[str]:
    """Return the anchors that GitHub makes of a page's headings."""
    titles = re.findall(r"^#+ (.*)$", text_of(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


ROW = re.compile(r"^\| `(\w+)\(.*?\)` \| .*? \| (\w+)(, always)? \| (\w+) \| (.*?) \| .*? \|$", re.MULTILINE)


@pytest.mark.parametrize(("name", "scope", "always", "modes", "tools"), ROW.findall(STORES))
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
    """None that comes with the package is left out, neither there nor in the README's short one, which agrees with it."""
    short = re.findall(r"^\| `(\w+)` \| .*? \| (\w+)(, always)? \|$", text_of(README), re.MULTILINE)

    assert 9 == len(short)
    assert short == [(name, scope, always) for name, scope, always, _, _ in ROW.findall(STORES)]
