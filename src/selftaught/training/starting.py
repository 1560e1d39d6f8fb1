"""What a run takes over from the weights that it starts from: their network, image size and normalisation, and pace."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import nn

from selftaught.contracts import modality
from selftaught.contracts.encoder import batch_norms
from selftaught.contracts.method import Training
from selftaught.contracts.modality import Modality
from selftaught.contracts.samples import Samples
from selftaught.run.export import encoder_about
from selftaught.run.known import Known, folder_of, known_of
from selftaught.run.recipes import Pretrain
from selftaught.system.components import Part
from selftaught.system.errors import UsageError
from selftaught.system.text import printable
from selftaught.training.pretrained import Taught, load_teacher, stamps_of

# For going on from what others have taught: a fifth of the method's rate, each layer 0.8 times as fast as the next, the
# first half of them not at all in the first tenth, in which the new heads find their way. Not from a run of ours, whose
# rate was the method's: SimCLR's, from CIFAR-10 to digits in five epochs, gave 67.3 % with a label a class by its own
# preset, 57.2 by this one, and 64.6 by this one at its own rate (one seed).
WARM: dict[str, Any] = {"layer_decay": 0.8, "warmup": 0.05, "frozen": 0.1}
SLOWER = 0.2


def taking_over(recipe: Pretrain, kind: Modality) -> Pretrain:
    """The recipe with the network and the size of what --init names, where the user names none."""
    known = _known(recipe, kind)
    if recipe.fingerprint is not None or known is None:
        return recipe
    taken: dict[str, Any] = {}
    if recipe.encoder is None and known.part:
        taken["encoder"] = as_built(known.part, kind, recipe.size)
        if kind.begun(recipe.init or "") and recipe.tokenizer is None:
            taken["tokenizer"] = recipe.init
    if recipe.size is None and known.size and kind.SIZED:
        taken["size"] = known.size
    return recipe.model_copy(update=taken)


def as_built(part: Part, kind: Modality, size: Any) -> Part:
    """An encoder without options that its network does not have, which those of before there was a check may name."""
    if not part.options:
        return part
    with torch.device("meta"):
        return without(part, kind.build_encoder(part, kind.guess(size, part)).ignored)


def without(part: Part, ignored: Sequence[tuple[str, str]]) -> Part:
    """An encoder without the options that its network, once it was built, has ignored."""
    options = {name: value for name, value in part.options.items() if name not in dict(ignored)}
    return part.model_copy(update={"options": options})


def _known(recipe: Pretrain, kind: Modality) -> Known | None:
    if not recipe.init:
        return None
    if part := kind.begun(recipe.init):
        return Known(part)
    known = known_of(recipe.init, (recipe.encoder.name if recipe.encoder else kind.ENCODER).removeprefix("timm/"))
    return known if kind.PRETRAINED or (known.ours and _known_preparation(recipe.init, kind)) else None


def _known_preparation(source: str, kind: Modality) -> Any:
    """As `_preparation_in`; None where nothing tells."""
    with suppress(UsageError):
        return _preparation_in(source, kind)
    return None


def _preparation_in(source: str, kind: Modality) -> Any:
    """How samples were prepared for an encoder of a run of ours, of this kind of data. Raises UsageError."""
    folder = folder_of(source)
    try:
        about = encoder_about(folder / "encoder" if (folder / "encoder").is_dir() else folder)
        if about["modality"] != kind.Preparation.modality:
            raise UsageError(f"it is of {printable(about['modality'])}")
        return kind.Preparation.model_validate(about["preparation"])
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(printable(error)) from None


def prepared_as(recipe: Pretrain, kind: Modality) -> Any:
    """The preparation by which --init was taught, where samples are to be prepared so from the start; else None.

    Images are not: whatever they show, mean and deviation alone are taken over (`normalised`). Who says how series are
    cut, or at which rate they come, has the data's own.
    """
    if kind.WORDS:
        return words_of(recipe, kind)
    begun, said = recipe.fingerprint is not None, (recipe.window, recipe.stride, recipe.sampling_rate)
    if kind.PRETRAINED or not recipe.init or recipe.normalise == "data" or any(said):
        return None
    if begun and recipe.normalise == "auto":
        return None  # a run from before there was a choice
    # What --init names may be gone, or another one, as a run goes on.
    sources = [str(Path(str(recipe.out)) / name) for name in ("initial", "encoder")] if begun else []
    theirs = next(filter(None, (_known_preparation(source, kind) for source in (*sources, recipe.init))), None)
    return theirs.model_copy(update={"size": recipe.size}) if theirs and recipe.size and kind.SIZED else theirs


def words_of(recipe: Pretrain, kind: Modality) -> Any:
    """The preparation of texts by which --init was taught, as its weights know no other words; None without any.

    Raises UsageError where nothing tells which they are, or where others are asked for.
    """
    if not recipe.init or not kind.WORDS or kind.begun(recipe.init):
        return None
    shown = f"--init {printable(recipe.init)}"
    try:
        preparation = _preparation_in(recipe.init, kind)
    except UsageError as error:
        way = "name a run of ours that has learnt from texts"
        raise UsageError(f"{shown} does not say which words it knows: {way} ({error})") from None
    for name in ("tokenizer", "vocabulary", "context"):
        if getattr(recipe, name) is not None:
            raise UsageError(f"--{name} is that of {shown}, whose weights know no other words: leave it out")
    return preparation


def warmed(preset: str, lr: float) -> dict[str, Any]:
    """What the method's preset becomes for going on from known weights, its own rate being `lr`; nothing from none."""
    return {"lr": SLOWER * lr, **WARM} if preset == "warm" else {}


def preset_of(recipe: Pretrain, kind: Modality) -> str:
    """The preset that a run begins with: what was asked for, or warm from weights that others have taught."""
    if recipe.preset != "auto":
        return recipe.preset
    known = _known(recipe, kind) if recipe.fingerprint is None else None
    return "warm" if known and not known.ours else "own"


def keeping(recipe: Pretrain, kind: Modality, module: nn.Module | None = None) -> Pretrain:
    """The recipe with it decided whether the encoder's batch norms keep the statistics that it comes with.

    Those that others have taken of their data serve features of other data better than statistics of that: of 1,000
    images of CIFAR-10 at 64 px, ImageNet's tf_efficientnet_lite0 tells 48.8 % with 20 labels a class as it is, and 32.9
    with statistics measured on them. Of a network that has not come as it was, by another stem, they say nothing.
    """
    if recipe.statistics != "auto":
        return recipe
    known = _known(recipe, kind) if recipe.fingerprint is None else None
    theirs = known and known.part and known.part == recipe.encoder and (known.kept or not known.ours)
    taught = recipe.fingerprint is None and module is not None and _has_seen(module)
    return recipe.model_copy(update={"statistics": "init" if theirs or taught else "data"})


def _has_seen(module: nn.Module) -> bool:
    """Whether batch norms of a network have taken statistics of any data."""
    return any(norm.num_batches_tracked is not None and norm.num_batches_tracked > 0 for norm in batch_norms(module))


def teacher_of(recipe: Pretrain, preparation: Any) -> Taught:
    """The network that a run learns from; one that goes on takes it as it did when it began."""
    name = recipe.encoder.name if recipe.encoder else modality.named(preparation.modality).ENCODER
    source = str(recipe.teacher)
    asked = source, recipe.teacher_size, name, preparation, stamps_of(source)
    teacher = load_teacher(*asked)
    if recipe.teacher_fingerprint == teacher.former != teacher.fingerprint and Path(source).is_file():
        return load_teacher(*asked, alone=True)
    return teacher


def taught(recipe: Pretrain, samples: Samples) -> Pretrain:
    """The recipe with the fingerprint of its teacher. Raises UsageError where a run goes on that had another one."""
    if recipe.teacher is None:
        return recipe
    teacher = teacher_of(recipe, samples.preparation)
    if recipe.teacher_fingerprint not in (None, teacher.fingerprint, teacher.former):
        raise UsageError(f"cannot resume: --teacher {printable(recipe.teacher)} is not what this run has learnt from")
    return recipe.model_copy(update={"teacher_fingerprint": recipe.teacher_fingerprint or teacher.fingerprint})


def in_words(training: Training) -> str:
    """How a run goes on from known weights."""
    told = f"layers learn {training.layer_decay:g} times as fast as the next one" if training.layer_decay < 1 else ""
    waits = f"the first half of them waits for {training.frozen:.0%} of training" if training.frozen else ""
    return ", ".join(filter(None, (told, waits))) + "; --preset own starts as from nothing"


def normalised(recipe: Pretrain, samples: Samples, kind: Modality) -> Pretrain:
    """The recipe with it decided by whose mean and deviation images are normalised, and the samples' preparation so.

    Weights that others have taught expect the values they were taught with. Raises UsageError where it is wanted of
    weights of which nothing is known.
    """
    begun = recipe.fingerprint is not None
    if recipe.init and not kind.PRETRAINED and not kind.WORDS and prepared_as(recipe, kind):
        return recipe.model_copy(update={"normalise": "init"})  # as the samples were opened
    if recipe.normalise == "data" or not recipe.init or (begun and recipe.normalise == "auto"):
        return recipe.model_copy(update={"normalise": "data"})  # as runs from before there was a choice were, too
    known = _as_begun(recipe) if begun and kind.PRETRAINED else None
    if known is None and kind.PRETRAINED and (own := _known(recipe, kind)):
        known = own.normalisation(samples.preparation.channels)
    if known is None and recipe.normalise == "init" and (recipe.window or recipe.stride or recipe.sampling_rate):
        told = f"--normalise init takes samples as --init {printable(recipe.init)} took them"
        raise UsageError(f"{told}: leave out --window, --stride and --sampling-rate")
    if known is None and recipe.normalise == "init":
        raise UsageError(f"--normalise init: nothing tells how --init {printable(recipe.init)} was; leave it out")
    if known is not None:
        mean, std = known
        samples.preparation = samples.preparation.model_copy(update={"mean": mean, "std": std})
    return recipe.model_copy(update={"normalise": "data" if known is None else "init"})


def _as_begun(recipe: Pretrain) -> tuple[Any, Any] | None:
    """As it was when a run began that goes on: what --init names may be gone, or another one."""
    for name in ("initial", "encoder"):
        try:
            about = encoder_about(Path(str(recipe.out)) / name)["preparation"]
            return tuple(about["mean"]), tuple(about["std"])
        except (UsageError, KeyError, TypeError):
            continue
    return None
