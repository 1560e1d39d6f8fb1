"""A disk with a run that was cut, and with what is somebody's: DATA, a folder, and what they put among our files."""

import hashlib
import json
import os
import shutil
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from selftaught.training.keeping import Keeping
from tests.reliability.forks import child, quietly

SECRET = "hunter2"  # in every file of somebody's that a link leads to; it gets nowhere else
EACH, SIDE = 8, 16  # pictures of a class, and pixels
CUT_AT, STEPS = 3, 7
GONE = 9  # what a run that is cut exits with


@dataclass
class World:
    """DATA, a run that was cut, its cache, and a folder of somebody's; `begin_anew` before each trial."""

    root: Path
    theirs: set[Path] = field(default_factory=set)  # what stays as it is, byte for byte, beside all of DATA and mine
    replaced: list[Path] = field(default_factory=list)  # names in the run that are no more what the run wrote

    def __post_init__(self) -> None:
        self.photos, self.mine = self.root / "photos", self.root / "mine"
        self.run, self.cache = self.root / "run", self.root / "cache"
        self.whole = self.root / "whole"  # a run that nobody disturbs
        self.pristine = self.root / "pristine"  # of what is copied for each trial
        self.out = self.run  # what commands name

    def words(self, out: Path, *more: str) -> list[str]:
        """A run of few steps, saved after each; its images go through the cache."""
        told = ["pretrain", str(self.photos), "--method", "rotation", "--encoder", "test_resnet", "--batch-size", "8"]
        told += ["--steps", str(STEPS), "--log-every", "1", "--checkpoint-every", "1", "--size", str(SIDE)]
        return [*told, "--memory", "1KB", "--precision", "32-true", "--layout", "contiguous", "--out", str(out), *more]

    def tuned(self) -> list[str]:
        """A run that measures which way is the fastest, or remembers it."""
        out = self.root / "tuned"
        shutil.rmtree(out, ignore_errors=True)
        told = ["pretrain", str(self.photos), "--method", "rotation", "--encoder", "test_resnet", "--size", str(SIDE)]
        return [*told, "--batch-size", "2", "--steps", "170", "--memory", "1KB", "--out", str(out)]

    def judged(self, run: Path) -> list[str]:
        return ["evaluate", str(run), "--train", str(self.photos), "--probe", "knn", "--repeats", "1"]

    def make(self, carry_out: Callable[[list[str]], int]) -> None:
        """Write all of it, once; `carry_out` carries out a command."""
        _draw(self.photos)
        assert carry_out(self.words(self.whole)) == 0
        assert child(lambda: _cut(lambda: quietly(self.words(self.run)))) == GONE
        bad = {"step": 2, "loss": "nan", "gradient_norm": "inf", "samples": ["a/1.png"]}
        (self.run / "bad_batches.jsonl").write_text(json.dumps(bad) + "\n")
        for words in (self.judged(self.run), self.tuned()):
            assert carry_out(words) == 0
        self.mine.mkdir()
        (self.mine / "diary.txt").write_text(f"dear diary, {SECRET}\n")
        for folder in (self.run, self.cache, self.mine):
            shutil.copytree(folder, self.pristine / folder.name)

    def begin_anew(self) -> None:
        """Everything as it was made; the pictures, which nothing changes, are the same files."""
        for folder in (self.run, self.cache, self.mine):
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(self.pristine / folder.name, folder)
        shutil.rmtree(self.photos / "runs", ignore_errors=True)
        self.theirs, self.replaced, self.out = set(), [], self.run

    def snapshot(self) -> dict[str, str]:
        """All that is somebody's: DATA, their folder, and what they put among our files."""
        held = {*self.photos.rglob("*"), *self.mine.rglob("*"), *self.theirs}
        held |= {path for theirs in self.theirs for path in theirs.rglob("*") if not theirs.is_symlink()}
        return {str(path.relative_to(self.root)): looks_like(path) for path in sorted(held)}

    def set_right(self) -> None:
        """What a person does whom an error has told what is in the way: it goes, and what was there before comes."""
        for path in self.replaced:
            before = self.pristine / path.relative_to(self.root)
            self.theirs.discard(path)
            away(path)
            if before.exists():
                shutil.copytree(before, path) if before.is_dir() else shutil.copy(before, path)
        self.replaced = []

    def ours(self, names: Iterable[str]) -> list[Path]:
        """Of these names in the run, the regular files, none behind a link."""
        found = [self.run / name for name in names]
        return [path for path in found if path.is_file() and path.resolve() == path]

    def replace(self, name: str) -> Path:
        """Make room for something else under a name of the run's."""
        path = self.run / name
        away(path)
        self.replaced.append(path)
        if "/" not in name:  # what is inside a folder of ours and called as we call it may be written anew
            self.theirs.add(path)
        return path


def _draw(photos: Path) -> None:
    draws = np.random.default_rng(0)
    for label, low in (("a", 0), ("b", 120)):
        (photos / label).mkdir(parents=True)
        for number in range(EACH):
            pixels = draws.integers(low, low + 80, (SIDE, SIDE, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(photos / label / f"{number}.png")


def _cut(work: Callable[[], object]) -> None:
    """Do `work` up to a save, after which the power is cut."""
    whole = Keeping.save

    def cut(keeping: Keeping, step: int) -> None:
        whole(keeping, step)
        if step == CUT_AT:
            os._exit(GONE)

    Keeping.save = cut  # type: ignore[method-assign]
    work()


def looks_like(path: Path) -> str:
    """What is at a path, not followed: a link and where to, a pipe, a folder, or a hash of what is in a file."""
    if path.is_symlink():
        return f"link to {path.readlink()}"
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    return stat.filemode(path.lstat().st_mode) if os.path.lexists(path) else "gone"


def away(path: Path) -> None:
    """Remove what is at a path, if anything is."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
