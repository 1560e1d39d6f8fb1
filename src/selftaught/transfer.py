"""From a run to a classifier: fine-tuned on all labels, calibrated, and put to use on new data."""

import csv
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from . import modality
from .allocator import keep_freed_memory
from .classifier import Calibrated, load_classifier, save_classifier
from .encoder import Encoder
from .errors import DivergedError, Interrupted, UsageError
from .export import load_encoder
from .files import temporary_for, write_json
from .judging.calibration import calibration_error, fitted_temperature, probabilities_of
from .judging.evaluation import detail, row
from .judging.finetune import Tuning, scores_of
from .judging.finetune import finetune as tuned
from .judging.labelled import Labelled, open_labelled, spare
from .judging.splits import Rows, held_out
from .progress import Progress, plain, say, writing_to
from .quarantine import harmless, write_quarantine
from .recipes import Finetune
from .run import LOG, Run
from .training.interruption import Stop, poll, stopping

HELD_OUT = 0.2  # of the labels: one half chooses when to stop and how sure to be, the other only measures
ENOUGH_TO_STOP = 20  # held-out samples; by fewer the moment would be a matter of luck
TASK = "finetune"  # in status.json


def finetune(recipe: Finetune, module: nn.Module | None = None) -> dict[str, Any]:
    """Make a classifier of a run's encoder: the folder --out; what is in its metrics.json.

    `module` is the user's own network, where the run was trained with one.
    """
    tuning = Tuning.parse(recipe.finetune)
    encoder = load_encoder(recipe.run, module=module)
    out = Run(recipe.out)
    replaces = recipe.overwrite or _is_unfinished(out)
    if out.folder.resolve() == Path(recipe.run).resolve():
        raise UsageError(f"--out {plain(recipe.out)} is the run itself; choose another folder for its classifier")
    if out.exists() and not replaces:
        raise UsageError(f"{plain(recipe.out)} already exists; use --overwrite to replace it, or another --out")
    out.refuse_existing(resume=False, overwrite=replaces)
    keep_freed_memory()
    with stopping(recipe.time_limit) as stop:
        learnt, judged = (recipe.labelled, recipe.labels), (recipe.test, recipe.test_labels)
        data = open_labelled(
            recipe.run, encoder.preparation, learnt, judged, recipe.limit, recipe.seed, stop, recipe.tolerance
        )
        with out.claimed(resume=False, overwrite=replaces), writing_to(out.folder / LOG), _status(out):
            recipe.save(out.folder / "recipe.yaml")
            out.write_environment()
            out.write_quarantine(data.train.quarantined)
            classifier, metrics = _trained(encoder, data, recipe.seed, tuning, stop)
            about = {"samples": metrics["learnt_from"], "run": Path(recipe.run).name}
            write_json(out.folder / "metrics.json", metrics)
            save_classifier(classifier, out.folder / "classifier", about)
            kept = ("accuracy", "low", "high", "temperature", "calibration_error")
            out.set_status("done", "", 0, task=TASK, **{name: metrics[name] for name in kept})
    return metrics


def _is_unfinished(out: Run) -> bool:
    """Whether a fine-tuning ended here before it had anything to keep."""
    return out.status.get("task") == TASK and not (out.folder / "classifier").exists()


@contextmanager
def _status(out: Run) -> Iterator[None]:
    """Record how the work ends, if it does not end well."""
    out.set_status("running", task=TASK)
    try:
        yield
    except (Interrupted, KeyboardInterrupt) as error:
        out.set_status("preempted", str(error) or "stopped at once", Interrupted.exit_code, task=TASK)
        raise
    except DivergedError as error:
        out.set_status("diverged", str(error), error.exit_code, task=TASK)
        raise
    except Exception as error:
        out.set_status("failed", f"{type(error).__name__}: {error}", getattr(error, "exit_code", 1), task=TASK)
        raise


def _trained(
    encoder: Encoder, data: Labelled, seed: int, tuning: Tuning, stop: Stop
) -> tuple[Calibrated, dict[str, Any]]:
    """The classifier, and what is known of it."""
    share = HELD_OUT if tuning.held_out is None else tuning.held_out
    usable = data.told_apart if data.test else np.arange(data.train.count)
    learnt, held = spare(data, usable, share, seed)
    halves = held_out(data.classes[held], data.content[held], 0.5, seed)
    measuring = held[halves[1]]
    choosing = data.apart(held[halves[0]], measuring)
    tuning.tell_few(len(learnt))
    with Progress("fine-tuning", 1, "network") as bar:
        watched = choosing if len(choosing) >= ENOUGH_TO_STOP else choosing[:0]
        told = (data.train, learnt, watched, data.classes, len(data.names), seed, stop, tuning)
        model = tuned(encoder, *told)
        bar.update(1)
    temperature = 1.0
    if len(choosing):
        temperature = fitted_temperature(scores_of(model, data.subset(choosing)), _classes(data, choosing))
    else:
        say("too few labels to hold some out: its probabilities are not calibrated")
    head = model.head.cpu()
    tuned_encoder = model.encoder.cpu()
    tuned_encoder.preparation, tuned_encoder.part = encoder.preparation, encoder.part
    metrics = {
        "classes": data.names,
        "samples": data.train.count,
        "learnt_from": len(learnt),
        "held_out": len(choosing) + len(measuring),
        "copies": data.copies,
        "steps": model.steps,
        "temperature": temperature,
        **_measured(model, data, measuring, temperature),
    }
    if data.test:
        tested = np.arange(data.train.count, len(data.classes))
        metrics["test"] = _measured(model, data, tested, temperature)
    return Calibrated(tuned_encoder, head, temperature, data.names).eval(), metrics


def _classes(data: Labelled, rows: Rows) -> torch.Tensor:
    return torch.from_numpy(data.classes[rows])


def _measured(model: Any, data: Labelled, rows: Rows, temperature: float) -> dict[str, Any]:
    """What the model makes of samples that chose nothing; nothing is known where there are none."""
    names = ("accuracy", "low", "high", "calibration_error", "calibration_error_before", "recall", "confusion")
    if not len(rows):
        return {"measured_on": 0, **dict.fromkeys(names)}
    scores, truth = scores_of(model, data.subset(rows)), data.classes[rows]
    said = scores.argmax(dim=1).numpy()
    accuracy = row("trained", "finetune", "", [[said == truth]], len(rows))
    classes = detail("trained", "finetune", "", [[(said, truth)]], len(data.names))
    after, before = (calibration_error(probabilities_of(scores, t), truth) for t in (temperature, 1.0))
    values = (accuracy.accuracy, accuracy.low, accuracy.high, after, before, classes.recall, classes.confusion)
    return {"measured_on": len(rows), **dict(zip(names, values, strict=True))}


@dataclass
class Predictions:
    """What a classifier says of samples."""

    keys: list[str]
    classes: list[str]
    probabilities: NDArray[Any]  # (N, classes)
    quarantined: list[tuple[str, str]]  # what could not be read, with the reason

    @property
    def predicted(self) -> list[str]:
        """The likeliest class of each sample."""
        return [self.classes[number] for number in self.probabilities.argmax(axis=1)]

    def counts(self) -> dict[str, int]:
        """How many samples of each class there seem to be."""
        found = Counter(self.predicted)
        return {name: found[name] for name in self.classes}

    def write(self, out: Path, every: bool = False) -> None:
        """A CSV of path,predicted,probability and, where every class is wanted, a column for each.

        What could not be read is listed beside it, in <name>-quarantine.csv.
        """
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary = temporary_for(out)
        try:
            with temporary.open("w", newline="", encoding="utf-8") as stream:
                writer = csv.writer(stream)
                columns = [harmless(plain(name)) for name in self.classes]
                writer.writerow(["path", "predicted", "probability", *(columns if every else [])])
                for key, name, likely in zip(self.keys, self.predicted, self.probabilities, strict=True):
                    poll()
                    cells = [f"{likely.max():.6f}", *(f"{p:.6f}" for p in likely if every)]
                    writer.writerow([harmless(plain(key)), harmless(plain(name)), *cells])
            temporary.replace(out)
        finally:
            temporary.unlink(missing_ok=True)
        if self.quarantined:
            write_quarantine(unread(out), self.quarantined)


def unread(out: Path) -> Path:
    """Where what could not be read is listed."""
    return out.with_name(f"{out.stem}-quarantine.csv")


def predict(
    folder: str | Path,
    data: str | Path | NDArray[Any],
    out: str | Path | None = None,
    *,
    every: bool = False,
    limit: int | None = None,
    module: nn.Module | None = None,
) -> Predictions:
    """What the classifier in `folder` says of `data`, written to the CSV file `out` if one is named."""
    if out is not None and Path(out).suffix.lower() != ".csv":
        raise UsageError(f"--out {plain(str(out))} must end in .csv")
    classifier = load_classifier(folder, module)
    kind = modality.named(classifier.preparation.modality)
    if modality.of(data) is not kind:
        raise UsageError(f"the classifier takes {kind.THINGS}, and the data holds {modality.of(data).THINGS}")
    keep_freed_memory()
    how = {"like": classifier.preparation, "limit": limit, "tolerance": 1.0}
    samples = kind.open_samples(data, progress=lambda done, total: poll(), **how)
    with Progress("predicting", samples.count, kind.THINGS) as bar:
        scores = scores_of(classifier, samples, bar.update)
    found = probabilities_of(scores, classifier.temperature)
    said = Predictions(list(samples.keys), classifier.classes, found, samples.quarantined)
    if out is not None:
        said.write(Path(out), every)
        if said.quarantined:
            say(f"warning: {len(said.quarantined):,} {kind.THINGS} cannot be read, see {unread(Path(out))}")
    return said
