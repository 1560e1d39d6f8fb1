"""The options of views: what --views-for has for what samples show, and over it what was said of each view."""

from collections.abc import Sequence
from typing import Any

from selftaught.contracts.modality import Modality
from selftaught.methods import registry
from selftaught.run.recipes import Pretrain
from selftaught.system.errors import UsageError
from selftaught.system.text import printable

ASKED = {"up": "which way is up", "color": "about colours"}  # by what Method says that it needs


def options_of(recipe: Pretrain, kind: Modality, used: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The options of the views that are used, and of all that were named. Raises UsageError."""
    preset = _preset(recipe, kind)
    names = dict.fromkeys([*recipe.views, *(name for name in used if name in preset)])
    return {name: {**preset.get(name, {}), **recipe.views.get(name, {})} for name in names}


def _preset(recipe: Pretrain, kind: Modality) -> Any:
    if recipe.views_for is None:
        return {}
    if recipe.views_for not in kind.VIEWS_FOR:
        raise UsageError(f"--views-for {recipe.views_for} is for images, and {recipe.data} holds {kind.THINGS}")
    return kind.VIEWS_FOR[recipe.views_for]


def refuse_unknown_views(cls: Any, kind: Modality, name: str) -> None:
    """Raise UsageError where a method, named so, asks for a view that nobody makes."""
    try:
        kind.refuse_views({view: {} for view in cls.views})
    except UsageError as error:
        raise UsageError(f"the views of {printable(name)}: {error}") from None


def refuse_unanswerable(recipe: Pretrain, kind: Modality, name: str) -> None:
    """Raise UsageError where a method, named so, asks what its views do not tell."""
    cls = registry.method_class(name)
    refuse_unknown_views(cls, kind, name)
    made = options_of(recipe, kind, cls.views)
    for view in dict.fromkeys(cls.views):
        for what, option in kind.lost(view, made[view]).items() if view in made else ():
            if getattr(cls, f"needs_{what}"):
                flag, value = f"--views.{view}.{option}", made[view][option]
                by = "" if option in recipe.views.get(view, {}) else f", which --views-for {recipe.views_for} has,"
                raise UsageError(f"{name} asks {ASKED[what]}, and with {flag} {value:g}{by} nothing tells that")
