"""The checkpoints in a folder: their names, which are kept, and what is removed."""

import re
from pathlib import Path

from selftaught.run.layout import IN_STEP, owned
from selftaught.system.files import TEMPORARY, left_behind, spared, temporary_for
from selftaught.system.ownership import clear, owns
from selftaught.system.regular import regular_bytes
from selftaught.system.saying import say

LARGEST_NAME = 1 << 10  # bytes of a file that names a checkpoint
NAME = re.compile(r"step_(\d+)(?:\.(\d+))?")


def steps(folder: Path) -> list[Path]:
    """The checkpoints in `folder`, oldest first."""
    held = (path for path in folder.glob("step_*") if NAME.fullmatch(path.name) and not path.is_symlink())
    return sorted(held, key=order)


def named(folder: Path, name: str) -> Path | None:
    """The checkpoint that the file `name` (last, best) points at, if there is one."""
    try:
        target = regular_bytes(folder / name, LARGEST_NAME).decode().strip()
    except (OSError, ValueError):
        return None
    return folder / target if NAME.fullmatch(target) and (folder / target).is_dir() else None


def order(path: Path) -> tuple[int, int]:
    """Step and version; a step is saved again only after its checkpoint was passed over."""
    match = NAME.fullmatch(path.name)
    assert match
    return int(match[1]), int(match[2] or 0)


def prune(folder: Path, newest: Path, keep: int) -> None:
    """Remove all but the newest `keep` and the best; whatever is past the newest had been passed over."""
    reached = [path for path in steps(folder) if order(path) <= order(newest)]
    latest = list({order(path)[0]: path for path in reached}.values())
    kept = {*latest[-keep:], newest, named(folder, "best")}
    for path in steps(folder):
        if path not in kept and not _holds_others(path):
            remove(path)


def _holds_others(path: Path) -> bool:
    """Whether somebody has put something into a checkpoint, which then stays."""
    return not all(IN_STEP.fullmatch(file.name) for file in path.iterdir())


def remove(path: Path) -> None:
    """Away with a checkpoint: first its name, so that half of one is never met."""
    condemned = temporary_for(path)
    path.replace(condemned)
    discard(condemned)


def discard(folder: Path) -> None:
    """Away with what we write in a checkpoint's folder, and with the folder if nobody has put anything there."""
    names = (TEMPORARY.fullmatch(file.name) or [file.name] * 2 for file in folder.iterdir())
    clear(folder, {name[1]: None for name in names if IN_STEP.fullmatch(name[1])})
    if not any(folder.iterdir()):
        folder.rmdir()


def sweep(folder: Path) -> None:
    """Remove what was being written or removed when its process ended."""
    for path in left_behind(folder):
        is_folder = path.is_dir() and not path.is_symlink()
        if owns(owned(["checkpoints"]), f"checkpoints/{path.name}", is_folder):
            with spared(f"the removal of {path.name}"):
                discard(path) if is_folder else path.unlink()


def make_room(folder: Path) -> bool:
    """Remove the oldest checkpoint that is neither last nor best; False where there is none."""
    kept = {named(folder, "last"), named(folder, "best"), *steps(folder)[-1:]}
    for path in steps(folder):
        if path not in kept and not _holds_others(path):
            say(f"warning: the disk is full: {path.name} is removed to make room")
            remove(path)
            return True
    return False
