"""Methods of somebody's own, handed over in Python: a run that goes on has the class that it began with."""

from collections.abc import Iterable
from typing import TypeVar

from selftaught.methods import registry
from selftaught.methods.handed import source_digest
from selftaught.run.recipes import Compare, Pretrain
from selftaught.system.context import IN_PYTHON
from selftaught.system.errors import UsageError
from selftaught.system.saying import say

Asked = TypeVar("Asked", Pretrain, Compare)


def of_own(names: Iterable[str]) -> list[str]:
    """Those of some methods that were handed over in Python."""
    return [name for name in names if name.startswith(IN_PYTHON)]


def recognised(recipe: Asked, names: Iterable[str]) -> Asked:
    """The recipe with a digest of those of its methods that were handed over. Raises UsageError.

    That is for a run that goes on and began with other ones of the same names, and for a class that nobody has given.
    """
    if not (own := of_own(names)):
        return recipe
    classes = [registry.method_class(name) for name in own]
    called = " and ".join(cls.__name__ for cls in classes)
    digests = [source_digest(cls) for cls in classes]
    if None in digests:
        say(f"note: the source of {called} is not at hand, so a resume cannot tell whether it has changed")
        return recipe
    now = "-".join(map(str, digests))
    if recipe.method_fingerprint not in (None, now):
        raise UsageError(
            f"cannot resume: {called} is not what it was when the run began; give it as it was then, "
            "or start anew in another --out"
        )
    return recipe.model_copy(update={"method_fingerprint": now})
