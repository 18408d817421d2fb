"""Validation of what a model sent, after repair of the forms that models confuse: JSON in strings, pairs, nulls."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, get_args

from pydantic import AliasChoices, BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

R = TypeVar("R", bound=BaseModel)

PAIR = ("name", "value")
"""Names of the fields of a pair: a dict is asked for as a list of pairs, for its keys are not known beforehand."""
_NULLS = frozenset({"null", "None", "NULL"})
_ROUNDS = 8
"""How often a value is repaired and validated again: a repaired part may hold another one to repair."""
_LISTS = frozenset({"list_type", "set_type", "frozen_set_type", "tuple_type", "iterable_type"})
_OBJECTS = frozenset({"dict_type", "model_type", "model_attributes_type", "dataclass_type", "mapping_type"})


def validate_leniently(record: type[R], raw: Mapping[str, Any]) -> R:
    """Return the record in a model's answer. Raises pydantic's `ValidationError`, of the values as they came.

    A field may be named by its alias or its own name, and null for a field with a default means that default. The
    values are JSON, so a strict record takes a date as text. Only what is not valid as it came is repaired, and only
    where its meaning is plain.
    """
    values = _by_input_name(record, raw)
    first_error: ValidationError | None = None
    for _ in range(_ROUNDS):
        try:
            return record.model_validate(values, strict=False)
        except ValidationError as error:
            first_error = first_error or error
            details = error.errors(include_url=False, include_context=False)
            repaired = values
            for detail in details:
                repaired = _repair(repaired, detail["loc"], detail)
            if repaired == values:
                break
            values = repaired
    assert first_error is not None
    raise first_error


def input_name(name: str, field: FieldInfo) -> str:
    """Return the name under which a field is validated: the first of its aliases, or its own name."""
    alias = field.validation_alias or field.alias
    if isinstance(alias, AliasChoices):
        alias = next((choice for choice in alias.choices if isinstance(choice, str)), None)
    return alias if isinstance(alias, str) else name


def _by_input_name(record: type[BaseModel], raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values under the names that validation wants, without nulls for fields that have a default."""
    fields = {input_name(name, field): (name, field) for name, field in record.model_fields.items()}
    names = {name: alias for alias, (name, _) in fields.items()}
    by_name = record.model_config.get("populate_by_name") or record.model_config.get("validate_by_name")
    values: dict[str, Any] = {}
    for given, value in raw.items():
        alias = given if given in fields or by_name else names.get(given, given)
        field = fields[alias][1] if alias in fields else record.model_fields.get(alias)
        if field is not None and _means_null(value, field):
            value = None
        if not (value is None and field is not None and not field.is_required()):
            values.setdefault(alias, value)
    return values


def _means_null(value: Any, field: FieldInfo) -> bool:
    """Return True for the word null, where the field can be null and does not offer the word as a choice."""
    can_be_null = not field.is_required() or type(None) in get_args(field.annotation)
    return can_be_null and isinstance(value, str) and value in _NULLS and repr(value) not in repr(field.annotation)


def _repair(value: Any, path: Sequence[int | str], detail: ErrorDetails) -> Any:
    """Return a value with the part at this path repaired, or unchanged if it cannot be."""
    if not path:
        return _repair_part(value, detail)
    step, *rest = path
    if isinstance(value, Mapping) and step in value:
        part = value[step]
        if not rest and _is_removable(part, detail):
            return {name: other for name, other in value.items() if name != step}
        return {**value, step: _repair(part, rest, detail)}
    if isinstance(value, list) and isinstance(step, int) and step < len(value):
        return [_repair(part, rest, detail) if at == step else part for at, part in enumerate(value)]
    # The name of a union's branch, not of a part.
    return _repair(value, rest, detail)


def _is_removable(part: Any, detail: ErrorDetails) -> bool:
    """Return True for a null, which stands for a default, and for an unknown field that says nothing."""
    return part is None or (detail["type"] == "extra_forbidden" and part in ("", [], {}))


def _repair_part(part: Any, detail: ErrorDetails) -> Any:
    kind = detail["type"]
    if isinstance(part, str):
        return _repair_text(part, kind)
    if kind in ("string_type", "literal_error") and isinstance(part, int | float) and not isinstance(part, bool):
        return str(part)
    if kind == "string_type" and isinstance(part, list) and all(isinstance(entry, str) for entry in part):
        return ", ".join(part)
    if kind in _OBJECTS and isinstance(part, list) and (pairs := [_read_pair(entry) for entry in part]) and all(pairs):
        return dict(pair for pair in pairs if pair)
    if kind in _LISTS and isinstance(part, Mapping | int | float):
        return [part]
    return part


def _repair_text(text: str, kind: str) -> Any:
    if kind in _LISTS or kind in _OBJECTS:
        try:
            parsed = json.loads(text)
        except ValueError:
            parsed = None
        if isinstance(parsed, list | dict):
            return parsed
        return [text] if kind in _LISTS and text.strip() else text
    if kind == "literal_error" and text.strip().removeprefix("-").isdecimal():
        return int(text)
    if kind in ("literal_error", "enum"):
        return text.strip().casefold()
    return text.strip() if kind.endswith(("_type", "_parsing")) else text


def _read_pair(entry: Any) -> tuple[str | int, Any] | None:
    """Return name and value of a pair in the form that was asked for, or in one that models write instead."""
    if isinstance(entry, Mapping) and len(entry) == 1:
        return next(iter(entry.items()))
    for name, value in (PAIR, ("key", "value")):
        if isinstance(entry, Mapping) and set(entry) == {name, value} and isinstance(entry[name], str | int):
            return entry[name], entry[value]
    if isinstance(entry, list) and len(entry) == 2 and isinstance(entry[0], str | int):
        return entry[0], entry[1]
    return None
