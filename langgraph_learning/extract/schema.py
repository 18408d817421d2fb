"""JSON schema of the answer that a model is asked for, in the dialect that every provider accepts."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from langgraph_learning.core.records import FORGET
from langgraph_learning.core.repair import PAIR, validate_leniently
from langgraph_learning.errors import Misconfigured

EDIT_FIELDS = ("edit", "message", "replaces", "cues", "audience", "whose")
_TYPES = frozenset({"type", "enum", "const", "anyOf", "oneOf", "allOf", "$ref"})
"""Keywords that say which values a field takes."""
_UNKNOWN_TO_PROVIDERS = frozenset(
    {"prefixItems", "patternProperties", "not", "if", "contains", "dependentSchemas", "unevaluatedProperties"}
)
"""Keywords that change which values a field takes, and that strict providers refuse."""
# All other keywords are limits, which validation checks, or annotations without effect: they are left out.
CUES = {"type": "array", "items": {"type": "string"}}
"""Schema of the cues in an edit or a tool call."""
_WHOSE = ("user", "quoted", "tool")
"""Whose words a statement is, as far as the model can tell."""


def answer_schema(
    records: Mapping[str, type[BaseModel]], cued: Collection[str] = (), audiences: Sequence[str] = ()
) -> dict[str, Any]:
    """Return the schema of an extraction's answer: a list of edits, each with one record.

    What all edits have stands around the record, so that it is described once. The reader of answers puts both
    together; it takes them apart and together.
    cued: the kinds whose edits may carry cues.
    audiences: names of the scopes among which edits choose.
    Raises `Misconfigured`, naming the field, for a record that not every provider can be asked for.
    """
    notes = [edit_schema(record, kind) for kind, record in records.items()]
    notes.append(object_schema({"edit": _one_of([FORGET])}))
    around = {"audience": _one_of(audiences), "whose": _one_of(_WHOSE)} if audiences else {}
    edit = {
        "message": {"type": "integer"},
        "replaces": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        **({"cues": CUES} if cued else {}),
        **around,
        "note": {"anyOf": notes},
    }
    edits = {"type": "array", "items": object_schema(edit)}
    return {"title": "learn", **object_schema({"edits": edits})}


def edit_schema(record: type[BaseModel], kind: str, cued: bool = False) -> dict[str, Any]:
    """Return the schema of one record of this kind; with `cued`, it may carry cues."""
    cues = {"cues": CUES} if cued else {}
    return object_schema({"edit": _one_of([kind]), **field_schemas(record, EDIT_FIELDS), **cues})


def _one_of(values: Sequence[str]) -> dict[str, Any]:
    return {"type": "string", "enum": list(values)}


def field_schemas(record: type[BaseModel], taken: Sequence[str]) -> dict[str, Any]:
    """Return the schemas of a record's fields. Raises `Misconfigured` for a field that cannot be asked for."""
    schema = record.model_json_schema()
    if not (schema.get("properties") or schema.get("$ref")):
        raise Misconfigured(f"{record.__name__} has no fields: a record is a pydantic model with named fields.")
    if clash := set(schema.get("properties", ())) & set(taken):
        raise Misconfigured(f"{record.__name__}.{clash.pop()}: the names {', '.join(taken)} are taken by every edit.")
    fields: dict[str, Any] = _strict_schema(schema, schema.get("$defs", {}), record.__name__)["properties"]
    return fields


def parse_record(raw: Mapping[str, Any], record: type[BaseModel]) -> BaseModel:
    """Return the record in an edit that a model sent. Raises pydantic's `ValidationError`."""
    return validate_leniently(record, {name: value for name, value in raw.items() if name not in EDIT_FIELDS})


def object_schema(properties: Mapping[str, Any], description: str = "") -> dict[str, Any]:
    """Return the schema of an object that has exactly these fields, as strict providers want it."""
    schema = {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
    return {**schema, "description": description} if description else schema


def _strict_schema(
    schema: Any, definitions: Mapping[str, Any], where: str, inside: Sequence[str] = ()
) -> dict[str, Any]:
    """Return a schema in the dialect that strict providers share: no references, no defaults, every field required."""
    if not _TYPES & set(schema):
        raise Misconfigured(f"{where}: a field needs a type; Any cannot be asked of a model.")
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        if name in inside:
            raise Misconfigured(f"{where}: a record cannot contain itself.")
        found = _strict_schema(definitions[name], definitions, where, (*inside, name))
        return {**found, "description": schema["description"]} if "description" in schema else found
    if len(schema.get("allOf", ())) == 1:  # a reference with a description or a default beside it
        found = _strict_schema(schema["allOf"][0], definitions, where, inside)
        return {**found, "description": schema["description"]} if "description" in schema else found
    if unknown := (_UNKNOWN_TO_PROVIDERS | {"allOf"}) & set(schema):
        raise Misconfigured(
            f"{where}: JSON schema's {sorted(unknown)[0]!r} is not taken by every provider; use a plainer type."
        )
    strict: dict[str, Any] = {key: schema[key] for key in ("type", "description", "enum", "const") if key in schema}
    for union in ("anyOf", "oneOf"):
        if union in schema:
            strict["anyOf"] = [_strict_schema(branch, definitions, where, inside) for branch in schema[union]]
    if schema.get("type") == "array":
        strict["items"] = _strict_schema(schema.get("items", {}), definitions, f"{where}[]", inside)
    if schema.get("type") == "object":
        return _strict_object(schema, definitions, where, inside)
    return strict


def _strict_object(schema: Any, definitions: Mapping[str, Any], where: str, inside: Sequence[str]) -> dict[str, Any]:
    if not {"properties", "$ref"} & set(schema):
        return _pairs_schema(schema, definitions, where, inside)
    required = schema.get("required", ())
    properties = {}
    for name, field in schema["properties"].items():
        strict = _strict_schema(field, definitions, f"{where}.{name}", inside)
        properties[name] = strict if name in required else _make_nullable(strict)
    return object_schema(properties, " ".join(schema.get("description", "").split()))


def _pairs_schema(schema: Any, definitions: Mapping[str, Any], where: str, inside: Sequence[str]) -> dict[str, Any]:
    """Return the schema of a dict as a list of pairs: strict providers take only objects whose fields are known."""
    values = schema.get("additionalProperties")
    if not isinstance(values, dict):
        raise Misconfigured(f"{where}: a dict needs types, such as dict[str, str].")
    name, value = PAIR
    pair = object_schema({name: {"type": "string"}, value: _strict_schema(values, definitions, where, inside)})
    description = {"description": schema["description"]} if "description" in schema else {}
    return {"type": "array", "items": pair, **description}


def _make_nullable(schema: dict[str, Any]) -> dict[str, Any]:
    branches = schema.get("anyOf", [schema])
    if any(branch.get("type") == "null" for branch in branches):
        return schema
    kept = {"description": schema["description"]} if "anyOf" in schema and "description" in schema else {}
    return {**kept, "anyOf": [*branches, {"type": "null"}]}
