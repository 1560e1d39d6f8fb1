"""What a probe promises, and the probes by name: a file in `probes/` is one, called as the file is."""

import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

from selftaught.system.components import hint
from selftaught.system.errors import UsageError

if TYPE_CHECKING:  # whoever asks for the names alone waits for no torch
    from selftaught.judging.finetune import Tuning
    from selftaught.judging.labelled import Labelled, Split

FOLDER = "selftaught.judging.probes"
ALL_TASKS = ("classes", "several", "number")


@dataclass(frozen=True, kw_only=True)
class Exam:
    """What a probe may learn from and what it is asked, the same for every kind of features."""

    data: "Labelled"
    split: "Split"
    seed: int
    tuning: "Tuning"  # how a network is trained, where the probe trains one
    kind: str = "trained"  # whose features or network it is: that, or untrained, pixels, usual, pretrained
    chosen: "list[dict[str, Any]]" = field(default_factory=list)  # what the probe has chosen, if it tells: plain data
    report: Callable[[float], None] = lambda share: None  # called with the share of its work that is done


@dataclass(frozen=True, kw_only=True)
class Probe:
    """A way to judge features: it learns the classes of some samples, then says which class others are of."""

    # The class of each sample of exam.split.test (M,), by the features (N, D) of all samples or by an encoder; of
    # several labels how likely each is (M, L), of numbers their values (M,); of probes that say something of each
    # pixel, what that came to: see `Counted`.
    predict: "Callable[[Any, Exam], Any]"
    # standardised: mean 0 and deviation 1 in the training part; shown: all kinds of features by name, see `Shown`;
    # tokens, and layers of encoders that have some, and the map: see `Parts`.
    takes: Literal["features", "standardised", "shown", "tokens", "layers", "map", "encoder"]
    priority: int  # of the probes that were asked the verdict of the highest is the verdict
    work: str  # what a progress bar calls it
    tasks: Sequence[str] = ("classes",)  # what labels may be, see `Targets`
    by_chance: bool = False  # whether it says something else with another seed though it learns the same labels
    untrained: str = "untrained"  # what the untrained network is called once the probe has trained it
    # Said before it learns: of which splits, how, and how often in all.
    announce: "Callable[[Sequence[Split], Tuning, int], None]" = lambda splits, tuning, fits: None


def names() -> list[str]:
    """The names of all probes, of which none is imported."""
    return [module.name for module in pkgutil.iter_modules(import_module(FOLDER).__path__)]


def named(name: str) -> Probe:
    """The probe called `name`."""
    if name not in names():
        raise UsageError(f"no probe named {name!r}; {hint(name, names())}")
    probe: Probe = import_module(f"{FOLDER}.{name}").PROBE
    return probe


def of_features() -> list[str]:
    """The names of the probes that judge features by labels, not networks or maps; to know them takes importing all."""
    return [name for name in names() if named(name).takes not in ("encoder", "map")]
