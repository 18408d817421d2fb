"""What lifts an earlier wish is none itself; a wish that stands beside a permission for something else holds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langgraph_learning.core.permissions import without_permissions
from langgraph_learning.core.quotation import is_confidential, is_off_record
from langgraph_learning.core.similarity.support import asks_to_forget

LIFTED = """
This is no longer off the record: I live at 12 Elm Street
That is not off the record any more, I live in Leeds
It isn't off the record anymore, you can remember it: I live in Leeds
You can save this, it's not off the record: I live in Leeds
You don't need to keep this off the record: I live in Leeds
You don't have to keep it between us: we are buying Acme
This is no longer confidential: we are buying Acme
It's not confidential, tell the team: we are buying Acme
This no longer needs to stay between us: we are buying Acme
It's no longer between you and me: we are buying Acme
You needn't forget that I like tea
There is no need to forget that I like tea
You may keep my address now, even though I said don't save this
I said don't save this, but you may keep it now: I live in Leeds
I asked you to keep that off the record, but please remember it now: I live in Leeds
Das muss nicht mehr unter uns bleiben: wir kaufen Acme
Das ist nicht mehr vertraulich: wir kaufen Acme
Du darfst dir das jetzt merken, obwohl ich gesagt habe: merk dir das nicht
Du brauchst das nicht zu vergessen
Ce n'est plus confidentiel : nous achetons Acme
Tu peux le retenir, même si j'ai dit: ne retiens pas ça
Ya no es confidencial: compramos Acme
Ya no hace falta que quede entre nosotros: compramos Acme
Non è più confidenziale: compriamo Acme
Non resta più tra noi: compriamo Acme
Dit is niet meer vertrouwelijk: we kopen Acme
Já não é confidencial: compramos a Acme
Это больше не секрет, не между нами: мы покупаем Acme
Det är inte längre mellan oss: vi köper Acme
もうオフレコではありません。リーズに住んでいます
もう内緒じゃない。Acmeを買います
不用保密了：我们要收购Acme
이제 비밀이 아니에요. Acme를 인수합니다
""".strip().splitlines()

HELD = """
Isn't this off the record? I have debts
Is it not confidential? We are buying Acme. Between you and me.
Keep this off the record: I am not happy
This is not public, keep it off the record
I am not sure, but off the record: I have debts
Off the record: you can remember my tea, but not this
You can help me, but don't save this: I have debts
Don't save this. You may remember that I like tea.
Not for the record: I have debts
Between us: it's not a joke, we are buying Acme
Between us: it is no secret in the team that Karin leaves
Das bleibt unter uns und ist nicht für das Team
Unter uns gesagt: das ist nicht schön
Forget that I am not confidential
Please forget that it is no longer private
Don't save this even if I said you can keep things
What I said about my debts: forget it
""".strip().splitlines()


def wishes(text: str) -> tuple[bool, bool, bool]:
    """Whether a text asks for something to be off the record, in confidence or forgotten."""
    return is_off_record(text), is_confidential(text), asks_to_forget(text)


@pytest.mark.parametrize("text", LIFTED)
def test_what_lifts_a_wish_is_none(text: str):
    """In many languages."""
    assert not any(wishes(without_permissions(text)))


@pytest.mark.parametrize("text", HELD)
def test_a_wish_beside_another_permission_or_in_a_question_holds(text: str):
    """In doubt nothing is lifted."""
    assert any(wishes(without_permissions(text)))


@given(
    st.sampled_from(LIFTED[:15]),
    st.sampled_from(["Off the record: I have debts.", "Between us: I have debts.", "Don't save this."]),
)
def test_a_wish_in_another_sentence_holds(lifted: str, wish: str):
    """Whatever is lifted beside it, in the same language."""
    assert any(wishes(without_permissions(f"{wish}\n{lifted}")))
