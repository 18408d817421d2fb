"""The day that is meant by a time as people say it, in many languages, and none where it is uncertain."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langgraph_learning.core.end_dates import last_day, single_day

SATURDAY = date(2026, 11, 28)
WEDNESDAY = date(2026, 11, 25)

ENDS = """
2027-03-31 | March; end of March; until the end of March; March 2027; 31 March; March 31st, 2027; last day of March; 3/31/2027
2027-03-31 | Q1; end of Q1 2027; first quarter; the 1st quarter of 2027; 31 March 2027, 18:00; Wednesday, 2027-03-31
2027-03-31 | März; Ende März; bis Ende März 2027; 31. März; Ende Q1; fin mars; jusqu'au 31 mars 2027; finales de marzo
2027-03-31 | hasta el 31 de marzo; fine marzo; eind maart; final de março; koniec marca; до конца марта; 31 марта 2027 года
2027-03-31 | Mart sonu; 3月末; 2027年3月; 三月底; 3월 말; 2027년 3월 31일
2026-12-31 | end of the quarter; this quarter; EOY; end of this year; Quartalsende; Ende des Jahres; fin de l'année
2026-12-31 | fin du trimestre; fin de año; fine del trimestre; eind van het kwartaal; fim do ano; до конца года; do końca roku
2026-12-31 | 年末; 今年年底; 本季度末; 올해 말; H2; 2026; end of next month; 来月末
2026-11-30 | EOM; end of the month; Monatsende; fin du mois; fine del mese; 月末; this month; the day after tomorrow; übermorgen
2027-05-31 | May; end of May; mai 2027; finales de mayo
2026-12-12 | in two weeks; for 14 days; two weeks from now; in zwei Wochen; dans deux semaines; en dos semanas
2026-12-05 | a week; for a week
2026-12-06 | end of next week; Ende nächster Woche
2026-12-04 | Friday; next Friday; Friday 18:00; nächsten Freitag; Friday 4 December
2026-11-29 | tomorrow; morgen; demain; 明日; end of the week
""".strip().splitlines()

UNCERTAIN = """
the launch; the launch in March; mid-March; early March; about March; Christmas; summer 2027; FY27; until further notice
03/04/2027; 2027-02-30; 2027-13; March or April; March to May; Monday to Friday; after March; before April; not before March
next month; next quarter; from March; Thursday 4 December; Saturday; the first; half; 42; 100000 years; Wochenende; end; next; 十三月
""".strip().replace("\n", ";")


@pytest.mark.parametrize(
    ("day", "said"), [(row.split(" | ")[0], said.strip()) for row in ENDS for said in row.split(" | ")[1].split(";")]
)
def test_an_end_that_can_be_one_day_only_is_that_day(day: str, said: str):
    """Without a year it is the next one."""
    assert day == str(last_day(said, SATURDAY))


@pytest.mark.parametrize("said", [text.strip() for text in UNCERTAIN.split(";")])
def test_an_end_that_could_be_several_days_is_none(said: str):
    """A word more may change it."""
    assert last_day(said, SATURDAY) is None


@pytest.mark.parametrize(
    ("said", "day"), [("Friday", "2026-11-27"), ("next Friday", "None"), ("next Tuesday", "2026-12-01")]
)
def test_next_friday_is_uncertain_while_this_friday_is_to_come(said: str, day: str):
    """Some mean the coming one, and some the one a week later."""
    assert day == str(last_day(said, WEDNESDAY))


@pytest.mark.parametrize(
    ("said", "day"),
    [("yesterday", "2026-11-27"), ("ayer", "2026-11-27"), ("today", "2026-11-28"), ("next week", "None")],
)
def test_a_day_beside_today_is_known(said: str, day: str):
    """Whether it is past or to come."""
    assert day == str(single_day(said, SATURDAY))


@given(
    st.text(max_size=40)
    | st.lists(st.sampled_from([*" ".join(ENDS).split(), "0", "99", "th", "Q", "m99"])).map(" ".join)
)
def test_any_text_is_a_day_or_none(text: str):
    """And without a year, never one that is over."""
    end = last_day(text, SATURDAY)

    assert end is None or end >= SATURDAY - timedelta(days=2) or any(char.isdigit() for char in text)


@given(st.dates(date(1990, 1, 1), date(2100, 1, 1)), st.integers(1, 12))
def test_a_month_ends_within_a_year(today: date, month: int):
    """On its last day, which is not over."""
    end = last_day(f"end of {date(2000, month, 1):%B}", today)

    assert end is not None
    assert (month, 1) == (end.month, (end + timedelta(days=1)).day)
    assert today <= end < today + timedelta(days=397)
