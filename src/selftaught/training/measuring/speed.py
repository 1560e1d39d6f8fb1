"""Precision, layout and attention chosen by measuring: what is fastest differs by machine, network and size."""

import hashlib
import itertools
import json
import math
import platform
from pathlib import Path
from typing import Any

import torch

from selftaught.run.plan import Plan, Way
from selftaught.run.recipes import Pretrain
from selftaught.run.recipes.fields import Mark
from selftaught.system.devices import device_of
from selftaught.system.errors import UsageError
from selftaught.system.files import cache_folder, write_json
from selftaught.system.progress import Progress
from selftaught.system.reading import json_in
from selftaught.system.saying import say
from selftaught.training.devices import attentions
from selftaught.training.measuring.trial import MEASURED, ROWS, SHARE, WARM_UP, Trial, half_precision_fault

LARGEST_CHOICE = 1 << 12  # bytes
MARGIN = 1.15  # how much faster anything else must be than the default
ROUNDS = 2  # over all candidates, the better of which counts: other work on the machine comes and goes


def fastest(recipe: Pretrain, plan: Plan, trial: Trial) -> Way:
    """The way to compute the plan of a recipe, in what that leaves open.

    Measured once for each machine, network and size, and remembered, so that the same command gives the same
    weights; the plan records the choice. Where there is no time for all candidates, it is the best of those that were
    measured, remembered for runs of the same length alone.
    """
    candidates = _candidates(recipe, plan)
    if _too_short(plan):
        candidates = candidates[:1]  # which may be unsafe all the same
    if len(candidates) > 1:
        known = remembered(recipe, plan, trial.samples.preparation.shape)
        if known and known._replace(attention=candidates[0].attention) in candidates:
            return known
    if any(way.precision == "bf16-mixed" for way in candidates):
        rows = min(plan.batch_size, ROWS)
        sound = plan.computed(Way())
        # Maps of views that are smaller at first may shrink to a cell where those of whole ones do not.
        faults = (half_precision_fault(trial.job(sound, rows, small=small)) for small in {False, bool(plan.grow)})
        if fault := next(filter(None, faults), None):
            candidates = [way for way in candidates if way.precision != "bf16-mixed"]
            if not candidates:
                raise UsageError(f"--precision bf16-mixed is not safe here: {fault}; use --precision 32-true")
    return candidates[0] if len(candidates) == 1 else _measured(recipe, plan, candidates, trial)


def usual(recipe: Pretrain, plan: Plan) -> Way:
    """The way that is taken where nothing is measured."""
    return _candidates(recipe, plan)[0]


def _too_short(plan: Plan) -> bool:
    """Whether the timed steps of two candidates, as one tells nothing, are more than may be spent on such a run."""
    rows = min(plan.batch_size, ROWS)
    return plan.budget is None and SHARE * plan.steps * plan.batch_size < 2 * (WARM_UP + MEASURED) * rows


def _candidates(recipe: Pretrain, plan: Plan) -> list[Way]:
    """Every precision and layout that is open, the default first where it is among them."""
    open_precisions = ["32-true", "bf16-mixed"]
    if device_of(recipe.device).type == "cuda":
        # A card that only emulates bf16 says that it supports it, and is slower by it.
        open_precisions = ["bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"]
    precisions: Any = open_precisions if recipe.precision == "auto" else [plan.precision]
    layouts: Any = ["contiguous", "channels_last"] if recipe.layout == "auto" else [plan.layout]
    return [Way(p, layout, plan.attention) for p, layout in itertools.product(precisions, layouts)]


def _measured(recipe: Pretrain, plan: Plan, candidates: list[Way], trial: Trial) -> Way:
    """The fastest candidate, unless the default is nearly as fast; then the other attention, where there is one."""
    rows = min(plan.batch_size, ROWS)
    seconds: dict[Way, float] = {}
    complete, tried = True, 0

    with Progress("measuring", len(candidates) * ROUNDS, "ways of computing") as bar:

        def measure(ways: list[Way]) -> None:
            """Time them in turn, as long as there is time, from the second turn on the fastest first."""
            nonlocal complete, tried
            for turn in range(ROUNDS):
                for way in sorted(ways, key=lambda way: seconds.get(way, 0.0)) if turn else ways:
                    if trial.left > 0 or not seconds:
                        seconds[way] = trial.seconds(plan.computed(way), rows)
                    else:
                        complete = False
                    tried += 1
                    bar.update(tried, total=max(bar.total, tried))

        measure(candidates)
        chosen = _clearly_fastest(seconds, candidates[0])
        job = trial.job(plan, rows)
        if recipe.attention == "auto" and job.engine.device.type == "cpu" and attentions(job.method):
            other = chosen._replace(attention="plain")
            measure([other, chosen])
            chosen = _clearly_fastest({way: seconds.get(way, math.inf) for way in (chosen, other)}, chosen)
    rates = ", ".join(f"{way} {rows / took:,.0f}" for way, took in seconds.items())
    say(f"measured {rates} samples/s: {chosen}" + ("" if complete else ", as far as there was time to measure"))
    _remember(_key(recipe, plan, trial.samples.preparation.shape, None if complete else _length(recipe)), chosen)
    return chosen


def _clearly_fastest(seconds: dict[Way, float], default: Way) -> Way:
    best = min(seconds, key=lambda way: seconds[way])
    return best if MARGIN * seconds[best] < seconds[default] else default


def _length(recipe: Pretrain) -> list[float | None]:
    """How long a run is to be, as it was asked for."""
    return [recipe.epochs, recipe.steps, recipe.budget]


def _key(recipe: Pretrain, plan: Plan, shape: tuple[int, ...], length: Any = None) -> str:
    """What the choice depends on; `length` of the run, where that left no time to measure all."""
    facts = {
        "machine": [platform.node(), platform.machine(), platform.processor(), device_of(recipe.device).type],
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "asked": [recipe.precision, recipe.layout, recipe.attention],
        "recipe": plan.model_dump(mode="json", include=set(Pretrain.marked(Mark.SPEED))),
        "sample": shape,  # 4 columns and 400 are computed unlike, though the recipe is the same
        "length": length,
    }
    facts |= {"grow": str(plan.grow)} if plan.grow else {}
    return hashlib.blake2b(json.dumps(facts, sort_keys=True).encode(), digest_size=16).hexdigest()


def remembered(recipe: Pretrain, plan: Plan, shape: tuple[int, ...]) -> Way | None:
    """What was the fastest when this was measured on this machine, for samples (C, ...) of this shape.

    What a run of the same length chose comes first, so that a longer one does not change what the same command gives.
    """
    for length in (_length(recipe), None):
        file = cache_folder() / "autotune" / f"{_key(recipe, plan, shape, length)}.json"
        if known := way_in(file):
            return known
    return None


def way_in(file: Path) -> Way | None:
    """A choice that was remembered; None where there is none that can be read, so that it is measured anew."""
    try:
        return Way(*json_in(file, Way, limit=LARGEST_CHOICE))
    except (OSError, ValueError):
        return None


def _remember(key: str, way: Way) -> None:
    folder = cache_folder() / "autotune"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / f"{key}.json", list(way))
    except OSError as error:
        say(f"warning: the choice could not be remembered ({error}); the next run may choose otherwise")
