"""What a run folder holds: each name that is written there, and what lies in its folders."""

import re
from collections.abc import Collection, Iterable
from pathlib import Path

from selftaught.system.errors import UsageError
from selftaught.system.lock import LOCK
from selftaught.system.ownership import MANIFEST, Inside, Owned
from selftaught.system.text import printable

LOG = "run.log"
MARKS = ("recipe.yaml", "status.json")  # what makes a folder a run
JUDGED = {"rows", "verdict"}  # what every evaluation.json has had since the first release
NEWEST, EVALUATIONS, PAGE = "evaluation.json", "evaluations", "report.html"
PICTURES = "pictures.png"  # what the network was shown, and what it said
UNFINISHED = "unfinished"  # what an evaluation that was cut had come to
MODEL = ("model.safetensors", "config.json", "README.md")  # of an encoder or a classifier
EXPORTED = ("model.onnx", "model.pte")
BESIDE = ("tokenizer.json", *EXPORTED)  # these, where there is one
TRACKERS = ("tensorboard", "wandb", "mlflow")  # of --logger, those that write here
HARMLESS = (MANIFEST, LOCK, LOG)  # what a run may leave that ended before it had anything to keep

_MODEL = Inside(re.compile("|".join(map(re.escape, (*MODEL, *BESIDE)))))
_STEP = r"step_\d+(\.\d+)?"
# The second part is of what is spread over processes: of which one of how many.
IN_STEP = re.compile(r"(model|optimizer|begun)(\.\d+-of-\d+)?\.safetensors|(state|manifest)\.json")
_CHECKPOINTS = re.compile(rf"last|best|{_STEP}/({IN_STEP.pattern})")
_MAP = re.compile(r"(start|end)\.json|(sheet|patches\.(start|end))\.webp|(points|sounds)\.npy|layout\.npz")
_WANDB = r"(offline-)?run-\d{8}_\d{6}-[0-9a-f]{32}"  # of one start of a run
_IN_WANDB = r"run-[0-9a-f]{32}\.wandb(\.synced)?|files/(config\.yaml|wandb-summary\.json)|logs/debug(-\w+)?\.log"
FOLDERS = {
    "checkpoints": Inside(_CHECKPOINTS, re.compile(_STEP)),
    "encoder": _MODEL,
    "hub": _MODEL,
    "initial": _MODEL,
    "classifier": _MODEL,
    "map": Inside(_MAP),
    EVALUATIONS: Inside(re.compile(r"\d+\.json")),
    UNFINISHED: Inside(re.compile(r"[0-9a-f]{32}\.npy")),
    "tensorboard": Inside(re.compile(r"events\.out\.tfevents\..+")),
    "wandb": Inside(re.compile(rf"{_WANDB}/({_IN_WANDB})"), re.compile(rf"{_WANDB}(/(files|logs|tmp(/code)?))?")),
    "mlflow": Inside(re.compile(r"mlflow\.db(-journal|-wal|-shm)?")),
}
_BOTH = (*HARMLESS, *MARKS, "environment.json", "quarantine.csv")
_TRAINED = (
    "data.json",
    "data.digests.npy",
    "metadata.codes.npy",
    "watched.digests.npy",
    "metrics.jsonl",
    "bad_batches.jsonl",
    "replaced.jsonl",
    PICTURES,
    "profile.json",
    "profile_trace.json",
)
NAMES = {  # that whoever holds the lock of the folder writes, by kind of work
    "pretrain": (*_BOTH, *_TRAINED, "checkpoints", "encoder", "initial", "map", *TRACKERS),
    "finetune": (*_BOTH, "metrics.json", "classifier"),
}
LATER = (NEWEST, EVALUATIONS, UNFINISHED, PAGE, "hub")  # that other commands write, each recorded when it is
WITHOUT_LOCK = (*LATER, "layout.npz", *EXPORTED)  # that somebody may be writing though nobody holds the lock
ALL = tuple(dict.fromkeys((*NAMES["pretrain"], *NAMES["finetune"], *LATER)))
# Fields that every recipe.yaml of a run has had since the first release, while one written by hand has no need of them.
FIELDS: tuple[Collection[str], ...] = (
    ("data", "method", "seed", "out", "resume", "overwrite"),
    ("run", "labelled", "seed", "out", "overwrite"),
)


def owned(names: Iterable[str]) -> Owned:
    """These names, with what lies in those of folders."""
    return {name: FOLDERS.get(name) for name in names}


def is_classifier(folder: Path) -> bool:
    """Whether a folder is what `finetune` makes."""
    return (folder / "classifier").is_dir()


def refuse_classifier(folder: Path) -> None:
    """Raise UsageError where a run is wanted, and a folder is what `finetune` makes."""
    if is_classifier(folder):
        raise no_pretraining(folder)


def no_pretraining(folder: Path) -> UsageError:
    """The error where a run is wanted, and a folder holds a classifier."""
    return UsageError(f"{printable(folder)} is a classifier, and no pre-training: name the run that its encoder is of")
