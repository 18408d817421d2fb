"""What a search's filter means: every filter becomes one jsonpath predicate, so that the SQL stays constant.

Comparison is by JSON type: 10 is more than 9, and "10" is not a number. A missing field equals nothing but None.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from langgraph_learning.errors import InvalidFilter

_COMPARISONS = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}


def to_jsonpath(filter: Mapping[str, Any] | None) -> str | None:
    """Return the predicate for `value @@ …::jsonpath`, or None where everything passes."""
    if not filter:
        return None
    # Strict: a list equals a list, and is not compared element by element behind the caller's back.
    return f"strict {_fields(filter, '$')}"


def _fields(filter: Mapping[str, Any], path: str) -> str:
    return _all(_field(name, condition, path) for name, condition in filter.items())


def _field(name: str, condition: Any, path: str) -> str:
    if name in _LOGIC:
        return _LOGIC[name](condition, path, _fields)
    if name.startswith("$"):
        raise InvalidFilter(f"{name} is no operator that stands beside fields; there are {', '.join(_LOGIC)}.")
    return _condition(condition, f"{path}.{_literal(name)}")


def _condition(condition: Any, path: str) -> str:
    if not isinstance(condition, Mapping):
        return _equals(condition, path)
    if not any(str(name).startswith("$") for name in condition):
        return _fields(condition, path) if condition else f'({path}.type() == "object")'
    return _all(_operator(name, operand, path) for name, operand in condition.items())


def _operator(name: str, operand: Any, path: str) -> str:
    if name in _COMPARISONS:
        return f"({path} {_COMPARISONS[name]} {_scalar(operand, name)})"
    if name in _OPERATORS:
        return _OPERATORS[name](operand, path)
    if name in _LOGIC:
        return _LOGIC[name](operand, path, _condition)
    known = ", ".join([*_OPERATORS, *_COMPARISONS, *_LOGIC])
    raise InvalidFilter(f"Unsupported operator {name!r} in a filter; there are {known}.")


def _equals(value: Any, path: str) -> str:
    if value is None:
        return f"({path} == null || {_missing(path)})"
    if isinstance(value, Mapping):
        return _all([f'({path}.type() == "object")', *(_equals(v, f"{path}.{_literal(k)}") for k, v in value.items())])
    if isinstance(value, Sequence) and not isinstance(value, str):
        size = f'({path}.type() == "array" && {path}.size() == {len(value)})'
        return _all([size, *(_equals(element, f"{path}[{nth}]") for nth, element in enumerate(value))])
    return f"({path} == {_literal(value)})"


def _missing(path: str) -> str:
    return f"((exists({path})) is unknown)"


def _exists(wanted: Any, path: str) -> str:
    return _negate(_missing(path)) if wanted else _missing(path)


def _negate(predicate: str) -> str:
    # A comparison with what is not there, or with another type, is neither true nor false in jsonpath.
    return f"(!({predicate}) || (({predicate}) is unknown))"


def _all(predicates: Any) -> str:
    return "(" + (" && ".join(predicates) or "1 == 1") + ")"


def _any(predicates: Any) -> str:
    return "(" + (" || ".join(predicates) or "1 == 0") + ")"


def _list(operand: Any, name: str) -> Sequence[Any]:
    if not isinstance(operand, Sequence) or isinstance(operand, str):
        raise InvalidFilter(f"{name} takes a list, not {type(operand).__name__}.")
    return operand


def _scalar(operand: Any, name: str) -> str:
    if operand is None or isinstance(operand, str | int | float):
        return _literal(operand)
    raise InvalidFilter(f"{name} compares with a number or a text, not with {type(operand).__name__}.")


def _literal(value: Any) -> str:
    try:
        return json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InvalidFilter(f"A filter compares with JSON values; {value!r} is none.") from error


_Inner = Callable[[Any, str], str]

_OPERATORS: dict[str, Callable[[Any, str], str]] = {
    "$eq": _equals,
    "$ne": lambda operand, path: _negate(_equals(operand, path)),
    "$in": lambda operand, path: _any(_equals(value, path) for value in _list(operand, "$in")),
    "$nin": lambda operand, path: _negate(_any(_equals(value, path) for value in _list(operand, "$nin"))),
    "$exists": _exists,
}

_LOGIC: dict[str, Callable[[Any, str, _Inner], str]] = {
    "$and": lambda operand, path, inner: _all(inner(part, path) for part in _list(operand, "$and")),
    "$or": lambda operand, path, inner: _any(inner(part, path) for part in _list(operand, "$or")),
    "$not": lambda operand, path, inner: _negate(inner(operand, path)),
}
