"""UserProfile: typed fields about the user, each corrected or cleared on its own."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal, Union

from pydantic import (
    BaseModel,
    ConfigDict,
    PlainValidator,
    ValidationError,
    create_model,
    field_serializer,
    field_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from langgraph_learning.core.learning import Learning
from langgraph_learning.core.policy import Standing
from langgraph_learning.core.records import Record, explain_error, value_text
from langgraph_learning.core.repair import validate_leniently
from langgraph_learning.errors import Misconfigured
from langgraph_learning.stores.base import LearningStore

_NO_METADATA = "a field of a profile"  # Annotated wants something beside the type


class Profile(BaseModel):
    """Default fields of a profile."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    name: str | None = None
    """Full name."""
    preferred_name: str | None = None
    role: str | None = None
    company: str | None = None
    location: str | None = None
    language: str | None = None
    """Of answers."""
    timezone: str | None = None
    expertise: str | None = None


class UserProfile(LearningStore):
    """Typed fields about the user. `schema` is a pydantic model with your own fields, all of them optional."""

    name = "user_profile"
    title = "The user"
    standing = Standing.ALWAYS
    limit = 50

    def __init__(self, schema: type[BaseModel] = Profile, **options: Any) -> None:
        """Accept the options of `LearningStore` too. Raises `Misconfigured` if the schema has no fields."""
        if not (isinstance(schema, type) and issubclass(schema, BaseModel) and schema.model_fields):
            raise Misconfigured(f"schema= is a pydantic model with at least one field, and {schema!r} is none.")
        super().__init__(record=_make_field_record(schema), **options)
        fields = "; ".join(map(_describe_field, schema.model_fields, schema.model_fields.values()))
        self.instructions = f"{self.instructions}\nThe fields: {fields}."

    def user_names(self, known: Iterable[Learning]) -> list[str]:
        """Return the values of the fields whose names end in "name"."""
        names = []
        for learning in known:
            field, value = str(learning.data.get("field")), learning.data.get("value")
            if learning.kind in self.kinds and field.endswith("name") and value:
                names.append(str(value))
        return names


def _describe_field(name: str, field: FieldInfo) -> str:
    """Return a field's name with its description."""
    described = (field.description or "").strip().rstrip(".")
    return f"{name} ({described[:1].lower()}{described[1:]})" if described else name


class _Field(Record):
    """One field of the user's profile, as the user gave it."""

    def identity(self) -> str:
        return str(self.field)  # type: ignore[attr-defined]  # the schema's names make the field's type

    def as_text(self) -> str:
        value = self.value  # type: ignore[attr-defined]  # the schema's types make the value's type
        return f"{self.identity()}: {value_text(to_jsonable_python(value))}"


def _make_field_record(schema: type[BaseModel]) -> type[Record]:
    """Return a record of one field of a profile: the field's name, and a value of one of the profile's types."""
    names = tuple(schema.model_fields)
    types = {_without_none(field.annotation) for field in schema.model_fields.values()}
    models = {name: _make_field_model(schema, name) for name in names}

    class ProfileField(_Field):
        __doc__ = _Field.__doc__

        def model_post_init(self, context: Any, /) -> None:
            """Replace the value by what the field's type and validators in the schema make of it."""
            name = self.identity()
            try:
                validated = validate_leniently(models[name], {name: self.value})  # type: ignore[attr-defined]
            except ValidationError as error:
                raise ValueError(explain_error(error)) from error
            except Exception as error:
                raise ValueError(f"{name}: {type(error).__name__}: {error}") from error
            value = getattr(validated, name)
            if value is None:
                raise ValueError(f"{name}: null is no value; a field is cleared by forgetting it")
            self.__dict__["value"] = value

        @field_serializer("value", mode="plain", check_fields=False)
        def _value_as_json(self, value: Any) -> Any:
            return to_jsonable_python(value, by_alias=False, round_trip=True)

    return create_model(
        "ProfileField",
        __base__=ProfileField,
        __doc__=_Field.__doc__,
        field=(_make_literal(names), ...),
        # The schema's field validates the value; a union of all types would change it before.
        value=(_make_unvalidated(_make_union(sorted(types, key=str))), ...),
    )


def _make_field_model(schema: type[BaseModel], name: str) -> type[BaseModel]:
    """Return a model of one field of a schema, with the field's type, limits and validators.

    The profile is learnt field by field, so that validators of the whole schema, which see several fields, cannot be
    asked; and a field that is frozen in the schema may get its first value.
    """
    original = schema.model_fields[name]
    decorators = schema.__pydantic_decorators__.field_validators.items()
    validators: dict[str, Any] = {
        f"{attribute}_of_field": field_validator(name, mode=decorator.info.mode)(staticmethod(decorator.func))
        for attribute, decorator in decorators
        if name in decorator.info.fields or "*" in decorator.info.fields
    }
    inherited = (
        "arbitrary_types_allowed",
        "str_strip_whitespace",
        "str_to_lower",
        "str_to_upper",
        "use_enum_values",
        "str_min_length",
        "str_max_length",
        "allow_inf_nan",
        "coerce_numbers_to_str",
    )
    config: Any = {option: value for option, value in schema.model_config.items() if option in inherited}
    field: Any = {name: (Annotated[(original.annotation, *original.metadata, _NO_METADATA)], ...)}
    model: type[BaseModel] = create_model(schema.__name__, __config__=config, __validators__=validators, **field)
    return model


def _without_none(annotation: Any) -> Any:
    """Return a field's type without None: a field is cleared by forgetting it."""
    args = getattr(annotation, "__args__", ())
    if type(None) not in args:
        return annotation
    return _make_union([arg for arg in args if arg is not type(None)])


def _make_unvalidated(annotation: Any) -> Any:
    """Return a type with the JSON schema of another one, that takes any value as it is."""
    return Annotated[Any, PlainValidator(lambda value: value, json_schema_input_type=annotation)]


# Types known only at run time, which a type checker cannot follow.
def _make_union(types: Sequence[Any]) -> Any:
    return Union[tuple(types)]  # noqa: UP007


def _make_literal(names: tuple[str, ...]) -> Any:
    return Literal[names]
