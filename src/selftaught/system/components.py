"""Components by name: `methods/.../simclr.py` is "simclr", its options the keyword-only parameters of its class.

What a value may be is said once, in the option's annotation: `Annotated[float, Field(ge=0, lt=1, description="a share
below 1")]`. The description, if there is one, ends the sentence "... cannot be 2: it is ..." about any value that does
not fit. What bounds cannot say is a function: `Annotated[tuple[float, float], AfterValidator(rising), Field(...)]`.
"""

import inspect
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from difflib import get_close_matches
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, ValidationInfo, field_validator
from pydantic.fields import FieldInfo

from selftaught.system.context import holding
from selftaught.system.errors import UsageError
from selftaught.system.text import as_number, printable

MOST_NAMED = 60  # names in an error; timm alone knows more than a thousand
FINITE = ConfigDict(allow_inf_nan=False)  # of every option: there is none that NaN or infinity would mean something to


SWITCH = "it is not true or false, which in YAML yes, no, on and off are, too"
_anew: ContextVar[bool] = ContextVar("anew", default=False)


class Said(BaseModel):
    """What somebody says of a thing: nothing but its fields, and no true or false where a number is meant."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_switch(cls, value: Any, about: ValidationInfo) -> Any:
        if _is_switch(value, cls.model_fields[str(about.field_name)].annotation):
            raise ValueError(SWITCH)
        return value


class Part(BaseModel):
    """A component's name with the options to build it: plain data, so it can be saved, compared and rebuilt."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    options: dict[str, Any] = {}


@dataclass(frozen=True)
class Option:
    """One option of a component."""

    type: Any  # without its bounds, as it is listed for people
    default: Any
    annotation: Any  # with them, as values are held to it

    @property
    def is_required(self) -> bool:
        """Whether it has no default, as an option of somebody else's part may."""
        return self.default is inspect.Parameter.empty


class OptionError(UsageError):
    """An option that a part does not have, or a value that it cannot have.

    `option` is its dotted name, method.width or views.strong.crop; what is as in "method simclr" or "view strong", and
    "" of a setting that is of no part.
    """

    def __init__(self, what: str, name: str, told: str) -> None:
        super().__init__(told)
        kind, _, named = what.partition(" ")
        self.option = f"views.{named}.{name}" if kind == "view" else f"{kind}.{name}".removeprefix(".")


def asked_anew() -> AbstractContextManager[None]:
    """Inside, options are of what begins: true is no number, as it was to runs and encoders of before."""
    return holding(_anew, True)


@contextmanager
def options_of(file: object, way: str, given: Collection[str] = ()) -> Iterator[None]:
    """Say of an option that is refused in which file it stands, where it is not among those `given`, and a way out."""
    try:
        yield
    except OptionError as error:
        if error.option in given:
            raise
        raise UsageError(f"{printable(file)}: {error}; {way.format(error.option)}") from None


def options(built: Any) -> dict[str, Option]:
    """The options of a class or function: its keyword-only parameters."""
    function = built.__init__ if inspect.isclass(built) else built
    types, annotations = get_type_hints(function), get_type_hints(function, include_extras=True)
    return {
        p.name: Option(types.get(p.name, Any), p.default, annotations.get(p.name, Any))
        for p in inspect.signature(function).parameters.values()
        if p.kind is p.KEYWORD_ONLY
    }


def checked(what: str, built: Any, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """The chosen options, held to their annotations; an unknown name or a bad value is a usage error."""
    known = options(built)
    values = {}
    for name, value in chosen.items():
        if name not in known:
            raise OptionError(what, name, f"{what} has no option {name!r}; {hint(name, known)}")
        annotation = known[name].annotation
        try:
            if _anew.get() and _is_switch(value, annotation):
                raise ValueError(SWITCH)
            values[name] = TypeAdapter(annotation, config=FINITE).validate_python(value)
        except ValueError as error:  # pydantic's is one
            wanted = described(annotation)
            reason = f"it is {wanted}" if wanted else problem(error) if isinstance(error, ValidationError) else SWITCH
            told = f"{what} option {name!r} cannot be {short(value)}: {reason}"
            raise OptionError(what, name, told) from None
    for name, option in known.items():
        if option.is_required and name not in values:
            raise OptionError(what, name, f"{what} option {name!r} has no default: choose it, or give it one there")
    return values


def _is_switch(value: Any, annotation: Any) -> bool:
    """Whether a value is true or false, or has such among its items, and what it is for names no such thing."""
    items = value if isinstance(value, list | tuple) else (value,)
    return any(isinstance(item, bool) for item in items) and not _may_be_switch(annotation)


def _may_be_switch(annotation: Any) -> bool:
    if annotation in (Any, bool) or isinstance(annotation, bool) or get_origin(annotation) is dict:
        return True
    return any(map(_may_be_switch, get_args(annotation)))


def choices(annotation: Any) -> tuple[Any, ...]:
    """The values that an option can have, where its annotation names them all."""
    return get_args(annotation) if get_origin(annotation) is Literal else ()


def about(built: Any) -> dict[str, str]:
    """What the documentation of a class or function says of each of its options, as a sentence or a part of one.

    That is what begins with "`option`", has it, or, for an option alone, begins with "option:".
    """
    function = built.__init__ if inspect.isclass(built) else built
    parts = [part.strip(" .") for part in re.split(r"[.;] ", " ".join((function.__doc__ or "").split()))]
    said = {}
    for name in options(built):
        begin = [part for part in parts if part.startswith((f"`{name}`", f"{name}:"))]
        if found := begin or [part for part in parts if f"`{name}`" in part]:
            said[name] = found[0].removeprefix(f"{name}:").strip()
    return said


def short(value: Any, most: int = 80) -> str:
    """A value as Python writes it, without its middle where that is long; an error is to be one line."""
    try:
        text = repr(value)
    except ValueError:  # Python writes no number of more than 4,300 digits
        return "a number of thousands of digits"
    return text if len(text) <= most else f"{text[: most // 2]} ... {text[-most // 4 :]}"


def place_and_problem(error: ValidationError) -> str:
    """Where the first thing that is wrong lies inside of what was given, and what it is."""
    first = error.errors()[0]
    said = "it is no object" if first["type"] in ("model_type", "dict_type") else problem(error)
    return ": ".join(filter(None, [".".join(map(str, first["loc"])), said]))


def problem(error: ValidationError) -> str:
    """The first thing that is wrong, to stand after a colon."""
    first = error.errors()[0]
    if first["type"] == "int_parsing" and as_number(str(first["input"])) is not None:  # such as 1e9
        return "a whole number is written in digits alone"
    if first["type"] == "too_short":
        return f"at least {first['ctx']['min_length']} is needed"
    line = str(first["msg"]).removeprefix("Value error, ")
    return line[0].lower() + line[1:]


def described(annotation: Any) -> str | None:
    """What a value must be, as the annotation or a member of its union describes it; the outermost description counts.

    That of an item of a tuple says nothing about the tuple.
    """
    if isinstance(annotation, FieldInfo):
        return annotation.description
    inside = get_args(annotation) if get_origin(annotation) in (Annotated, Union, UnionType) else ()
    return next((words for part in reversed(inside) if (words := described(part))), None)


def meant(name: str, known: Iterable[str]) -> str:
    """The one of `known` names that is meant, whatever its case, hyphens and spaces; else what was said."""
    return {_bare(one): one for one in known}.get(_bare(name), name)


def _bare(name: str) -> str:
    return "".join(filter(str.isalnum, name.lower()))


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The one of `known` names that a misspelt one may be meant to be, if any is near."""
    known = sorted(known)
    own = meant(name, known)
    return own if own in known else next(iter(get_close_matches(name, known, n=1)), None)


def hint(name: str, known: Iterable[str], most: int = MOST_NAMED) -> str:
    """A suggestion for a misspelt name, or so many of the `known` ones."""
    known = sorted(known)
    if close := nearest(name, known):
        return f"did you mean {close!r}?"
    more = f" and {len(known) - most:,} more" if len(known) > most else ""
    return f"there are {', '.join(known[:most])}{more}" if known else "there are none"
