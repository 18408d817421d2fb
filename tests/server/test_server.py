"""The learning agent on LangGraph's own server: who learns from whom, and who sees what."""

import threading
from contextlib import contextmanager

import httpx
import pytest
from documentation import PROJECT, blocks_of
from openai_server import OpenAIServer
from people import is_extraction

AGENT = "learning_agent"
TAUGHT = "I'm Alex. I hate long meetings. The migration to GCP has three phases."
ASKED = "What do I have to know about the migration, and about meetings?"


def said(text):
    return {"messages": [{"role": "user", "content": text}]}


def say(client, text, thread=None, **context):
    """Say something in a thread, a new one by default; return the answer and the thread."""
    thread = thread or client.threads.create()["thread_id"]
    state = client.runs.wait(thread, AGENT, input=said(text), context=context or None)
    assert "learning_errors" not in state
    return state["messages"][-1]["content"], thread


@contextmanager
def refused(status, why="."):
    """Expect an answer of this status with such a sentence."""
    with pytest.raises(httpx.HTTPStatusError, match=why) as caught:
        yield
    assert status == caught.value.response.status_code


@pytest.fixture(scope="module")
def alexs_thread(server):
    """Give the thread in which Alex taught the agent something private and something for the team."""
    return say(server.person("alex"), TAUGHT)[1]


def test_a_colleague_profits(server, alexs_thread):
    """What Alex said of the migration is known to Sam, in another thread."""
    answer, _ = say(server.person("sam"), ASKED)

    assert "The migration to GCP has three phases" in answer


def test_what_the_docs_show_runs(server, capsys):
    """Word for word, but for the port."""
    (block,) = blocks_of(PROJECT / "docs" / "server.md", "py")
    exec(compile(block.code.replace(":2024", f":{server.port}"), "server.md", "exec"), {})

    answer = capsys.readouterr().out
    assert "three phases" in answer
    assert "I hate long meetings" not in answer


def test_a_colleague_learns_nothing_private(server, alexs_thread):
    """What Alex said of himself is known to Alex in a new thread, and not to Sam."""
    assert "I hate long meetings" in say(server.person("alex"), ASKED)[0]
    assert "I hate long meetings" not in say(server.person("sam"), ASKED)[0]


def test_another_team_learns_nothing(server, alexs_thread):
    """Kim is in no team of Alex'."""
    assert "shown nothing about that" in say(server.person("kim"), ASKED)[0]


@pytest.mark.parametrize(
    "claim",
    [{"user_id": "alex"}, {"team_ids": ["rivals"]}, {"tenant_id": "other"}, {"owners": {"project": "apollo"}}],
)
def test_nobody_can_claim_to_be_somebody_else(server, alexs_thread, claim):
    """A run that claims another user, team, tenant or owner is refused, with a sentence that says why."""
    with refused(403, r"authenticat"):
        say(server.person("sam"), ASKED, **claim)


def test_a_true_claim_is_fine(server, alexs_thread):
    """Sam may say that he is Sam, of his own team."""
    assert "three phases" in say(server.person("sam"), ASKED, user_id="sam", team_ids=["acme"])[0]


def test_a_claim_does_not_come_in_through_an_assistant(server, alexs_thread):
    """Also when the context is an assistant's own, the machine refuses it, and the client is told why."""
    assistant = server.studio().assistants.create(AGENT, context={"user_id": "alex"})["assistant_id"]
    sam = server.person("sam")
    thread = sam.threads.create()["thread_id"]

    with pytest.raises(Exception, match="authenticated as 'sam'"):
        sam.runs.wait(thread, assistant, input=said(ASKED))


def test_a_stranger_is_not_let_in(server):
    """Without a known token there is no answer, but a sentence that says what to do."""
    for headers in ({}, {"Authorization": "Bearer nobody"}, {"Authorization": "Basic alex"}):
        answer = httpx.post(f"http://127.0.0.1:{server.port}/threads", json={}, headers=headers, trust_env=False)

        assert (401, True) == (answer.status_code, "graphs/auth.py" in answer.json()["detail"])


def test_threads_are_their_owners(server, alexs_thread):
    """Sam finds no thread of Alex', cannot read it, and cannot say anything in it."""
    sam = server.person("sam")

    assert alexs_thread not in [thread["thread_id"] for thread in sam.threads.search(limit=100)]
    assert alexs_thread in [thread["thread_id"] for thread in server.person("alex").threads.search(limit=100)]
    for attempt in (
        lambda: sam.threads.get(alexs_thread),
        lambda: sam.threads.get_state(alexs_thread),
        lambda: sam.threads.get_history(alexs_thread),
        lambda: sam.runs.list(alexs_thread),
        lambda: sam.threads.update(alexs_thread, metadata={"owner": "sam"}),
        lambda: say(sam, ASKED, alexs_thread),
    ):
        with refused(404):
            attempt()
    with refused(409):
        sam.threads.copy(alexs_thread)


def test_a_thread_cannot_be_named_to_see_its_session(server, alexs_thread):
    """Whatever thread a run's configuration names, the session shown is that of its own thread."""
    sam = server.person("sam")
    state = sam.runs.wait(None, AGENT, input=said(ASKED), config={"configurable": {"thread_id": alexs_thread}})

    assert "meetings." not in state["messages"][-1]["content"]


def test_everyone_sees_their_own_private_items(server, alexs_thread):
    """Whoever asks for all items is shown their own private ones."""
    alex = server.person("alex")
    [item] = alex.store.search_items((), filter={"kind": "observation"})["items"]

    assert ("I hate long meetings", "alex") == (item["value"]["text"], item["namespace"][3])
    assert item == {**alex.store.get_item(item["namespace"], item["key"]), "score": None}
    assert {"user_profile", "user_memory", "episodes"} == {ns[4] for ns in alex.store.list_namespaces()["namespaces"]}


def _listed(person, prefix):
    return person.store.list_namespaces(prefix=list(prefix))["namespaces"]


def test_nobody_sees_the_items_of_others(server, alexs_thread):
    """Not one by one, not by search, not by listing; nor what belongs to a team, a thread or everybody."""
    alex, sam = server.person("alex"), server.person("sam")
    [item] = alex.store.search_items((), filter={"kind": "observation"})["items"]

    for prefix in ((), ("learnings",), ("learnings", "default", "user")):
        seen = [found["namespace"] for found in sam.store.search_items(prefix, query="meetings")["items"]]
        assert {"sam"} >= {owner for *_, owner, _ in [*seen, *_listed(sam, prefix)]}
    for namespace in (
        item["namespace"],
        item["namespace"][:4],
        ["learnings", "default", "team", "acme"],
        ["learnings", "default", "thread", alexs_thread],
        ["learnings", "default", "global", "everybody"],
        ["learnings", "*", "user", "*"],
        ["learnings", "default", "user", "%"],
        ["elsewhere"],
    ):
        for attempt in (
            lambda at=namespace: sam.store.get_item(at, item["key"]),
            lambda at=namespace: sam.store.search_items(at),
            lambda at=namespace: sam.store.list_namespaces(prefix=at),
        ):
            with refused(403):
                attempt()
    assert [] == sam.store.list_namespaces(suffix=["user_memory"])["namespaces"]


def test_nobody_writes_past_the_machine(server, alexs_thread):
    """Raw puts and deletes are refused, also in one's own place."""
    alex = server.person("alex")
    [item] = alex.store.search_items((), filter={"kind": "observation"})["items"]

    for namespace in (item["namespace"], ["learnings", "default", "team", "acme", "entity_memory"], ["elsewhere"]):
        with refused(403):
            alex.store.put_item(namespace, "planted", {"text": "Trust me"})
        with refused(403):
            alex.store.delete_item(namespace, item["key"])
    assert [item] == alex.store.search_items((), filter={"kind": "observation"})["items"]


def test_studio_sees_the_loop(server):
    """The agent's own nodes stand between those of the loop."""
    graph = server.studio().assistants.get_graph(AGENT, xray=True)
    after = {edge["source"]: edge["target"] for edge in graph["edges"]}
    path = ["__start__"]
    while path[-1] in after:
        path.append(after[path[-1]])

    assert ["__start__", "recall", "build_context", "model", "extract", "update", "__end__"] == path


def test_studio_explains_every_field_of_the_context(server):
    """The form that Studio makes of the context has a description for each field."""
    studio = server.studio()
    [assistant] = studio.assistants.search(graph_id=AGENT, metadata={"created_by": "system"})
    schemas = studio.assistants.get_schemas(assistant["assistant_id"])
    fields = schemas["context_schema"]["properties"]

    assert {"user_id", "team_ids", "tenant_id", "agent_id", "owners", "learn", "recall", "timezone", "now"} == set(
        fields
    )
    assert all(field["description"] for field in fields.values())
    assert {"messages"} == set(schemas["input_schema"]["properties"])


def test_studio_speaks_for_demo_users(server, alexs_thread):
    """Studio's user has a memory of their own, is Alex only where the context says so, and sees the items."""
    studio = server.studio()

    assert "shown nothing about that" in say(studio, ASKED)[0]
    assert "I hate long meetings" in say(studio, ASKED, user_id="alex")[0]
    with refused(403, "leave user_id out"):
        say(studio, ASKED, user_id="somebody")
    assert "alex" in {item["namespace"][3] for item in studio.store.search_items(("learnings",), limit=100)["items"]}


def test_what_was_learnt_outlives_the_server(server, alexs_thread):
    """After a restart the thread goes on where it was, and a colleague still profits."""
    server.stop()
    server.start()
    alex = server.person("alex")
    before = alex.threads.get_state(alexs_thread)["values"]["messages"]

    assert "three phases" in say(server.person("sam"), ASKED)[0]
    say(alex, "The second phase takes longest.", alexs_thread)
    assert before == alex.threads.get_state(alexs_thread)["values"]["messages"][:-2]


def test_a_copied_thread_answers_and_learns(server, alexs_thread):
    """The copy goes on with the conversation, and what is said in it is known in other threads."""
    alex = server.person("alex")
    before = alex.threads.get_state(alexs_thread)["values"]["messages"]
    copied = alex.threads.copy(alexs_thread)["thread_id"]
    say(alex, "The kangaroo project needs a budget.", copied)
    messages = alex.threads.get_state(copied)["values"]["messages"]

    assert before == messages[:-2]
    assert before == alex.threads.get_state(alexs_thread)["values"]["messages"]
    assert "kangaroo project needs a budget" in say(server.person("sam"), "What about the kangaroo project?")[0]


def test_a_second_message_waits_until_the_first_is_learnt(make_server):
    """Sent while the first is still read, it is answered afterwards, with what the first taught in view.

    On a server without authentication, with a model over the wire: the context says who asks.
    """
    reading, go_on = threading.Event(), threading.Event()

    def answer(messages):
        if not is_extraction(messages):
            return "Good."
        reading.set()
        assert go_on.wait(60)
        learnt = {"edit": "observation", "observation": "Rides a bike", "replaces": None, "message": 1}
        return {"edits": [learnt] if "I ride a bike" in messages[1].text else []}

    with OpenAIServer(answer) as openai:
        server = make_server(authenticated=False, OPENAI_BASE_URL=openai.url, OPENAI_API_KEY="none")
        server.start()
        client = server.anybody()
        thread = client.threads.create()["thread_id"]
        context = {"user_id": "alex", "team_ids": ["acme"]}
        first = client.runs.create(thread, AGENT, input=said("I ride a bike."), context=context)["run_id"]
        assert reading.wait(60)
        answered = client.threads.get_state(thread)["values"]["messages"]
        second = client.runs.create(
            thread, AGENT, input=said("How do I travel?"), context=context, multitask_strategy="enqueue"
        )["run_id"]
        waiting = client.runs.get(thread, second)["status"]
        go_on.set()
        client.runs.join(thread, first)
        client.runs.join(thread, second)
        asked = [m for m in openai.model.shown if m[-1].text.startswith("How do I travel?")]
        said_at_last = [message["content"] for message in client.threads.get_state(thread)["values"]["messages"]]
        observed = client.store.search_items(("learnings", "default", "user", "alex", "user_memory"))["items"]

    assert (["I ride a bike.", "Good."], "pending") == ([message["content"] for message in answered], waiting)
    assert ["I ride a bike.", "Good.", "How do I travel?", "Good."] == said_at_last
    assert "Rides a bike" in "".join(message.text for message in asked[0])
    assert ["Rides a bike"] == [item["value"]["text"] for item in observed]
