"""Methods that somebody has written where they are used, such as in a cell of a notebook.

Like data that is handed over, such a class has a name, python:MyMethod, for as long as a command works. The name stands
in the recipe, beside a digest of what the class says; the class does not, so a run goes on where it is given again.
"""

import ast
import hashlib
import inspect
import re
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from selftaught.methods.theirs import refuse_unfinished
from selftaught.system.context import IN_PYTHON, holding
from selftaught.system.errors import UsageError

INSTALLED = {"selftaught", "torch", "abc", "builtins"}  # packages whose classes are no part of what somebody wrote

ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")  # in memory, as Python shows what has nothing else to say of itself

_held: ContextVar[Mapping[str, type]] = ContextVar("held_methods", default={})  # noqa: B039 - nobody writes in it


def held() -> Mapping[str, type]:
    """The classes by their names, for as long as a command works."""
    return _held.get()


@contextmanager
def handed(chosen: Any) -> Iterator[Any]:
    """What was chosen, with names in place of classes: of one method, of several in a list, or with options.

    chosen: a class, a list of these and of names, or {"name": class, "options": {...}}; anything else is as it is.
    Raises UsageError for a class that is no method, and for two of one name.
    """
    known: dict[str, type] = {}
    named = _named(chosen, known)
    with holding(_held, {**held(), **known}):
        yield named


def _named(chosen: Any, known: dict[str, type]) -> Any:
    if isinstance(chosen, list | tuple):
        return [_named(one, known) for one in chosen]
    if isinstance(chosen, dict) and inspect.isclass(chosen.get("name")):
        return {**chosen, "name": _named(chosen["name"], known)}
    if not inspect.isclass(chosen):
        return chosen
    refuse_unfinished(chosen)
    name = IN_PYTHON + chosen.__name__
    if known.setdefault(name, chosen) is not chosen:
        raise UsageError(f"two methods of yours are called {chosen.__name__}: give one another name")
    return name


def given_again(name: str) -> UsageError:
    """What to say where nobody has handed over the class of a name, as on the command line."""
    cls = name.removeprefix(IN_PYTHON)
    way = f"selftaught.pretrain(..., method={cls})"
    return UsageError(f"{name} was written in Python, and has to be given again: {way}")


def source_digest(cls: type) -> str | None:
    """The same for as long as a class says the same, whatever its comments and blanks; None where it cannot be read.

    Its own parents count, up to those of this package and of torch; functions that it calls do not.
    """
    digest = hashlib.blake2b(digest_size=16)
    try:
        for one in cls.__mro__:
            if one.__module__.partition(".")[0] not in INSTALLED:
                for part in _parts(one):
                    digest.update(part.encode() + b"\0")
    except (OSError, TypeError):  # it was typed into an interpreter that keeps no source
        return None
    return digest.hexdigest()


def _parts(cls: type) -> Iterator[str]:
    """What a class says, a name at a time. A class of a notebook has no source of its own, but its functions have."""
    for name, value in sorted(vars(cls).items()):
        functions = [*filter(inspect.isfunction, _inside(value))]
        for function in functions:
            yield f"{name}: {_normalised(inspect.getsource(function))}"
        if not functions and not name.startswith(("__", "_abc")) and repr(value) != object.__repr__(value):
            yield f"{name} = {_said(value)}"


def _inside(value: Any) -> list[Any]:
    """A function, or those of a property, a class method and their like."""
    return [value, *(getattr(value, name, None) for name in ("__func__", "func", "fget", "fset"))]


def _said(value: Any) -> str:
    """As `repr` has it, but the same in every session: functions by their source, sets in order, and no addresses."""
    if inspect.isfunction(value):
        return _normalised(inspect.getsource(value))
    if isinstance(value, str | bytes):  # which may look like anything
        return repr(value)
    if type(value) is dict:
        return f"{{{', '.join(f'{_said(key)}: {_said(one)}' for key, one in value.items())}}}"
    if type(value) is list:
        return f"[{', '.join(map(_said, value))}]"
    if type(value) is tuple:
        return f"({', '.join(map(_said, value))}{',' if len(value) == 1 else ''})"
    if type(value) in (set, frozenset) and not all(map(_placed, value)):
        inside = f"{{{', '.join(sorted(map(_said, value)))}}}"
        return inside if type(value) is set else f"frozenset({inside})"
    return ADDRESS.sub("", repr(value))


def _placed(value: Any) -> bool:
    """Whether a set has it at the same place in every session, as it has numbers: their hash is the same."""
    return type(value) in (int, float, bool) or (type(value) is tuple and all(map(_placed, value)))


def _normalised(source: str) -> str:
    try:
        return ast.unparse(ast.parse(textwrap.dedent(source)))
    except SyntaxError:  # a part of a line, such as a lambda
        return source
