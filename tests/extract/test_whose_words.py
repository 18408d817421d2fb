"""Properties of whose words a statement is, over texts that are generated."""

from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

from benchmarks.attribution import DATA
from langgraph_learning.core.transcript import transcript_lines
from langgraph_learning.extract.attribution import Statement, read_words

ALEX = "alex"
SUBJECTS = ["Invoices", "Refunds", "Deployments", "Contractors", "Badges", "Backups", "Discounts", "Travel costs"]
RULES = [
    "above {n} euros need no approval",
    "are handled by the vendor within {n} days",
    "go to account {n}",
    "are waived for the first {n} customers",
    "must be reported to Zahlmeister after {n} hours",
]
ERRANDS = [
    "Please look into it",
    "thanks, go on",
    "what does it say?",
    "check ticket {n}",
    "ok",
    "nice, anything else?",
]
OWN = [
    ("we keep {n} spare keys in the lodge", "Keeps {n} spare keys in the lodge"),
    ('our desks are {n}" wide', "Desks are {n} inches wide"),
    ('the rule here is: "no more than {n} guests in the lab"', "No more than {n} guests in the lab"),
    ("limits we go by:\n> {n} °C and the oven goes off\n> doors stay shut", "At {n} °C the oven goes off"),
    ("our start command:\n```\nserve --workers {n}\n```", "Start command is serve --workers {n}"),
    ('we say "the long table and seat {n} people at it', "The long table seats {n} people"),
    ("wir haben {n} Stellplätze in der Tiefgarage", "Hat {n} Stellplätze in der Tiefgarage"),
    ("我们的仓库有{n}个货架", "仓库有{n}个货架"),
    ("うちの倉庫には棚が{n}台あります", "倉庫には棚が{n}台ある"),
]
TYPED = [
    (
        "A full box holds {n} parts.\nLabels on the short side.\nNever stack more than five.",
        "A full box holds {n} parts",
    ),
    ("Memo to all shifts\nThe press runs at {n} bar.\nAbove that call Kim.", "The press runs at {n} bar"),
    ('When I say "small job" I mean one below {n} euros.', "A small job is one below {n} euros"),
    ("Thanks for the summary.\n\nA customer is somebody with {n} paid invoices.", "A customer has {n} paid invoices"),
    ("yard facts\n* gate opens at six\n* room for {n} lorries", "The yard has room for {n} lorries"),
    ("No, {n} lorries. The vans are extra.\nNew ones come in May.", "There are {n} lorries"),
    (
        "The small ones. The big press runs at {n} bar and must not run at night, else the fuse goes.",
        "The big press runs at {n} bar and must not run at night because the fuse goes",
    ),
]
numbers = st.integers(13, 9_000)
rules = st.builds(
    lambda subject, rule, n: f"{subject} {rule.format(n=n)}", *map(st.sampled_from, (SUBJECTS, RULES)), numbers
)
templates = st.sampled_from(sorted(DATA["messages"].values()))


def tool_turn(asked: str, result: str, answer: str):
    call = AIMessage("", tool_calls=[{"name": "read", "args": {}, "id": "c"}])
    return [HumanMessage(asked), call, ToolMessage(result, tool_call_id="c"), AIMessage(answer)]


def channel_of(messages, statement: str) -> str:
    """Whose words a statement is that an extraction rests on the user's last message."""
    lines = transcript_lines([m.model_copy(update={"id": str(n)}) for n, m in enumerate(messages)], ALEX)
    line = [line for line in lines if line.channel == "user"][-1]
    return read_words(lines).find_author(Statement(statement), line).channel


def variants(rule: str, n: int):
    """A rule as it is, reworded, with another number, and turned into its opposite."""
    subject, _, rest = rule.partition(" ")
    yield from (rule, f"{rest[0].upper()}{rest[1:]}: that is for {subject.lower()}", f"{rule}, {n} at most")
    yield from (f"Never: {rule}", rule.replace(" no ", " an "))


@settings(max_examples=200, deadline=None)
@given(rules, st.sampled_from(ERRANDS), numbers)
def test_what_a_tool_says_is_not_the_users(rule: str, errand: str, n: int):
    """Not in its words, reworded, renumbered or negated, whatever the user says to it."""
    asked = errand.format(n=n)
    for statement in variants(rule, n):
        assert "user" != channel_of(tool_turn(asked, f"# Policy\n{rule}.", "Done."), statement)
        said = [*tool_turn("go", rule, f"It says: {rule}"), HumanMessage(asked), AIMessage(f"{rule}!")]
        assert "user" != channel_of(said, statement)


@settings(max_examples=300, deadline=None)
@given(rules, templates, numbers)
def test_what_a_user_passes_on_is_not_theirs(rule: str, template: str, n: int):
    """As a mail, a forward, a chat, a quotation or a text to work on, with marks or without."""
    messages = [HumanMessage(template.replace("{text}", f"{rule}.")), AIMessage("Sure.")]

    for statement in variants(rule, n):
        assert "user" != channel_of(messages, statement)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(OWN), numbers, rules)
def test_own_words_are_the_users(own: tuple[str, str], n: int, rule: str):
    """Alone, beside what a tool says, and after a mail; with inch marks, quotation marks, lists and code."""
    said, statement = (text.format(n=n) for text in own)
    mail = HumanMessage(f"answer this:\n\nFrom: it@evil.example\nSubject: News\n\n{rule}")

    assert "user" == channel_of([HumanMessage(said), AIMessage("Noted.")], statement)
    assert "user" == channel_of(tool_turn(said, rule, "Done."), statement)
    assert "user" == channel_of([mail, AIMessage("Dear …"), HumanMessage(said), AIMessage("Noted.")], statement)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(TYPED), numbers, rules)
def test_what_somebody_types_in_several_sentences_or_lines_is_theirs(typed: tuple[str, str], n: int, rule: str):
    """Alone and beside what a tool says: telegrams, memos, lists, definitions, corrections and reasons."""
    said, statement = (text.format(n=n) for text in typed)

    assert "user" == channel_of([HumanMessage(said), AIMessage("Noted.")], statement)
    assert "user" == channel_of(tool_turn(said, rule, "Done."), statement)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(OWN), numbers, numbers, rules)
def test_another_number_is_not_the_users(own: tuple[str, str], n: int, other: int, rule: str):
    """Where something else was to read, a number that the user did not say is not theirs."""
    said, statement = own[0].format(n=n), own[1].format(n=other if other != n else n + 1)

    assert "user" != channel_of(tool_turn(said, rule, "Done."), statement)
