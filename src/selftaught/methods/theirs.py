"""Methods that somebody else wrote: what they lack, and what they do wrong, in a line that names the class.

What is of this package is held to its contract by tests, and is not asked here.
"""

import inspect
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from selftaught.system.errors import SelftaughtError, UsageError, is_out_of_memory
from selftaught.system.plugins import fault
from selftaught.system.saying import say
from selftaught.system.text import printable

OURS = f"{__package__}."
FORM = "def __init__(self, encoder, data, /, *, width: int = 64)"


def is_ours(cls: type) -> bool:
    """Whether a class is one of this package's methods."""
    return cls.__module__.startswith(OURS)


def refuse_unfinished(cls: type) -> None:
    """Raise UsageError for a class that is no method, or of which can be told unbuilt that it cannot be asked."""
    from selftaught.contracts.method import Method, Training  # imports torch, which takes seconds: names go without it

    name = cls.__name__
    if not issubclass(cls, Method):
        raise UsageError(f"{name} is no method: it is to be a subclass of selftaught.Method")
    if lacking := sorted(getattr(cls, "__abstractmethods__", ())):
        raise UsageError(f"{name} is no whole method: it has no {' and no '.join(lacking)}")
    _refuse_views(name, cls.views)
    if not isinstance(cls.preset, Training):
        kind = type(cls.preset).__name__
        raise UsageError(f"{name}.preset is a {kind}, and is to be selftaught.Training(lr=...) or what it inherits")
    given = ("encoder", "data", *(("teacher",) if cls.needs_teacher else ()))
    signature = inspect.signature(cls.__init__)
    chosen = {p.name: None for p in signature.parameters.values() if p.kind is p.KEYWORD_ONLY}
    try:
        signature.bind("self", *given, **chosen)
    except TypeError as error:
        told = f"{name}.__init__ is given {' and '.join(given)}, and cannot be called so: {error}"
        raise UsageError(f"{told}; options are keyword-only, as in {FORM}") from None


@contextmanager
def laid_to(method: Any, what: str) -> Iterator[None]:
    """Where the code of somebody else's method goes wrong, raise UsageError: `what` it was for, and the cause.

    method: the class, or a method that is built, which may hold others.
    """
    try:
        yield
    except Exception as error:
        if (cls := _to_blame(method, error)) is None:
            raise
        raise UsageError(f"{what}: {fault(error)} ({_where(cls, error)})") from error


@contextmanager
def spared(method: Any, what: str) -> Iterator[None]:
    """Likewise, of what is for people alone: say what could not be done, and go on without it."""
    try:
        yield
    except Exception as error:
        if (cls := _to_blame(method, error)) is None:
            raise
        say(f"warning: {what}: {fault(error)} ({_where(cls, error)})")


def _to_blame(method: Any, error: Exception) -> type | None:
    """The class of somebody else's that an error may come from."""
    if isinstance(error, SelftaughtError) or is_out_of_memory(error):
        return None
    from selftaught.contracts.method import Method

    classes = (
        [method] if inspect.isclass(method) else [type(one) for one in method.modules() if isinstance(one, Method)]
    )
    return next((cls for cls in classes if not is_ours(cls)), None)


def held_to_contract(method: Any) -> Any:
    """A method that was just built; one of somebody else's is looked through, and what it answers from now on, too.

    Raises UsageError where it lacks what training is going to ask of it.
    """
    from selftaught.contracts.encoder import Encoder

    cls = type(method)
    if is_ours(cls):
        return method
    name = cls.__name__
    if not isinstance(getattr(method, "encoder", None), Encoder):
        raise UsageError(f"{name} has no encoder: its __init__ is to begin with super().__init__(encoder, data)")
    _refuse_views(name, method.views)
    if not method.views:
        raise UsageError(f'{name}.views is empty: name what forward is given, as in views = ("light", "light")')
    views = [f"view {view}" for view in method.views]
    asked = {"forward": views, "picture": views, "start": ["plain views"], "chance": ["the size of a batch"]}
    for function, given in {**asked, "before_step": ["progress"], "after_step": ["progress"]}.items():
        try:
            inspect.signature(getattr(method, function)).bind(*given)
        except TypeError as error:
            told = f"{name}.{function} is given {' and '.join(given)}, and cannot be called so"
            raise UsageError(f"{told}: {error}") from None
    method.register_forward_hook(_hold_terms)
    return method


def _refuse_views(name: str, views: Any) -> None:
    if not isinstance(views, tuple | list) or not all(isinstance(view, str) for view in views):
        raise UsageError(f'{name}.views is {views!r}, and is to name one or more, as in views = ("light",)')


def _hold_terms(method: Any, views: Any, terms: Any) -> None:
    """Raise UsageError where an answer is no loss that training could follow; nothing waits for a device for that."""
    import torch

    name = type(method).__name__
    form = "it is to return the terms of the loss by name, numbers that have a gradient, as in {'loss': loss}"
    if not isinstance(terms, Mapping) or not terms:
        what = f"an empty {type(terms).__name__}" if isinstance(terms, Mapping) else _called(terms)
        raise UsageError(f"{name}.forward returned {what}: {form}")
    for term, value in terms.items():
        if not isinstance(value, torch.Tensor):
            raise UsageError(f"{name}.forward returned {_called(value)} as {term!r}: {form}")
        if value.numel() != 1:
            told = f"{name}.forward returned a tensor of {tuple(value.shape)} as {term!r}"
            raise UsageError(f"{told}, and a term is one number: take its mean()")
    if method.training and torch.is_grad_enabled() and not any(value.requires_grad for value in terms.values()):
        told = f"none of the terms that {name}.forward returned has a gradient"
        raise UsageError(f"{told}: it is to reckon them with self.encoder, without detach() or torch.no_grad()")


def _called(value: Any) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"


def _where(cls: type, error: BaseException) -> str:
    """Where in the file of a class it went wrong, or where the class is, as far as that can be told."""
    try:
        file = inspect.getfile(cls)
    except (OSError, TypeError):  # it was typed into an interpreter that keeps no source
        return printable(cls.__module__)
    lines = [one.lineno for one in traceback.extract_tb(error.__traceback__) if one.filename == file]
    return printable(file) + (f", line {lines[-1]}" if lines else "")
