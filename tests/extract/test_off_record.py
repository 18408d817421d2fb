"""What is off the record is kept nowhere, whichever the words; a rule about keeping things is not off the record."""

import pytest
from langchain_core.messages import AIMessage
from langgraph.store.memory import InMemoryStore
from people import ALEX, learner, machine, notes_what_users_say, said, thread

from langgraph_learning import Episodes, LearningMachine, UserMemory

OFF_RECORD = """
This is off record, I have debts
I have debts. That must not be stored anywhere.
Would you please not log this? I have debts
I'd rather you didn't remember this: I have debts
I don't want you to remember this, I have debts
Leave this out of your notes, I have debts
Don't put that in your memory: I have debts
There's no need to remember this, I have debts
None of this should be saved. I have debts
Please don't write it down, I have debts
please dont save it i have debts
No notes please: I have debts
Schreib das bitte nirgends auf, ich habe Schulden
Das brauchst du dir nicht zu merken: ich habe Schulden
Ich habe Schulden, das bitte nicht notieren
N'enregistrez pas ceci, j'ai des dettes
N'en garde aucune trace : j'ai des dettes
Tengo deudas, no lo guardes
Non scriverlo: ho debiti
Não registe isto, tenho dívidas
Schrijf dit niet op: ik heb schulden
Nie zachowuj tego, mam długi
Neukládej to: mám dluhy
Сохранять это не нужно: у меня долги
Не зберігай це: я маю борги
Spara inte det här: jag har skulder
Gem det her ikke: jeg har gæld
Älä tallenna tätä: minulla on velkaa
Ne jegyezd meg ezt: adósságom van
Nu reține asta: am datorii
Μην το θυμάσαι: έχω χρέη
Bunu lütfen kaydetmeyin, borcum var
Jangan simpan ini: saya punya utang
Đừng lưu điều này: tôi đang nợ
请不要把这个记下来：我有债务
借金があります。メモしなくていいです
기억할 필요 없어요. 빚이 있어요
لا تدون هذا، عندي ديون
אל תרשמי את זה, יש לי חובות
मुझ पर कर्ज़ है, इसे नोट मत करना
""".strip().splitlines()

ON_RECORD = """
Do not store this report in S3, it belongs on the share
Do not store that in S3, it belongs on the share
Never save that Wednesday report twice
Never save that file as PDF, our rule is ODT
We should not log it in Jira but in Linear
Never store that kind of data on laptops
Could you not use tables
Don't forget that I have debts
Wir dürfen Kundendaten nicht speichern
Das Team darf Passwörter nicht notieren
Ich kann mir Namen nicht merken
Je ne retiens pas les prénoms, appelle-moi Jo
Mon chef ne note pas les heures, moi si
No guardes facturas en papel: regla del equipo
Abbiamo deciso di non salvare i dati dei clienti
Não salvei o ficheiro, trabalho com Word
We mogen klantdata niet opslaan
Nie zapisuję haseł, używam Bitwarden
Они не сохраняют черновики
团队规定：不要保存客户密码
هي لا تحفظ الملفات في السحابة
""".strip().splitlines()


def hear(text: str) -> LearningMachine:
    """A machine that has heard one message, and learns every word that its extraction is shown."""
    learning = machine(notes_what_users_say, [UserMemory(), Episodes()], store=InMemoryStore())
    agent = learning.wrap(lambda state: {"messages": [AIMessage("I see.")]})
    agent.invoke(said(text), thread("a"), context=ALEX)
    return learning


@pytest.mark.parametrize("text", OFF_RECORD)
def test_what_is_off_the_record_is_kept_nowhere(text: str):
    """No model is shown it, and no message is stored."""
    learning = hear(text)

    assert [] == learner(learning).shown
    assert [] == learning.learnings(ALEX)


ALLOWED = """
It is no longer off the record: I have debts
You may keep it now, although I said don't save this: I have debts
Das darfst du dir jetzt merken, es ist nicht mehr vertraulich: ich habe Schulden
Ce n'est plus confidentiel : j'ai des dettes
もうオフレコではありません。借金があります
""".strip().splitlines()


@pytest.mark.parametrize("text", ALLOWED)
@pytest.mark.parametrize("text_before", OFF_RECORD[:3])
def test_what_may_be_kept_now_is_learnt(text_before: str, text: str):
    """A permission counts for its own turn: what was off the record before stays so."""
    learning = hear(text_before)
    learning.wrap(lambda state: {"messages": [AIMessage("I see.")]}).invoke(said(text), thread("a"), context=ALEX)
    known = [learnt.text for learnt in learning.learnings(ALEX)]

    assert text in known
    assert text_before not in known


@pytest.mark.parametrize("text", ON_RECORD)
def test_a_rule_about_keeping_things_is_learnt(text: str):
    """It is not about what was said in the conversation."""
    assert text in [learning.text for learning in hear(text).learnings(ALEX)]


@pytest.mark.parametrize(
    "form", ["Off the record: {}", "Off the record.\n{}", "{}\nAll off the record.", "{} Don't save this."]
)
def test_a_long_story_may_be_off_the_record(form: str):
    """Also where its length makes it a document."""
    story = "I met her at the station and we talked about what I should do with my debts. " * 40

    assert [] == hear(form.format(story)).learnings(ALEX)
