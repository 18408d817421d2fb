"""The conversation of `benchmarks.turn`: messages, answers, and the learnings of each turn."""

from dataclasses import dataclass

INSTRUCTIONS = "You help engineers with their infrastructure. Answer briefly, with numbers where you have them."
GOAL = "Move the services to the new cloud before the old contract ends"
PLAN = ("Inventory the services", "Move the training jobs", "Move the databases")


@dataclass(frozen=True)
class Turn:
    """One question, its answer, and its learnings. Every turn also updates the session's summary."""

    said: str
    answered: str
    summary: str
    """Summary of the session after this turn."""
    profile: tuple[tuple[str, str], ...] = ()
    observation: str | None = None
    facts: tuple[tuple[str, str], ...] = ()
    """Pairs of an entity and a fact about it."""
    insight: tuple[str, str] | None = None
    """A title and an insight."""


TURNS = (
    Turn(
        "Hi, I'm {name}. I lead the platform team and we are moving our services to another cloud.",
        "Good to meet you. Which services go first, and when does the old contract end?",
        "{name} plans to move the services to another cloud.",
        profile=(("name", "{name}"), ("role", "Lead of the platform team")),
        facts=(("Cloud move", "moves all services of the team to another cloud"),),
    ),
    Turn(
        "The contract ends in March. Please keep the answers short, I read them between meetings.",
        "March it is. Begin with what has the fewest dependencies.",
        "The old contract ends in March; the answers are to be short.",
        observation="Wants short answers, reads them between meetings",
        facts=(("Cloud move", "must be finished before March, when the old contract ends"),),
    ),
    Turn(
        "What is usually forgotten in such a move?",
        "Scheduled jobs, DNS lifetimes and the cost of data that leaves the old cloud.",
        "Talked about what is forgotten: jobs, DNS, the cost of outgoing data.",
    ),
    Turn(
        "We have forty services and about six terabytes in Postgres.",
        "Six terabytes: replicate first, switch over in a quiet hour.",
        "Forty services, six terabytes in Postgres; replicate first.",
        facts=(("Main database", "holds six terabytes in Postgres"),),
    ),
    Turn(
        "When we moved the logs last year, compressing before the transfer halved the bill.",
        "Then compress here too: it pays from about one terabyte on.",
        "Compressing before the transfer halved the bill for the logs.",
        insight=("Compress before a transfer", "Compressing before data leaves a cloud halved the transfer bill"),
    ),
    Turn(
        "The training jobs need eight accelerators each.",
        "Reserve them early, quotas take weeks.",
        "The training jobs need eight accelerators each; quotas are to be asked for early.",
        facts=(("Training jobs", "need eight accelerators each"),),
    ),
    Turn("How long does raising a quota take?", "Two to four weeks.", "Raising a quota takes two to four weeks."),
    Turn(
        "I work from Lisbon, so plan the switch for my morning.",
        "Seven in the morning in Lisbon is quiet for all your regions.",
        "The switch happens at seven in the morning, Lisbon time.",
        profile=(("location", "Lisbon"),),
        observation="Wants switch-overs in the morning, Lisbon time",
    ),
    Turn(
        "What do we do if the switch fails?",
        "Keep the old primary as a replica for a week; going back is one command.",
        "The old primary stays a replica for a week, so that one can go back.",
    ),
    Turn(
        "Priya looks after the databases, she will do the switch.",
        "Then she should rehearse it once on a copy.",
        "Priya looks after the databases and rehearses the switch on a copy.",
        facts=(("Priya", "looks after the databases and does the switch"),),
    ),
    Turn(
        "The rehearsal showed that long transactions block the switch. Ending them first helped.",
        "Good catch: end what runs longer than a minute, then switch.",
        "The rehearsal worked once long transactions were ended.",
        insight=("End long transactions before a switch-over", "Transactions of over a minute block a switch-over"),
    ),
    Turn(
        "Thanks! What is left?",
        "The training jobs, and turning the old cloud off.",
        "The training jobs and turning off the old cloud are left.",
    ),
    Turn(
        "Finance asks that we stay below forty thousand a month.",
        "Then run the training jobs at night, on spare capacity.",
        "The budget is forty thousand a month.",
        facts=(("Cloud move", "must stay below forty thousand a month"),),
    ),
    Turn(
        "Which of the three phases costs most?",
        "The second: training jobs are two thirds of the compute.",
        "The second phase costs most: training jobs are two thirds of the compute.",
        facts=(("Training jobs", "are two thirds of the compute"),),
    ),
    Turn(
        "Write me one line for the board.",
        "Forty services moved by March, below budget, no data lost.",
        "The board gets one line: moved by March, below budget.",
    ),
)
