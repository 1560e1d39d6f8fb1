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
    "needs_teacher",
    "no_tokens",
    "whole_views",
    "experimental",
)


def methods(recipe: Methods) -> list[dict[str, Any]]:
    """Every method as {name, family, kind, its claims, data: [...], options: [{name, type, default}]}.

    `data` are the kinds of data it can be asked of. An option has {bounds} besides, in words, where not all of its type
    will do, {choices} where these are few, {about} where the method says what it is for, and {required} where it has no
    default.
    """
    return [_described(place) for place in sorted(registry.usable().values(), key=lambda p: (p.family, p.kind, p.name))]


def _described(place: registry.Place) -> dict[str, Any]:
    cls = registry.method_class(place.name)
    kinds = [name for name in modality.names() if not unfit(cls, modality.named(name))]
    options, said = components.options(cls).items(), components.about(cls)
    return {
        **{key: getattr(place, key) for key in ("name", "family", "kind")},
        **{key: getattr(cls, key) for key in CLAIMS},
        "data": kinds,
        "options": [
            {"name": name, **_told(one), **({"about": said[name]} if name in said else {})} for name, one in options
        ],
    }


def _told(option: components.Option) -> dict[str, Any]:
    told = {"type": _type_name(option.type), "default": None if option.is_required else option.default}
    aside = {"bounds": components.described(option.annotation), "choices": [*components.choices(option.type)]}
    return {
        **told,
        **{key: value for key, value in aside.items() if value},
        **({"required": True} if option.is_required else {}),
    }


def _type_name(kind: Any) -> str:
    return kind.__name__ if isinstance(kind, type) else str(kind).replace("typing.", "")


def methods_table(described: list[dict[str, Any]]) -> Table:
    """The methods as a table for a terminal."""
    columns = ("family", "kind", "method", "the question it asks a sample", "encoder", "data")
    table = Table(*columns, box=None, pad_edge=False)
    before = ("", "")
    for method in described:
        where = (method["family"].replace("_", "-"), method["kind"])
        name = method["name"] + (" (experimental)" if method["experimental"] else "")
        shown = tuple(new if new != old or where != before else "" for new, old in zip(where, before))
        table.add_row(*shown, name, method["question"], _encoder(method), _data(method["data"]))
        before = where
    return table


def _encoder(method: dict[str, Any]) -> str:
    """Which encoders a method can teach, and whether it is to be given another besides."""
    which = "tokens" if method["needs_tokens"] else "no tokens" if method["no_tokens"] else "any"
    return f"{which}, --teacher" if method["needs_teacher"] else which


def _data(kinds: list[str]) -> str:
    """The kinds of data that a method can be asked of, or those that it cannot, where these are fewer."""
    others = [name for name in modality.names() if name not in kinds]
    if not others:
        return "any"
    return ", ".join(kinds) if len(kinds) <= len(others) else f"no {' or '.join(others)}"


def encoders(recipe: Encoders) -> list[str]:
    """Names of encoders that contain the pattern; a few good first choices where it is empty."""
    kinds = map(modality.named, modality.names())
    names = list(dict.fromkeys(name for kind in kinds for name in kind.encoders(recipe.pattern)))
    if not names:
        raise UsageError(f"no encoder's name contains {recipe.pattern!r}; see `selftaught encoders`")
    return names
