"""Who takes part in a comparison, and how many of them each round has: methods, or one whose settings vary."""

import itertools
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from selftaught.methods import registry
from selftaught.run.recipes import Compare, Pretrain
from selftaught.run.settings import put, value_of
from selftaught.system import components
from selftaught.system.components import hint, meant
from selftaught.system.errors import UsageError
from selftaught.system.text import printable
from selftaught.training.presets import training_preset

VARIED = ("method", "training", "views", "lr", "batch_size")  # what else differs would be another comparison
MOST = 100  # settings


@dataclass(frozen=True)
class Entrant:
    """One that takes part: a method, perhaps with settings of its own."""

    name: str  # as the ranking calls it: simclr, or simclr method.temperature=0.1
    method: str
    settings: dict[str, Any] = field(default_factory=dict)  # by the names that pretrain has for them

    @property
    def folder(self) -> str:
        """How the folders of its runs begin."""
        return re.sub(r"[^\w.=-]+", "-", self.name)

    def recipe(self) -> dict[str, Any]:
        """What it says of a pre-training, over what the comparison says of all."""
        told: dict[str, Any] = {"method": {"name": self.method, "options": {}}}
        if not registry.method_class(self.method).needs_teacher:
            told |= {"teacher": None, "teacher_size": None}  # which a comparison has for those that learn from one
        for path, value in self.settings.items():
            put(told, path, value, Pretrain.model_fields)
        return told


def entrants(recipe: Compare) -> dict[str, Entrant]:
    """Those of a recipe, by their names. Raises UsageError."""
    methods = methods_named(recipe.methods, taught=bool(recipe.teacher))
    if not recipe.grid:
        return {name: Entrant(name, name) for name in methods}
    if len(methods) != 1:
        raise UsageError(f"--grid varies the settings of one method, and --methods names {len(methods)}")
    found = [Entrant(_called(methods[0], settings), methods[0], settings) for settings in _varied(recipe.grid)]
    _refuse_one_place(found)
    for entrant in found:
        _refuse_impossible(entrant)
    return {entrant.name: entrant for entrant in found}


def refuse_untaught(recipe: Compare, taking_part: Iterable[Entrant]) -> None:
    """Raise UsageError for a teacher from which nobody learns."""
    if recipe.teacher and not any(registry.method_class(entrant.method).needs_teacher for entrant in taking_part):
        raise UsageError(f"--teacher: no method of {printable(recipe.methods)} learns from one; distill does")


def refuse_twice(grid: str) -> None:
    """Raise UsageError where a grid names a setting in two places, of which only the last would count."""
    paths = [axis.partition("=")[0].strip() for axis in grid.split(";") if axis.strip()]
    if path := next((path for path in paths if paths.count(path) > 1), None):
        raise UsageError(f"--grid names {path} twice: say all of its values in one place, {path}=1,2")


def _varied(grid: str) -> list[dict[str, Any]]:
    """Every combination of the values that a grid names: method.temperature=0.1,0.2; lr=0.001,0.003."""
    axes: dict[str, list[Any]] = {}
    for axis in filter(None, map(str.strip, grid.split(";"))):
        path, equals, values = map(str.strip, axis.partition("="))
        head, _, rest = path.partition(".")
        if not equals or head not in VARIED or bool(rest) != (head in VARIED[:3]):
            raise UsageError(f"--grid cannot have {axis!r}: it looks like method.temperature=0.1,0.2 or lr=0.001,0.003")
        axes[path] = [value_of(word) for word in values.split(",")]
    if math.prod(map(len, axes.values())) > MOST:
        raise UsageError(f"--grid names {math.prod(map(len, axes.values())):,} settings; {MOST} are the most")
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


def _called(method: str, settings: dict[str, Any]) -> str:
    """The name of a method with settings: simclr lr=0.001."""
    return " ".join([method, *(f"{path}={_written(value)}" for path, value in settings.items())])


def _written(value: Any) -> str:
    """A number as short as it can be without being another one."""
    if not isinstance(value, float):
        return str(value)
    return short if float(short := f"{value:g}") == value else repr(value)


def _refuse_one_place(found: Sequence[Entrant]) -> None:
    """Raise UsageError for settings that differ and would have their runs in the same folders."""
    held: dict[str, Entrant] = {}
    for entrant in found:
        other = held.setdefault(entrant.folder, entrant)
        if (other.name, other.settings) != (entrant.name, entrant.settings):
            raise UsageError(f"--grid cannot have both {other.name!r} and {entrant.name!r}: their folders are the same")


def _refuse_impossible(entrant: Entrant) -> None:
    """Raise UsageError for a setting that cannot be, before anything is trained."""
    recipe = Pretrain.parse({"data": "data", **entrant.recipe()})
    method = registry.method_class(entrant.method)
    with components.asked_anew():
        components.checked(f"method {entrant.method}", method, recipe.method.options)
        training_preset(method, recipe)


def methods_named(wanted: str, taught: bool = False) -> list[str]:
    """Methods by names, families and kinds, each once, in the order in which they are first meant.

    Of those that learn from a teacher, where there is none, only by names.
    """
    places = registry.usable()
    open_to = {name for name in places if taught or not registry.method_class(name).needs_teacher}
    groups = {name: [name] for name in places} | {"all": sorted(open_to)}
    for place in sorted(places.values(), key=lambda place: (place.family, place.kind, place.name)):
        for group in () if place.name not in open_to else (place.family, place.kind):
            groups.setdefault(group, []).append(place.name)
    named: list[str] = []
    for name in map(str.strip, wanted.split(",")):
        if (group := name if name in groups else meant(name, groups)) not in groups:
            raise UsageError(f"no method, family or kind named {name!r}; {hint(name, groups)}")
        named += groups[group]
    return list(dict.fromkeys(named))


def plan(methods: int, rungs: int) -> list[tuple[int, float]]:
    """How many methods each rung has, and its share of the budget; two at least come to the last one.

    A single one in the last rung would have nobody to be compared with by whole runs.
    """
    counts = [methods]
    while len(counts) < rungs and counts[-1] > 2:
        counts.append(max(2, math.ceil(counts[-1] / 2)))
    return [(count, 0.5 ** (len(counts) - 1 - i)) for i, count in enumerate(counts)]
