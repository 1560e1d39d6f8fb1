"""What there is to choose from: methods by family and kind, encoders by name."""

from typing import Any

from rich.table import Table

from selftaught.contracts import modality
from selftaught.contracts.fitting import unfit
from selftaught.methods import registry
from selftaught.run.recipes import Encoders, Methods
from selftaught.system import components
from selftaught.system.errors import UsageError

# What a method says of itself, as attributes of its class.
CLAIMS = (
    "question",
    "paper",
    "needs_tokens",
    "needs_color",
    "needs_places",
    "needs_images",
    "needs_turns",
    "needs_up",
    "needs_words",
    "needs_time",
    "needs_values",
    "experimental",
)


def methods(recipe: Methods) -> list[dict[str, Any]]:
    """Every method as {name, family, kind, its claims, data: [...], options: [{name, type, default}]}.

    `data` are the kinds of data it can be asked of.
    """
    return [_described(place) for place in sorted(registry.usable().values(), key=lambda p: (p.family, p.kind, p.name))]


def _described(place: registry.Place) -> dict[str, Any]:
    cls = registry.method_class(place.name)
    kinds = [name for name in modality.names() if not unfit(cls, modality.named(name))]
    options = components.options(cls).items()
    return {
        **{key: getattr(place, key) for key in ("name", "family", "kind")},
        **{key: getattr(cls, key) for key in CLAIMS},
        "data": kinds,
        "options": [{"name": name, "type": _type_name(one.type), "default": one.default} for name, one in options],
    }


def _type_name(kind: Any) -> str:
    return kind.__name__ if isinstance(kind, type) else str(kind).replace("typing.", "")


def methods_table(described: list[dict[str, Any]]) -> Table:
    """The methods as a table for a terminal."""
    table = Table("family", "kind", "method", "the question it asks a sample", "encoder", box=None, pad_edge=False)
    before = ("", "")
    for method in described:
        where = (method["family"].replace("_", "-"), method["kind"])
        name = method["name"] + (" (experimental)" if method["experimental"] else "")
        shown = tuple(new if new != old or where != before else "" for new, old in zip(where, before))
        table.add_row(*shown, name, method["question"], "tokens" if method["needs_tokens"] else "any")
        before = where
    return table


def encoders(recipe: Encoders) -> list[str]:
    """Names of encoders that contain the pattern; a few good first choices where it is empty."""
    kinds = map(modality.named, modality.names())
    names = list(dict.fromkeys(name for kind in kinds for name in kind.encoders(recipe.pattern)))
    if not names:
        raise UsageError(f"no encoder's name contains {recipe.pattern!r}; see `selftaught encoders`")
    return names
