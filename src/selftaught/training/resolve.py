"""From a recipe with open choices to the data, the method and a recipe that says everything."""

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from selftaught.contracts import modality
from selftaught.contracts.encoder import Encoder, TokenEncoder
from selftaught.contracts.fitting import unfit
from selftaught.contracts.samples import Samples
from selftaught.data.first_pass import MARK
from selftaught.methods import registry
from selftaught.run.digests import read_digests
from selftaught.run.map import MOST
from selftaught.run.plan import Plan, Way
from selftaught.run.quantities import NONE
from selftaught.run.recipes import Pretrain
from selftaught.run.recipes.fields import Mark
from selftaught.run.ways import bands_of, note_size, ways
from selftaught.system import components
from selftaught.system.addresses import copied
from selftaught.system.components import Part
from selftaught.system.context import holding
from selftaught.system.devices import device_of
from selftaught.system.errors import BrokenData, DataError, UsageError
from selftaught.system.interruption import Stop
from selftaught.system.progress import Progress
from selftaught.system.quarantine import list_beside
from selftaught.system.text import printable
from selftaught.training.by_device import usual_encoder
from selftaught.training.guidance import guidance_of
from selftaught.training.presets import begun_with, refuse_twice, training_preset
from selftaught.training.related_views import refuse_unrelated
from selftaught.training.starting import prepared_as, preset_of
from selftaught.training.usual import as_usual
from selftaught.training.views import refuse_unanswerable

FEWEST = 2  # samples that can be told apart
SAMPLES_BY_DEFAULT = 2_000_000  # samples seen where the user names no epochs, within 10 to 200 epochs


@dataclass(frozen=True)
class Counted:
    """What decisions depend on of samples, where not all are at hand."""

    count: int
    preparation: Any
    fingerprint: str = ""
    sampled: Any = None  # true where a run would look at some of them
    device: str | None = None  # the type of the devices that train on them, where it is not the recipe's


def open_data(
    recipe: Pretrain,
    stop: Stop,
    like: Any = None,
    array: NDArray[Any] | None = None,
    device: str | None = None,
    beside: str | None = None,
) -> Samples:
    """The recipe's samples, at hand; on resume they must be those of the run.

    `like` is the preparation to follow, where an encoder already has one; `array` the data, where no name leads there;
    `device` the type by which photos have a size, where that is not the recipe's; `beside` the run folder, "" for a new
    one, beside which samples are listed that cannot be used, where these are too many for a run; None for no list.
    """
    data = recipe.data if array is None else array
    kind = modality.of(data)
    followed = None if like else prepared_as(recipe, kind)
    with Progress("reading", 0, kind.THINGS) as bar, holding(copied, recipe.remote_cache):
        try:
            samples: Samples = kind.open_samples(
                data,
                size=recipe.size,
                limit=recipe.limit,
                seed=recipe.seed,
                memory=recipe.memory,
                cache=recipe.cache,
                workers=recipe.workers,
                tolerance=recipe.tolerance,
                label_column=recipe.label_column,
                column=recipe.column,
                **ways(recipe, kind),
                like=like or followed,
                first_pass=_first_pass(recipe),
                device=device or device_of(recipe.device).type,
                progress=bar.polled(stop.poll),
            )
            note_size(recipe, kind)
            samples.digests(bar.polled(stop.poll))
            samples.guidance = guidance_of(recipe, samples)
            samples.let_source_go()
            if recipe.first_pass == "sample" and samples.sampled is None:
                samples.notes = [
                    *samples.notes,
                    f"--first-pass sample: these {kind.THINGS} were all looked at, as they are at hand",
                ]
        except BrokenData as error:
            told = f"{error}; use --tolerance to go on" if beside is None else _listed(error, beside)
            raise DataError(f"{told} without them") from None
        except DataError as error:
            if followed is None or kind.WORDS:
                raise
            way = f"{kind.THINGS} are taken as --init {printable(recipe.init)} took them; --normalise data does not"
            raise DataError(f"{error} ({way})") from None
    if recipe.fingerprint and recipe.fingerprint not in (samples.fingerprint, samples.former_fingerprint):
        other = f"cannot resume: {printable(recipe.data)} is not the data this run was started with"
        raise UsageError(f"{other}: {_difference(recipe, samples, kind.THINGS)}")
    return samples


def _first_pass(recipe: Pretrain) -> str:
    """What is looked at before the first step; a run that goes on looks at what it did as it began."""
    if recipe.first_pass != "auto" or recipe.fingerprint is None:
        return recipe.first_pass
    return "sample" if recipe.fingerprint.startswith(MARK) else "all"


def _difference(recipe: Pretrain, samples: Samples, things: str) -> str:
    """What is other about samples than it was when the run began."""
    if samples.sampled:
        return "a name, a size or one of those that are looked at is another"
    held, now = read_digests(Path(recipe.out)) if recipe.out else None, samples.digests()
    if held is None or now is None:
        return f"fingerprint {samples.fingerprint[:12]}, expected {(recipe.fingerprint or '')[:12]}"
    both = min(len(held), len(now))
    other = [*np.flatnonzero((held[:both] != now[:both]).any(axis=1)).tolist(), *range(both, len(now))]
    counted = f"{len(other):,} of {len(now):,} {things} hold something else"
    if len(held) != len(now):
        counted = f"it has {len(now):,} {things}, the run had {len(held):,}"
    return counted + (f"; the first is {printable(samples.keys[other[0]])}" if other else "")


def _listed(error: BrokenData, beside: str) -> str:
    """What is broken in data that a run refuses, and where all of it is listed: beside the folder, which there is not.

    Nothing is listed where that cannot be.
    """
    try:
        file = list_beside(Path(beside or Path("runs") / error.name), error.quarantined)
        listed = f"all are listed in {printable(file)}; "
    except OSError:
        listed = ""
    return f"{error.summary}; {listed}use --tolerance to train"


def resolve(recipe: Pretrain, samples: Samples | Counted) -> Plan:
    """Decide everything that was left open, by the data and the method.

    For what can be measured (the batch that fits, the fastest way, the steps that fit a budget) the usual stands in,
    and a pass over the data for a budget.
    """
    kind = modality.named(samples.preparation.modality)
    device = (samples.device if isinstance(samples, Counted) else None) or device_of(recipe.device).type
    recipe = as_usual(recipe, kind, samples.count, device)
    needs_tokens = any(registry.method_class(part.name).needs_tokens for part in named_methods(recipe))
    method = registry.method_class(recipe.method.name)
    # What a run was begun with stays, even if nothing was said of it then.
    began = preset_of(recipe, kind)
    training = recipe.training if recipe.fingerprint else {**begun_with(method, recipe, began), **recipe.training}
    preset = training_preset(method, recipe)
    if samples.count < FEWEST:
        usable = f"of the {kind.THINGS} {samples.count} can be used"
        raise DataError(f"{usable}, and no method learns from fewer than {FEWEST}")
    named = preset.batch_size if "batch_size" in recipe.training else None
    asked = named if recipe.batch_size is None else recipe.batch_size if recipe.batch_size != "auto" else None
    batch = asked or min(preset.batch_size, power_of_two(samples.count // 4))
    if samples.count < batch:
        fits = power_of_two(samples.count)
        raise DataError(f"{samples.count} {kind.THINGS} are fewer than a batch of {batch}; use --batch-size {fits}")
    epochs, steps = _length(recipe, samples.count, samples.count // batch)
    usual = {name: value for name, value in Way()._asdict().items() if getattr(recipe, name) == "auto"}
    decided = {
        "encoder": recipe.encoder or usual_encoder(recipe, kind, device, needs_tokens),
        "training": training,
        "batch_size": batch,
        "epochs": epochs,
        "steps": steps,
        "size": samples.preparation.size if kind.SIZED else recipe.size,
        "normalise": recipe.normalise if recipe.normalise != "auto" else "data",
        "statistics": recipe.statistics if recipe.statistics != "auto" else "data",
        "preset": began,
        "fingerprint": samples.fingerprint,
        # What was asked for, even where all that is at hand was looked at, so that the same command goes on.
        "first_pass": recipe.first_pass if recipe.first_pass != "auto" else "sample" if samples.sampled else "all",
        "shard": NONE if recipe.shard == "auto" else recipe.shard,
        "bands": bands_of(recipe, kind),
        "draws": recipe.draws or ("streams" if recipe.fingerprint else "blocks"),
    }
    return Plan(**{name: getattr(recipe, name) for name in Pretrain.model_fields} | usual | decided)


def _length(recipe: Pretrain, count: int, per_epoch: int) -> tuple[float | None, int]:
    """Passes over the data, where they decide, and steps."""
    chosen = [name for name in Pretrain.marked(Mark.LENGTH) if getattr(recipe, name) is not None]
    if len(chosen) > 1 and not recipe.resume:
        raise components.OptionError("", chosen[-1], f"give one of --{' and --'.join(chosen)}, not both")
    epochs = recipe.epochs if chosen else float(max(10, min(200, SAMPLES_BY_DEFAULT // count)))
    if epochs is not None:
        return epochs, max(1, round(epochs * per_epoch))
    return None, recipe.steps or per_epoch


def power_of_two(number: int) -> int:
    """The largest power of two up to a number, and 2 at least."""
    return max(2, 1 << max(1, number).bit_length() - 1)


def preflight(recipe: Pretrain, module: nn.Module | None, kind: Any = None) -> None:
    """Refuse what cannot work before the data is opened: names, options, and a method on the wrong encoder.

    `kind` is the modality of the data, where its name does not tell.
    """
    begins = recipe.fingerprint is None  # one that goes on may have what was allowed or ignored when it began
    with components.asked_anew() if begins else nullcontext():
        _refuse_impossible(recipe, module, kind, begins)


def _refuse_impossible(recipe: Pretrain, module: nn.Module | None, kind: Any, begins: bool) -> None:
    training_preset(registry.method_class(recipe.method.name), recipe)
    if begins:
        refuse_twice(recipe)
    recipe.refuse_idle()
    if recipe.map > MOST and begins:
        raise UsageError(f"--map cannot be {recipe.map}: a map shows {MOST:,} samples at most")
    if begins and not float(recipe.checkpoint_every.rstrip("s")):
        told = "steps (500) or time (10m) between checkpoints, and with none every step would write one"
        raise UsageError(f"--checkpoint-every cannot be {recipe.checkpoint_every}: it is {told}")
    kind = kind or modality.of(recipe.data)
    if recipe.teacher and not kind.PRETRAINED:
        raise UsageError(f"--teacher is for images: no networks that others have taught on {kind.THINGS} are known")
    if recipe.teacher and not any(registry.method_class(part.name).needs_teacher for part in named_methods(recipe)):
        raise UsageError(f"--teacher: {recipe.method.name} learns from none; --method distill does")
    refuse_growth(recipe, kind)
    if recipe.positives:
        refuse_unrelated({part.name: registry.method_class(part.name).views for part in named_methods(recipe)})
    kind.refuse_views(recipe.views)
    for part in named_methods(recipe):
        cls = registry.method_class(part.name)
        components.checked(f"method {part.name}", cls, part.options)
        if told := unfit(cls, kind):
            raise UsageError(f"{part.name} {told}, and {recipe.data} holds {kind.THINGS}")
        if cls.needs_teacher and not recipe.teacher:
            raise UsageError(f"{part.name} learns from a network that others have taught: name it by --teacher")
        refuse_unanswerable(recipe, kind, part.name)
    if recipe.encoder and module is None:
        with torch.device("meta"):
            encoder = kind.build_encoder(recipe.encoder, kind.guess(recipe.size, recipe.encoder))
        if begins and encoder.ignored:
            raise UsageError(encoder.ignored[0][1])
        refuse_unfit(recipe, encoder, kind)
    elif recipe.encoder and begins and recipe.encoder.options:
        option = next(iter(recipe.encoder.options))
        raise UsageError(f"encoder {recipe.encoder.name} has no option {option!r}: it is a network of yours, as it is")


def refuse_growth(recipe: Pretrain, kind: Any) -> None:
    """Raise UsageError where views are to be smaller at first, and cannot be."""
    if recipe.grow is None:
        return
    if not kind.SIZED:
        raise UsageError(f"--grow {recipe.grow} is for images: {kind.THINGS} have no size that could be smaller")
    for part in named_methods(recipe):
        if registry.places()[part.name].family != "contrastive" or registry.method_class(part.name).whole_views:
            told = f"{part.name} reckons with how large views are; most contrastive methods do not"
            raise UsageError(f"--grow {recipe.grow}: {told}")


def named_methods(recipe: Pretrain) -> list[Part]:
    """The method, and its helper if there is one."""
    return [recipe.method, *([recipe.also.method] if recipe.also else [])]


def refuse_unfit(recipe: Pretrain, encoder: Encoder, kind: Any) -> None:
    """Raise UsageError where a method works on tokens, and the encoder that was named has none; or the other way."""
    for part in named_methods(recipe):
        told = registry.method_class(part.name).no_tokens
        if told and kind.PRETRAINED and isinstance(encoder, TokenEncoder) and recipe.fingerprint is None:
            raise UsageError(
                f"{part.name} has not taught vision transformers anything yet ({told}): try --encoder {kind.ENCODER}"
            )
        if registry.method_class(part.name).needs_tokens and not isinstance(encoder, TokenEncoder):
            name = recipe.encoder.name if recipe.encoder else "the default"
            raise UsageError(
                f"{part.name} needs an encoder that works on tokens, which {name} does not; "
                f"try --encoder {' or '.join(kind.TOKEN_ENCODERS[:2])}"
            )
