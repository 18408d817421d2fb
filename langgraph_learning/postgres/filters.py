"""Filters of searches as jsonpath predicates."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from langgraph_learning.errors import InvalidFilter


def to_jsonpath(filter: Mapping[str, Any] | None) -> str | None:
    """Translate a filter to one predicate for `value @@ …::jsonpath`, so that the SQL stays constant; None: no filter.

    Values are compared by JSON type: 10 is greater than 9, and "10" is not a number. A missing field equals None and
    nothing else. Raises `InvalidFilter`.
    """
    if not filter:
        return None
    # Strict mode: a list equals a list. In lax mode jsonpath would compare its elements instead.
    return f"strict {_fields_predicate(filter, '$')}"


def _fields_predicate(filter: Mapping[str, Any], path: str) -> str:
    return _conjunction(_field_predicate(name, condition, path) for name, condition in filter.items())


def _field_predicate(name: str, condition: Any, path: str) -> str:
    if name in _LOGIC:
        return _LOGIC[name](condition, path, _fields_predicate)
    if name.startswith("$"):
        raise InvalidFilter(f"{name} is not an operator between fields; use one of {', '.join(_LOGIC)}.")
    return _condition_predicate(condition, f"{path}.{_json_literal(name)}")


def _condition_predicate(condition: Any, path: str) -> str:
    if not isinstance(condition, Mapping):
        return _equality(condition, path)
    if not any(str(name).startswith("$") for name in condition):
        return _fields_predicate(condition, path) if condition else f'({path}.type() == "object")'
    return _conjunction(_operator_predicate(name, operand, path) for name, operand in condition.items())


def _operator_predicate(name: str, operand: Any, path: str) -> str:
    if name in _COMPARISONS:
        return f"({path} {_COMPARISONS[name]} {_scalar_literal(operand, name)})"
    if name in _OPERATORS:
        return _OPERATORS[name](operand, path)
    if name in _LOGIC:
        return _LOGIC[name](operand, path, _condition_predicate)
    supported = ", ".join([*_OPERATORS, *_COMPARISONS, *_LOGIC])
    raise InvalidFilter(f"A filter has no operator {name!r}; the operators are {supported}.")


def _equality(value: Any, path: str) -> str:
    if value is None:
        return f"({path} == null || {_absence(path)})"
    if isinstance(value, Mapping):
        fields = [_equality(part, f"{path}.{_json_literal(name)}") for name, part in value.items()]
        return _conjunction([f'({path}.type() == "object")', *fields])
    if isinstance(value, Sequence) and not isinstance(value, str):
        size = f'({path}.type() == "array" && {path}.size() == {len(value)})'
        elements = [_equality(element, f"{path}[{position}]") for position, element in enumerate(value)]
        return _conjunction([size, *elements])
    return f"({path} == {_json_literal(value)})"


def _absence(path: str) -> str:
    return f"((exists({path})) is unknown)"


def _existence(wanted: Any, path: str) -> str:
    return _negation(_absence(path)) if wanted else _absence(path)


def _negation(predicate: str) -> str:
    # In jsonpath, a comparison with a missing value or with another type is neither true nor false.
    return f"(!({predicate}) || (({predicate}) is unknown))"


def _conjunction(predicates: Iterable[str]) -> str:
    return "(" + (" && ".join(predicates) or "1 == 1") + ")"


def _disjunction(predicates: Iterable[str]) -> str:
    return "(" + (" || ".join(predicates) or "1 == 0") + ")"


def _require_list(operand: Any, name: str) -> Sequence[Any]:
    if not isinstance(operand, Sequence) or isinstance(operand, str):
        raise InvalidFilter(f"{name} takes a list, not {type(operand).__name__}.")
    return operand


def _scalar_literal(operand: Any, name: str) -> str:
    if operand is None or isinstance(operand, str | int | float):
        return _json_literal(operand)
    raise InvalidFilter(f"{name} compares with a number or a text, not with {type(operand).__name__}.")


def _json_literal(value: Any) -> str:
    try:
        return json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InvalidFilter(f"A filter compares JSON values; {value!r} is not one.") from error


_InnerPredicate = Callable[[Any, str], str]
_COMPARISONS = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}

_OPERATORS: dict[str, Callable[[Any, str], str]] = {
    "$eq": _equality,
    "$ne": lambda operand, path: _negation(_equality(operand, path)),
    "$in": lambda operand, path: _disjunction(_equality(value, path) for value in _require_list(operand, "$in")),
    "$nin": lambda operand, path: _negation(
        _disjunction(_equality(value, path) for value in _require_list(operand, "$nin"))
    ),
    "$exists": _existence,
}

_LOGIC: dict[str, Callable[[Any, str, _InnerPredicate], str]] = {
    "$and": lambda operand, path, inner: _conjunction(inner(part, path) for part in _require_list(operand, "$and")),
    "$or": lambda operand, path, inner: _disjunction(inner(part, path) for part in _require_list(operand, "$or")),
    "$not": lambda operand, path, inner: _negation(inner(operand, path)),
}
