"""Command that evaluates a model: `python -m evals --model openai:gpt-5-mini`."""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from typing import TypeVar

from langchain.chat_models import init_chat_model
from langchain_core.language_models import BaseChatModel

from evals.answers import answer
from evals.conversations import Conversation, Question, conversations, questions
from evals.lesson import learn
from evals.report import as_json, table
from evals.scoring import score

T = TypeVar("T", Conversation, Question)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the requested evaluations and print the figures."""
    options = _options().parse_args(arguments)
    chosen = [c for c in conversations() if _is_chosen(c, options)]
    asked = questions() if options.answers and not options.only else []
    if not chosen:
        sys.exit(f"No conversation has a name that contains any of {options.only!r}.")
    model = _model(options)
    scored = [(c, score(c, learn(c, model))) for c in progress(chosen, "learning")]
    answered = [answer(question, model) for question in progress(asked, "answering")]
    print(
        json.dumps(as_json(scored, answered), indent=2, ensure_ascii=False) if options.json else table(scored, answered)
    )


def progress(rows: Sequence[T], doing: str) -> Iterator[T]:
    """Yield the rows, and print on standard error which one is in progress."""
    for number, row in enumerate(rows, start=1):
        _print_progress(f"{doing} {number}/{len(rows)}: {row.name}", last=False)
        yield row
    if rows:
        _print_progress(f"{doing}: {len(rows)} done", last=True)


def _print_progress(line: str, *, last: bool) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{line}" + ("\n" if last else ""))
    else:
        sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _is_chosen(conversation: Conversation, options: argparse.Namespace) -> bool:
    parts = {"all": (True, False), "tuned-on": (False,), "held-out": (True,)}
    named = not options.only or any(only in conversation.name for only in options.only)
    return named and conversation.held_out in parts[options.part]


def _model(options: argparse.Namespace) -> BaseChatModel:
    settings = {
        "base_url": options.base_url,
        "temperature": options.temperature,
        "max_tokens": options.max_tokens,
    }
    model: BaseChatModel = init_chat_model(options.model, **{k: v for k, v in settings.items() if v is not None})
    return model


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m evals", description="How well a model learns from conversations.")
    parser.add_argument("--model", required=True, help="a name for init_chat_model, such as openai:gpt-5-mini")
    parser.add_argument("--base-url", help="the URL of an OpenAI-compatible server; default: the provider's own")
    parser.add_argument("--temperature", type=float, help="default: the provider's own")
    parser.add_argument("--max-tokens", type=int, help="the limit of one answer, for small models that do not stop")
    parser.add_argument(
        "--only", action="append", metavar="NAME", help="only conversations whose name contains this; may be repeated"
    )
    parser.add_argument("--part", choices=["all", "tuned-on", "held-out"], default="all", help="which conversations")
    parser.add_argument("--no-answers", dest="answers", action="store_false", help="skip the questions")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    return parser


if __name__ == "__main__":
    main()
