"""Precision, layout and attention chosen by measuring: what is fastest differs by machine, network and size."""

import hashlib
import itertools
import json
import platform
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from selftaught.run.recipes import Pretrain
from selftaught.system.errors import UsageError
from selftaught.system.files import cache_folder, write_json
from selftaught.system.interruption import Stop
from selftaught.system.saying import say
from selftaught.training.devices import attentions
from selftaught.training.measuring.trial import ROWS, half_precision_fault, seconds_a_step

if TYPE_CHECKING:
    from selftaught.training.job import Job


DEFAULT = ("32-true", "contiguous")
MARGIN = 1.15  # how much faster anything else must be
ROUNDS = 2  # over all candidates, the better of which counts: other work on the machine comes and goes
MATTERS = ("method", "also", "encoder", "size", "batch_size", "encode_chunk")  # fields that the choice depends on
Choice = tuple[str, str, str]


def tuned(recipe: Pretrain, prepare: Callable[[Pretrain], "Job"], stop: Stop) -> Pretrain:
    """The recipe with precision, layout and attention filled in where they are open.

    Measured once for each machine, network and size, and remembered, so that the same command gives the same
    weights; the recipe records the choice.
    """
    attention: str = "fused" if recipe.attention == "auto" else recipe.attention
    if recipe.precision == "32-true" and recipe.layout != "auto":
        return recipe.model_copy(update={"attention": attention})
    candidates = _candidates(recipe)
    if any(precision == "bf16-mixed" for precision, _ in candidates):
        assert recipe.batch_size
        rows = min(recipe.batch_size, ROWS)
        plain = {"precision": "32-true", "layout": "contiguous", "compile": False, "batch_size": rows}
        sound = prepare(recipe.model_copy(update=plain))
        if fault := half_precision_fault(sound):
            candidates = [choice for choice in candidates if choice[0] != "bf16-mixed"]
            if not candidates:
                raise UsageError(f"--precision bf16-mixed is not safe here: {fault}; use --precision 32-true")
    if len(candidates) == 1:
        precision, layout = candidates[0]
    else:
        known = remembered(recipe)
        if known is None or known[:2] not in candidates:  # other views may make what was fastest unsafe
            known = _measured(recipe, candidates, prepare, stop)
        precision, layout, attention = known
    return recipe.model_copy(update={"precision": precision, "layout": layout, "attention": attention})


def _candidates(recipe: Pretrain) -> list[tuple[str, str]]:
    gpu = torch.cuda.is_available()
    open_precisions = ["bf16-mixed"] if gpu and torch.cuda.is_bf16_supported() else ["32-true", "bf16-mixed"]
    precisions = open_precisions if recipe.precision == "auto" else [recipe.precision]
    layouts = ["contiguous", "channels_last"] if recipe.layout == "auto" else [recipe.layout]
    return list(itertools.product(precisions, layouts))


def _measured(
    recipe: Pretrain, candidates: list[tuple[str, str]], prepare: Callable[[Pretrain], "Job"], stop: Stop
) -> Choice:
    """The fastest candidate, unless the default is nearly as fast; then the other attention, where there is one."""
    assert recipe.batch_size
    rows = min(recipe.batch_size, ROWS)
    open_attention = recipe.attention == "auto"
    attention = "fused" if open_attention else recipe.attention
    rates: dict[Choice, float] = {}

    def measure(choice: Choice) -> "Job":
        named = dict(zip(("precision", "layout", "attention"), choice))
        job = prepare(recipe.model_copy(update={**named, "batch_size": rows, "compile": False}))
        rates[choice] = max(rates.get(choice, 0.0), rows / seconds_a_step(job, stop))
        return job

    for precision, layout in candidates * ROUNDS:
        job = measure((precision, layout, attention))
    default: Choice = (*(DEFAULT if DEFAULT in candidates else candidates[0]), attention)
    chosen = _clearly_fastest(rates, default)
    if open_attention and job.fabric.device.type == "cpu" and attentions(job.method):
        plain: Choice = (*chosen[:2], "plain")
        for choice in (plain, chosen) * ROUNDS:
            measure(choice)
        chosen = _clearly_fastest({choice: rates[choice] for choice in (chosen, plain)}, chosen)
    told = ", ".join(f"{shown(choice)} {rate:,.0f}" for choice, rate in rates.items())
    say(f"measured {told} samples/s: {shown(chosen)}")
    _remember(recipe, chosen)
    return chosen


def _clearly_fastest(rates: dict[Choice, float], default: Choice) -> Choice:
    best = max(rates, key=lambda choice: rates[choice])
    return best if rates[best] > MARGIN * rates[default] else default


def shown(choice: Choice) -> str:
    """For people: bf16-mixed channels-last, and the attention where it is not the usual one."""
    precision, layout, attention = choice
    return f"{precision} {layout.replace('_', '-')}" + (f" {attention} attention" if attention == "plain" else "")


def _key(recipe: Pretrain) -> str:
    """What the choice depends on."""
    told = {
        "machine": [platform.node(), platform.machine(), platform.processor(), torch.cuda.is_available()],
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "asked": [recipe.precision, recipe.layout, recipe.attention],
        "recipe": recipe.model_dump(mode="json", include=set(MATTERS)),
    }
    return hashlib.blake2b(json.dumps(told, sort_keys=True).encode(), digest_size=16).hexdigest()


def remembered(recipe: Pretrain) -> Choice | None:
    """What was the fastest when this was measured on this machine."""
    try:
        precision, layout, attention = json.loads((cache_folder() / "autotune" / f"{_key(recipe)}.json").read_text())
    except (OSError, ValueError):
        return None
    return precision, layout, attention


def _remember(recipe: Pretrain, choice: Choice) -> None:
    folder = cache_folder() / "autotune"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / f"{_key(recipe)}.json", list(choice))
    except OSError as error:
        say(f"warning: the choice could not be remembered ({error}); the next run may choose otherwise")
