"""From a run to a classifier: fine-tuned on all labels, calibrated, and put to use on new data."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from torch import Tensor, nn

from selftaught.contracts.encoder import Encoder
from selftaught.judging.accuracy import detail, row, votes
from selftaught.judging.finetune import Tuning, scores_of
from selftaught.judging.finetune import finetune as tuned
from selftaught.judging.labelled import Labelled, open_labelled, spare
from selftaught.judging.subsets import Rows, held_out
from selftaught.run.classifier import Calibrated, save_classifier
from selftaught.run.export import load_encoder
from selftaught.run.folder import RunFolder
from selftaught.run.layout import LOG
from selftaught.run.recipes import Finetune
from selftaught.system.allocator import keep_freed_memory
from selftaught.system.errors import UsageError
from selftaught.system.files import write_json
from selftaught.system.interruption import stopping
from selftaught.system.ownership import refuse_inside
from selftaught.system.progress import Progress
from selftaught.system.saying import say, writing_to
from selftaught.system.text import printable, spelled

HELD_OUT = 0.2  # of the labels: one half chooses when to stop and how sure to be, the other only measures
ENOUGH_TO_STOP = 20  # held-out samples; by fewer the moment would be a matter of luck
TASK = "finetune"  # in status.json
BINS = 15  # as of Guo et al.; the error depends on their number, so it stays the same for all
AT_THE_END = 0.01  # of the range: the search stops so far from it
RANGE = (-3.0, 3.0)  # of the logarithm of a temperature: a twentieth to twenty, which no sane network leaves


def finetune(recipe: Finetune, module: nn.Module | None = None) -> dict[str, Any]:
    """Make a classifier of a run's encoder: the folder --out; what is in its metrics.json.

    `module` is the user's own network, where the run was trained with one.
    """
    tuning = Tuning.parse(recipe.finetune)
    encoder = load_encoder(recipe.run, module=module)
    out = RunFolder(recipe.out)
    replaces = recipe.overwrite or _is_unfinished(out)
    if out.folder.resolve() == Path(recipe.run).resolve():
        raise UsageError(f"--out {printable(recipe.out)} is the run itself; choose another folder for its classifier")
    if out.exists() and not replaces:
        raise UsageError(f"{printable(recipe.out)} already exists; use --overwrite to replace it, or another --out")
    if replaces:
        read = {"RUN": recipe.run, "LABELLED": recipe.labelled, "--labels": recipe.labels}
        read |= {"--test": recipe.test, "--test-labels": recipe.test_labels}
        refuse_inside(out.folder, {**read, "--groups": recipe.groups, "--test-groups": recipe.test_groups})
    out.refuse_existing(resume=False, overwrite=replaces)
    keep_freed_memory()
    with stopping(recipe.time_limit):
        data = open_labelled(recipe, encoder.preparation)
        owned = out.claimed(resume=False, overwrite=replaces, kind=TASK)
        with owned, writing_to(out.folder / LOG), out.working(TASK) as result:
            recipe.save(out.folder / "recipe.yaml")
            out.write_environment()
            out.write_quarantine(data.train.quarantined)
            classifier, metrics = _trained(encoder, data, tuning, recipe.seed)
            about = {"samples": metrics["learnt_from"], "run": Path(recipe.run).name}
            write_json(out.folder / "metrics.json", metrics)
            save_classifier(classifier, out.folder / "classifier", about)
            kept = ("accuracy", "low", "high", "temperature", "calibration_error")
            result |= {name: metrics[name] for name in kept}
    return metrics


def _is_unfinished(out: RunFolder) -> bool:
    """Whether a fine-tuning ended here before it had anything to keep."""
    return out.status.get("task") == TASK and not (out.folder / "classifier").exists()


def _trained(encoder: Encoder, data: Labelled, tuning: Tuning, seed: int) -> tuple[Calibrated, dict[str, Any]]:
    """The classifier, and its metrics."""
    learnt, choosing, measuring = _shares(data, tuning, seed)
    tuning.warn_of_few_passes(len(learnt))
    with Progress("fine-tuning", 1, "network") as bar:
        watched = choosing if len(choosing) >= ENOUGH_TO_STOP else choosing[:0]
        model = tuned(encoder, data, learnt, held=watched, tuning=tuning, seed=seed)
        bar.update(1)
    temperature = 1.0
    if len(choosing):
        truth = torch.from_numpy(data.classes[choosing])
        temperature = fitted_temperature(scores_of(model, data.subset(choosing)), truth)
        _warn_of_doubtful(temperature, len(choosing))
    else:
        say("too few labels to hold some out: its probabilities are not calibrated")
    head = model.head.cpu()
    tuned_encoder = model.encoder.cpu()
    tuned_encoder.preparation, tuned_encoder.part = encoder.preparation, encoder.part
    metrics = {
        "classes": [spelled(name) for name in data.names],
        "samples": data.train.count,
        "learnt_from": len(learnt),
        "held_out": len(choosing) + len(measuring),
        "copies": data.copies,
        "near_copies": data.near_copies,
        "steps": model.steps,
        "temperature": temperature,
        "temperature_chosen_by": len(choosing),
        **_accuracy_on(measuring, model, data, temperature),
    }
    if data.test:
        metrics["test"] = _accuracy_on(data.test_rows, model, data, temperature)
    return Calibrated(tuned_encoder, head, temperature, data.names).eval(), metrics


def _warn_of_doubtful(temperature: float, samples: int) -> None:
    """Say where the temperature could as well be another one."""
    doubts = [f"was chosen by {samples} samples alone"] * (samples < ENOUGH_TO_STOP)
    at_the_end = min(abs(math.log(temperature) - end) for end in RANGE) < AT_THE_END
    doubts += ["stands at the end of its range"] * at_the_end
    if doubts:
        say(f"warning: the temperature, {temperature:.3g}, {' and '.join(doubts)}: trust no probability of its")


def not_measured(metrics: Mapping[str, Any]) -> list[str]:
    """The classes of which none was among what an accuracy was measured on."""
    return [name for name, count in zip(metrics["classes"], metrics["measured_per_class"]) if not count]


def _shares(data: Labelled, tuning: Tuning, seed: int) -> tuple[Rows, Rows, Rows]:
    """Rows to learn from, rows that choose, and rows that only measure; no copy is in two of them."""
    share = HELD_OUT if tuning.held_out is None else tuning.held_out
    learnt, held = spare(data, data.not_tested, share, seed)
    choosing, measuring = held_out(data.classes[held], data.group[held], 0.5, seed)
    return learnt, data.apart(held[choosing], held[measuring]), held[measuring]


def _accuracy_on(rows: Rows, model: Any, data: Labelled, temperature: float) -> dict[str, Any]:
    """What the model makes of samples that chose nothing; nothing is known where there are none."""
    names = ("accuracy", "low", "high", "calibration_error", "calibration_error_before", "recall", "confusion")
    counts = np.bincount(data.classes[rows], minlength=len(data.names)).tolist()
    if not len(rows):
        return {"measured_on": 0, "measured_per_class": counts, **dict.fromkeys(names)}
    scores, truth = scores_of(model, data.subset(rows)), data.classes[rows]
    said = scores.argmax(dim=1).numpy()
    right = votes(said == truth, data.group[rows])
    accuracy = row("trained", "finetune", "", [[right]], len(right))
    classes = detail("trained", "finetune", "", [[(said, truth)]], len(data.names))
    after, before = (calibration_error(probabilities_of(scores, t), truth) for t in (temperature, 1.0))
    values = (accuracy.accuracy, accuracy.low, accuracy.high, after, before, classes.recall, classes.confusion)
    return {"measured_on": len(rows), "measured_per_class": counts, **dict(zip(names, values, strict=True))}


def fitted_temperature(scores: Tensor, labels: Tensor) -> float:
    """What scores (N, classes) of samples that were not learnt from must be divided by to be as sure as they are right.

    The least cross-entropy (Guo et al., 2017, section 4.2), with targets that leave room for the mistake that few
    samples have not shown yet (Platt, 1999, section 2.2). https://arxiv.org/abs/1706.04599
    """
    scores, doubt = scores.double(), 1 / (len(scores) + 2)

    def loss(log: float) -> float:
        return float(F.cross_entropy(scores / float(np.exp(log)), labels, label_smoothing=doubt))

    return float(np.exp(minimize_scalar(loss, bounds=RANGE, method="bounded").x))


def calibration_error(probabilities: NDArray[Any], labels: NDArray[np.int64]) -> float:
    """By how much the probability of the likeliest class (N, classes) is off from how often it is right, on average.

    The expected calibration error in 15 equal bins (Naeini et al., 2015), in [0, 1].
    """
    sure, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    place = np.minimum((sure * BINS).astype(int), BINS - 1)
    off = [abs(float((sure[place == i] - right[place == i]).sum())) for i in range(BINS)]
    return sum(off) / len(labels)


def probabilities_of(scores: Tensor, temperature: float) -> NDArray[Any]:
    """Scores (N, classes) as probabilities."""
    return torch.softmax(scores.double() / temperature, dim=1).numpy()
