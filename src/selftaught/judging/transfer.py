"""From a run to a classifier: fine-tuned on all labels, calibrated, and put to use on new data."""

from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from selftaught.contracts.encoder import Encoder
from selftaught.contracts.modality import place_of
from selftaught.judging.aim import aim_of
from selftaught.judging.certainty import independent, meaning_of
from selftaught.judging.finetune import HELD_OUT, Tuning
from selftaught.judging.finetune import finetune as tuned
from selftaught.judging.idle import refuse_alone
from selftaught.judging.labelled import Labelled, spare
from selftaught.judging.marks import marks
from selftaught.judging.metrics import UNEVEN, uneven
from selftaught.judging.opening import open_labelled
from selftaught.judging.subsets import Rows, held_out
from selftaught.judging.told import leaks_of
from selftaught.run.classifier import Calibrated, save_classifier
from selftaught.run.export import load_encoder, warn_of_cut
from selftaught.run.folder import RunFolder
from selftaught.run.layout import LOG
from selftaught.run.meaning import Meaning
from selftaught.run.recipes import Finetune
from selftaught.system.allocator import keep_freed_memory
from selftaught.system.errors import UsageError
from selftaught.system.files import write_json
from selftaught.system.interruption import stopping
from selftaught.system.ownership import refuse_inside
from selftaught.system.progress import Progress
from selftaught.system.saying import say, writing_to
from selftaught.system.text import number_of, printable, spelled

ENOUGH_TO_STOP = 20  # held-out samples, or groups; by fewer the moment would be a matter of luck
TASK = "finetune"  # in status.json
STOPPED_BY = {"classes": "accuracy", "several": "mAP", "number": "R²"}
KEPT = (  # of the metrics, in status.json as well
    *("accuracy", "mAP", "R2", "low", "high", "balanced_accuracy", "macro_F1", "MAE", "RMSE"),
    *("temperature", "calibration_error", "margin"),
)


def finetune(recipe: Finetune, module: nn.Module | None = None) -> dict[str, Any]:
    """Make a classifier of a run's encoder: the folder --out; what is in its metrics.json.

    `module` is the user's own network, where the run was trained with one.
    """
    refuse_alone(recipe, "test", "test_labels")
    tuning = Tuning.parse(recipe.finetune)
    encoder = load_encoder(recipe.run, module=module)
    warn_of_cut(recipe.run)
    out = RunFolder(recipe.out)
    replaces = recipe.overwrite or _is_unfinished(out)
    if out.folder.resolve() == Path(recipe.run).resolve():
        raise UsageError(f"--out {printable(recipe.out)} is the run itself; choose another folder for its classifier")
    if out.exists() and not replaces:
        raise UsageError(f"{printable(recipe.out)} already exists; use --overwrite to replace it, or another --out")
    if replaces:
        read = {"RUN": recipe.run, "LABELLED": recipe.labelled, "--labels": recipe.labels}
        read |= {"--test": recipe.test, "--test-labels": recipe.test_labels}
        lies = {flag: place_of(str(named)) for flag, named in read.items() if named is not None}
        refuse_inside(out.folder, {**lies, "--groups": recipe.groups, "--test-groups": recipe.test_groups})
    out.refuse_existing(resume=False, overwrite=replaces)
    keep_freed_memory()
    with stopping(recipe.time_limit):
        data = open_labelled(recipe, encoder.preparation)
        aim_of(data, data.not_tested, tuning.weighting == "balanced")  # what cannot be learnt is refused here
        owned = out.claimed(resume=False, overwrite=replaces, kind=TASK)
        with owned, writing_to(out.folder / LOG), out.working(TASK) as result:
            recipe.save(out.folder / "recipe.yaml")
            out.write_environment()
            out.write_quarantine(data.train.quarantined)
            leaks = leaks_of(recipe.run, data, recipe.label_column)
            classifier, metrics = _trained(encoder, data, tuning, recipe.seed)
            metrics |= {"leaks": leaks} if leaks else {}
            about = {"samples": metrics["learnt_from"], "run": Path(recipe.run).name}
            write_json(out.folder / "metrics.json", metrics)
            save_classifier(classifier, out.folder / "classifier", about)
            result |= {name: metrics[name] for name in KEPT if name in metrics}
    return metrics


def _is_unfinished(out: RunFolder) -> bool:
    """Whether a fine-tuning ended here before it had anything to keep."""
    return out.status.get("task") == TASK and not (out.folder / "classifier").exists()


def _trained(encoder: Encoder, data: Labelled, tuning: Tuning, seed: int) -> tuple[Calibrated, dict[str, Any]]:
    """The classifier, and its metrics."""
    learnt, choosing, measuring = _shares(data, tuning, seed)
    tuning.warn_of_few_passes(len(learnt))
    watched = choosing if len(np.unique(data.group[choosing])) >= ENOUGH_TO_STOP else choosing[:0]
    if not len(watched):
        _say_of_no_stop(data, choosing, tuning, tuning.steps(tuning.per_epoch(len(learnt))))
    facts = _uneven_or_not(data, learnt, watched)
    with Progress("fine-tuning", 0, "steps") as bar:

        def report(done: int, total: int) -> None:
            bar.update(done, total=total)

        model = tuned(encoder, data, learnt, held=watched, tuning=tuning, seed=seed, progress=report)
    if len(watched) and model.steps < bar.total:
        best = f"step {model.steps:,} was best on {independent(data.group[watched])}"
        ended = (
            f"stopped at step {bar.done:,} of {bar.total:,}" if bar.done < bar.total else f"{bar.total:,} steps done"
        )
        say(f"fine-tuning: {ended}: {best}, and is kept")
    meaning = meaning_of(model, data, choosing)
    names = [] if data.task == "number" else data.names
    head = model.head.cpu()
    tuned_encoder = model.encoder.cpu()
    tuned_encoder.preparation, tuned_encoder.part = encoder.preparation, encoder.part
    classifier = Calibrated(tuned_encoder, head, meaning, names).eval()
    metrics = {
        "task": meaning.task,
        "classes": [spelled(name) for name in names],
        "samples": data.train.count,
        "learnt_from": len(learnt),
        "held_out": len(choosing) + len(measuring),
        "copies": data.copies,
        "near_copies": data.near_copies,
        "steps": model.steps,
        **facts,
        **_sure(meaning, len(choosing)),
        **_marked(classifier, data, measuring),
    }
    if data.test:
        metrics["test"] = _marked(classifier, data, data.test_rows)
    return classifier, metrics


def _say_of_no_stop(data: Labelled, choosing: Rows, tuning: Tuning, steps: int) -> None:
    """Say that nothing chooses when to stop, where somebody may think that something does."""
    taken = f"all {number_of(steps, 'step')} are taken"
    if len(choosing):
        few = f"{independent(data.group[choosing])} held out are too few to choose when to stop"
        say(f"note: {few} ({ENOUGH_TO_STOP} are needed): {taken}")
    elif tuning.names_patience:
        say(f"note: --finetune.patience {tuning.patience} does nothing, as no labels are held out: {taken}")


def _marked(classifier: Calibrated, data: Labelled, rows: Rows) -> dict[str, Any]:
    """What it makes of these, how many they are without copies, and in how many groups they lie, where it is fewer."""
    groups, distinct = len(np.unique(data.group[rows])), len(np.unique(data.content[rows]))
    known = {"measured_distinct": distinct} if distinct < len(rows) else {}
    known |= {"measured_groups": groups} if groups < distinct else {}
    return marks(classifier, data, rows) | known


def _uneven_or_not(data: Labelled, learnt: Rows, watched: Rows) -> dict[str, Any]:
    """By what it is chosen when to stop, if it is; of classes whether they are uneven, which is said."""
    task = data.task
    if task != "classes":
        return {"stopped_by": STOPPED_BY[task] if len(watched) else None}
    counts = np.bincount(data.classes[learnt], minlength=len(data.names))
    stopped_by, odd = STOPPED_BY[task], uneven(counts[counts > 0])
    if odd:
        stopped_by = f"balanced {stopped_by}"
        most, least = (f"{counts[at]:,} {printable(data.names[at])}" for at in (counts.argmax(), counts.argmin()))
        so = "balanced accuracy chooses when to stop" if len(watched) else "look at each class by itself"
        say(f"note: classes differ by more than {UNEVEN} to 1 ({most}, {least}): {so}")
    return {"stopped_by": stopped_by if len(watched) else None, "uneven": odd}


def _sure(meaning: Meaning, samples: int) -> dict[str, Any]:
    """How sure it is, and how many samples chose that."""
    by = "margin_chosen_by" if meaning.task == "number" else "temperature_chosen_by"
    own = {name: value for name, value in meaning.told().items() if name not in ("task", "chosen_by")}
    return {**own, by: samples}


def _shares(data: Labelled, tuning: Tuning, seed: int) -> tuple[Rows, Rows, Rows]:
    """Rows to learn from, rows that choose, and rows that only measure; no copy is in two of them."""
    share = HELD_OUT if tuning.held_out is None else tuning.held_out
    learnt, held = spare(data, data.not_tested, share, seed)
    choosing, measuring = held_out(data.classes[held], data.group[held], 0.5, seed)
    return learnt, data.apart(held[choosing], held[measuring]), held[measuring]
