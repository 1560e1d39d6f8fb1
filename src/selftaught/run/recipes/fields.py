"""What a recipe is: plain data, parsed, saved beside the result, read back and gone on with.

A field says by marks in its annotation what it means for resuming, for a --recipe file, for other commands; whoever
needs to know asks `Recipe.marked`. So a new field is one line, and no list of names has to follow it.
"""

from dataclasses import dataclass
from enum import Enum
from os import PathLike
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self, TypeVar, get_args

import yaml
from pydantic import Field, ValidationError

from selftaught.system.addresses import refuse_secrets
from selftaught.system.components import Part, Said, hint, problem, short
from selftaught.system.errors import UsageError
from selftaught.system.files import write_atomically
from selftaught.system.reading import yaml_in
from selftaught.system.text import printable


class Mark(Enum):
    """What a field can be besides a setting that makes the result."""

    FREE = "may differ when work is resumed; where it is not given, it stays as it was"
    MOVABLE = "is free as well where a fingerprint, NAME_fingerprint, tells that what it names is the same"
    COMMAND = "is free as well, and of the command alone: never taken from the recipe of the work that is resumed"
    ONE_RUN = "is of one run: a --recipe file does not hand it over to another"
    FILLED_IN = "is filled in by the system, and no flag"
    SHARED = "means what it means to pretrain, and is handed on by commands that pre-train"
    LENGTH = "says how long to train, of which a run has one"
    DATA = "names data; in Python what is named may itself stand there"
    SPEED = "changes which precision, layout and attention are fastest"


@dataclass(frozen=True)
class Flag:
    """How a field is written on the command line, where its name and type do not say it."""

    name: str = ""
    metavar: str = ""


T = TypeVar("T")  # Free[int] is an int that carries the mark
Free = Annotated[T, Mark.FREE]
Length = Annotated[T, Mark.LENGTH]
Shared = Annotated[T, Mark.SHARED]
Speed = Annotated[T, Mark.SPEED]
Own = Annotated[T, Mark.COMMAND, Mark.ONE_RUN]
File = Annotated[T, Flag(metavar="FILE")]
OfData = Annotated[T, Mark.DATA]


def about(line: str, **bounds: Any) -> Any:
    """What an annotated type says of its fields: a line of help, and bounds."""
    return Field(description=line, **bounds)


def _plain(value: Any) -> Any:
    """A setting without numbers of NumPy's or torch's, which a file could not say, wherever they stand in it."""
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(_plain, value))
    return value.item() if getattr(value, "ndim", None) == 0 and hasattr(value, "item") else value


def _holds_array(value: Any) -> bool:
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return bool(getattr(value, "ndim", 0)) or any(map(_holds_array, parts))


def is_blank(value: Any) -> bool:
    """Whether a setting is a text that says nothing, or has one among its items."""
    if isinstance(value, list | tuple):
        return any(map(is_blank, value))
    return isinstance(value, str) and not value.strip()


class FieldError(UsageError):
    """A value that a field of a recipe cannot have; `field` is the name of the field."""

    def __init__(self, field: str, told: str) -> None:
        super().__init__(told)
        self.field = field


class Recipe(Said):
    """Fields are flags of the command; dotted flags go into parts and tables of options."""

    # Of commands with so many flags that their help has parts: the field that each part begins with, and what most
    # people need, which is all that --help shows.
    TITLES: ClassVar[dict[str, str]] = {}
    FIRST: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def parse(cls, values: dict[str, Any], saved: bool = False) -> Self:
        """Validate plain values; the first problem is a usage error in one line.

        saved: whether they were written down or handed over, and were checked before that. An empty text, which once
        was taken for nothing, is refused in others: whoever gives one has a variable that is not set.
        """
        values = {name: _plain(value) for name, value in values.items()}
        for name, value in values.items():
            refuse_secrets(value)  # before anything shows or keeps it
            if name not in cls.model_fields:
                known = cls.model_fields.keys() - cls.marked(Mark.FILLED_IN)
                raise FieldError(name, f"{cls.title()} has no option {name!r}; {hint(name, known)}")
            if _holds_array(value):
                raise FieldError(name, f"{name!r} cannot be an array")
            typed = not saved and name not in cls.marked(Mark.FILLED_IN)
            if typed and is_blank(value) and value != cls.model_fields[name].default:
                way = "" if cls.model_fields[name].is_required() else "leave it out, or "
                raise FieldError(name, f"--{name.replace('_', '-')} is empty: {way}say what it is to be")
        try:
            return cls.model_validate({name: str(v) if isinstance(v, PathLike) else v for name, v in values.items()})
        except ValidationError as error:
            first = error.errors()[0]
            field, *inside = map(str, first["loc"])
            given, wrong = values.get(field), short(first["input"], 200)
            # Of two numbers in one flag, 0x16, the number of the wrong one is no part of the flag's name, nor is the
            # one of several types that it was tried as; in rotation:0 there is a weight, which no flag names.
            names = [name for name in first["loc"][1:] if isinstance(name, str)] if isinstance(given, dict) else []
            flag = "--" + ".".join([field, *names]).replace("_", "-")
            if first["type"] == "missing":  # whose input would be all the other settings
                if inside:
                    raise FieldError(field, f"{flag} is missing") from None
                about = cls.model_fields[field].description
                raise UsageError(f"{flag} is missing" + (f": {about}" if about else "")) from None
            if first["type"] == "extra_forbidden" and _is_part(cls.model_fields[field].annotation) and len(inside) == 1:
                told = f"{field} has a name and options, and {inside[0]!r} is neither: write it under options"
                shown = f"{field}: {{name: ..., options: {{{inside[0]}: {short(first['input'])}}}}}"
                raise FieldError(field, f"{told}, as in {shown}") from None
            told = problem(error)
            if inside and isinstance(given, str) and isinstance(first["loc"][-1], str) and str(first["input"]) != given:
                wrong, told = short(given, 200), f"its {inside[-1]} is {wrong}, and {told}"
            raise FieldError(field, f"{flag} cannot be {wrong}: {told}") from None

    @classmethod
    def title(cls) -> str:
        """What its command is called."""
        return cls.model_config.get("title") or cls.__name__.lower()

    @classmethod
    def marked(cls, *marks: Mark) -> tuple[str, ...]:
        """The fields with any of these marks, in their order; of `Recipe` itself, those of all recipes."""
        fields = [field for recipe in (cls, *cls.__subclasses__()) for field in recipe.model_fields.items()]
        return tuple(dict.fromkeys(name for name, info in fields if not set(marks).isdisjoint(info.metadata)))

    def handed_on(self) -> dict[str, Any]:
        """What a command says of the pre-training that it does or foresees: its shared fields that were given."""
        return {name: getattr(self, name) for name in self.marked(Mark.SHARED) if name in self.model_fields_set}

    def continued(self, saved: Self) -> Self:
        """The recipe to resume with: what this one leaves open is taken from the saved one; a change is refused.

        Open is what is not given, and what is given as None or "auto": the saved recipe has what was chosen then. What
        is free to change, such as how often to log, stays as it was where it is not given. The data is the command's
        own, as it may have moved; its fingerprint is compared instead, and likewise that of what is movable.
        """
        own, free = {*self.marked(Mark.COMMAND)}, {*self.marked(Mark.FREE, Mark.COMMAND)}
        movable = (name for name in self.marked(Mark.MOVABLE) if getattr(self, name) is not None)
        free |= {name for name in movable if getattr(saved, f"{name}_fingerprint", None)}
        for name in sorted(self.model_fields_set - free):  # sorted, so that of two changes the same one is named
            now, before = getattr(self, name), getattr(saved, name)
            if now not in (None, "auto") and not _agrees(now, before):
                started = "without it" if before is None else f"with {_shown(before)}"
                raise UsageError(
                    f"cannot resume: --{name.replace('_', '-')} is {_shown(now)}, but the run was started {started}; "
                    "leave it out, or start anew in another --out"
                )
        anew = own | (free & self.model_fields_set)
        return saved.model_copy(update={name: getattr(self, name) for name in anew})

    def save(self, file: Path) -> None:
        """Write as YAML."""
        write_atomically(file, yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True))

    @classmethod
    def load(cls, file: Path) -> Self:
        """Read what `save` wrote."""
        values = read_settings(file, printable(file))
        try:
            return cls.parse(values, saved=True)
        except UsageError as error:
            raise UsageError(f"{printable(file)}: {error}") from None


def _is_part(annotation: Any) -> bool:
    return annotation is Part or any(map(_is_part, get_args(annotation)))


def read_settings(file: Path, shown: str, named: bool = False) -> dict[str, Any]:
    """What a YAML file decides; one that cannot be read is a usage error that calls it what is `shown`."""
    try:
        return yaml_in(file, named)
    except (OSError, ValueError) as error:
        raise UsageError(f"{shown} cannot be read: {printable(error)}") from None


def _agrees(now: Any, before: Any) -> bool:
    """Whether a setting is as it was; one that names some options of a part leaves the others open."""
    if isinstance(now, Part) and isinstance(before, Part):
        return now.name == before.name and _agrees(now.options, before.options)
    if isinstance(now, dict) and isinstance(before, dict):
        return all(_agrees(value, before.get(key)) for key, value in now.items())
    # A tuple comes back from YAML as a list inside options, and a path as text.
    if isinstance(now, list | tuple) and isinstance(before, list | tuple):
        return len(now) == len(before) and all(map(_agrees, now, before))
    return now == before or str(now) == str(before)


def _shown(value: Any) -> str:
    if isinstance(value, Part):
        return value.name + (f" with {value.options}" if value.options else "")
    return repr(value)
