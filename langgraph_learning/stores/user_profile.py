"""UserProfile: typed fields about the user, each corrected or cleared on its own."""

from collections.abc import Iterable, Sequence
from typing import Any, Literal, Union

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from langgraph_learning.core.learning import Learning
from langgraph_learning.core.records import Record, explain_error
from langgraph_learning.errors import Misconfigured
from langgraph_learning.stores.base import LearningStore


class Profile(BaseModel):
    """Default fields of a profile."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    name: str | None = None
    """What they are called in full."""
    preferred_name: str | None = None
    """What they like to be called."""
    role: str | None = None
    """Their job or title."""
    company: str | None = None
    """Whom they work for."""
    location: str | None = None
    """Where they live or work."""
    language: str | None = None
    """The language they want to be answered in."""
    timezone: str | None = None
    """Where their clock stands, as they said it."""
    expertise: str | None = None
    """What they know well."""


class UserProfile(LearningStore):
    """Typed fields about the user. `schema` is a pydantic model with your own fields, all of them optional."""

    name = "user_profile"
    title = "The user"
    stable = True
    limit = 50

    def __init__(self, schema: type[BaseModel] = Profile, **options: Any) -> None:
        """Accept the options of `LearningStore` too. Raises `Misconfigured` if the schema has no fields."""
        if not schema.model_fields:
            raise Misconfigured(f"{schema.__name__} has no fields: a profile needs at least one.")
        super().__init__(record=_make_field_record(schema), **options)
        rows = "\n".join(f"- {name}: {field.description or ''}" for name, field in schema.model_fields.items())
        self.instructions = f"{self.instructions}\nThe fields:\n{rows}"

    def user_names(self, known: Iterable[Learning]) -> list[str]:
        """Return the values of the fields whose names end in "name"."""
        names = []
        for learning in known:
            field, value = str(learning.data.get("field")), learning.data.get("value")
            if learning.kind in self.kinds and field.endswith("name") and value:
                names.append(str(value))
        return names


class _Field(Record):
    """One field of the user's profile, as the user gave it."""

    def identity(self) -> str:
        return str(self.field)  # type: ignore[attr-defined]  # the schema's names make the field's type

    def as_text(self) -> str:
        value = self.value  # type: ignore[attr-defined]  # the schema's types make the value's type
        return f"{self.identity()}: {', '.join(map(str, value)) if isinstance(value, list) else value}"


def _make_field_record(schema: type[BaseModel]) -> type[Record]:
    """Return a record of one field of a profile: the field's name, and a value of one of the profile's types."""
    names = tuple(schema.model_fields)
    blank = schema.model_construct()
    types = {_without_none(field.annotation) for field in schema.model_fields.values()}

    class ProfileField(_Field):
        __doc__ = _Field.__doc__

        def model_post_init(self, context: Any, /) -> None:
            """Validate the value against the field's type in the schema."""
            name = self.identity()
            try:
                schema.__pydantic_validator__.validate_assignment(blank.model_copy(), name, self.value)  # type: ignore[attr-defined]
            except ValidationError as error:
                raise ValueError(explain_error(error)) from error

    return create_model(
        "ProfileField",
        __base__=ProfileField,
        __doc__=_Field.__doc__,
        field=(_make_literal(names), ...),
        value=(_make_union(sorted(types, key=str)), ...),
    )


def _without_none(annotation: Any) -> Any:
    """Return a field's type without None: a field is cleared by forgetting it."""
    args = getattr(annotation, "__args__", ())
    if type(None) not in args:
        return annotation
    return _make_union([arg for arg in args if arg is not type(None)])


# Types known only at run time, which a type checker cannot follow.
def _make_union(types: Sequence[Any]) -> Any:
    return Union[tuple(types)]  # noqa: UP007


def _make_literal(names: tuple[str, ...]) -> Any:
    return Literal[names]
