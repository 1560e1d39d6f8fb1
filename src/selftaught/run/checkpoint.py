"""Checkpoints: safetensors and JSON, no pickle, complete or absent, and verified before they are trusted."""

import errno
import hashlib
import os
import re
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from selftaught.run.layout import IN_STEP, owned
from selftaught.run.records import Manifest, State
from selftaught.run.tensors import CheckpointError as CheckpointError
from selftaught.run.tensors import model_tensors as model_tensors
from selftaught.run.tensors import optimizer_tensors as optimizer_tensors
from selftaught.run.tensors import restore_model as restore_model
from selftaught.run.tensors import restore_optimizer as restore_optimizer
from selftaught.system.arrays import refuse_odd_weights
from selftaught.system.errors import UsageError
from selftaught.system.files import flush_folder, left_behind, spared, temporary_for, write_atomically, write_json
from selftaught.system.ownership import clear, owns
from selftaught.system.reading import json_in
from selftaught.system.regular import regular_bytes
from selftaught.system.saying import say
from selftaught.system.text import filesize, printable

LARGEST_NAME = 1 << 10  # bytes of a file that names a checkpoint
KEEP = 2  # checkpoints, beside the best one
SPARE = 16 << 20  # bytes a disk should have left beside a checkpoint, for what else a run writes
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NAME = re.compile(r"step_(\d+)(?:\.(\d+))?")

Groups = Mapping[str, Mapping[str, Tensor]]


def save(
    folder: Path, step: int, groups: Groups, state: Mapping[str, Any], keep: int = KEEP, best: bool = False
) -> Path:
    """Write `folder`/step_NNNNNNN with one safetensors file a group, and point `last` at it; `best`, too, if it is.

    Everything goes to a temporary neighbour first, is flushed to the disk and renamed; the manifest with sizes and
    SHA-256 is written last. Then all are removed but the newest `keep` and the best. Where the disk is full, the
    oldest that can be spared makes room; where that does not help, OSError is raised and nothing has changed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _sweep(folder)
    try:
        final = _written(folder, step, groups, state)
    except OSError as error:
        if error.errno not in FULL or not _make_room(folder):
            raise
        final = _written(folder, step, groups, state)
    for name in ("last", "best") if best else ("last",):
        write_atomically(folder / name, final.name + "\n")
    with spared("what is left of older checkpoints"):  # the new one is safe already
        _prune(folder, final, keep)
    return final


def _written(folder: Path, step: int, groups: Groups, state: Mapping[str, Any]) -> Path:
    """A whole checkpoint under a name of its own; one of the same step stays beside it until `last` has moved on."""
    final = folder / f"step_{step:07d}"
    if versions := [version for other, version in map(_order, steps(folder)) if other == step]:
        final = folder / f"step_{step:07d}.{max(versions) + 1}"
    _refuse_without_room(folder, bytes_of(groups))
    temporary = temporary_for(final)
    temporary.mkdir()
    try:
        for name, tensors in groups.items():
            _write_tensors(tensors, temporary / f"{name}.safetensors")
        write_json(temporary / "state.json", {**state, "step": step})
        manifest = {file.name: _size_and_hash(file) for file in sorted(temporary.iterdir())}
        write_json(temporary / "manifest.json", manifest)
        temporary.replace(final)
    except BaseException:  # KeyboardInterrupt, too: this process lives on, so nobody else would remove it
        with suppress(OSError):
            _discard(temporary)
        raise
    try:
        flush_folder(folder)
    except OSError:  # whether it would outlive a power cut is not known, so it is not there
        with suppress(OSError):
            _remove(final)
        raise
    return final


def steps(folder: Path) -> list[Path]:
    """The checkpoints in `folder`, oldest first."""
    held = (path for path in folder.glob("step_*") if NAME.fullmatch(path.name) and not path.is_symlink())
    return sorted(held, key=_order)


def named(folder: Path, name: str) -> Path | None:
    """The checkpoint that the file `name` (last, best) points at, if there is one."""
    try:
        target = regular_bytes(folder / name, LARGEST_NAME).decode().strip()
    except (OSError, ValueError):
        return None
    return folder / target if NAME.fullmatch(target) and (folder / target).is_dir() else None


def _order(path: Path) -> tuple[int, int]:
    """Step and version; a step is saved again only after its checkpoint was passed over."""
    match = NAME.fullmatch(path.name)
    assert match
    return int(match[1]), int(match[2] or 0)


def _prune(folder: Path, newest: Path, keep: int) -> None:
    """Remove all but the newest `keep` and the best; whatever is past the newest had been passed over."""
    reached = [path for path in steps(folder) if _order(path) <= _order(newest)]
    latest = list({_order(path)[0]: path for path in reached}.values())
    kept = {*latest[-keep:], newest, named(folder, "best")}
    for path in steps(folder):
        if path not in kept and not _holds_others(path):
            _remove(path)


def _holds_others(path: Path) -> bool:
    """Whether somebody has put something into a checkpoint, which then stays."""
    return not {file.name for file in path.iterdir()} <= {*IN_STEP}


def _remove(path: Path) -> None:
    """Away with a checkpoint: first its name, so that half of one is never met."""
    condemned = temporary_for(path)
    path.replace(condemned)
    _discard(condemned)


def _discard(folder: Path) -> None:
    """Away with what we write in a checkpoint's folder, and with the folder if nobody has put anything there."""
    clear(folder, dict.fromkeys(IN_STEP))
    if not any(folder.iterdir()):
        folder.rmdir()


def _sweep(folder: Path) -> None:
    """Remove what was being written or removed when its process ended."""
    for path in left_behind(folder):
        is_folder = path.is_dir() and not path.is_symlink()
        if owns(owned(["checkpoints"]), f"checkpoints/{path.name}", is_folder):
            with spared(f"the removal of {path.name}"):
                _discard(path) if is_folder else path.unlink()


def _make_room(folder: Path) -> bool:
    """Remove the oldest checkpoint that is neither last nor best; False where there is none."""
    kept = {named(folder, "last"), named(folder, "best"), *steps(folder)[-1:]}
    for path in steps(folder):
        if path not in kept and not _holds_others(path):
            say(f"warning: the disk is full: {path.name} is removed to make room")
            _remove(path)
            return True
    return False


def bytes_of(groups: Groups) -> int:
    """Bytes of the tensors in a checkpoint."""
    return sum(tensor.nbytes for tensors in groups.values() for tensor in tensors.values())


def _refuse_without_room(folder: Path, needed: int) -> None:
    """Raise the error of a full disk before it is one."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OSError(errno.ENOSPC, f"a checkpoint takes {filesize(needed)} and {filesize(free)} are free", str(folder))


def refuse_small_disk(folder: Path, needed: int, exported: int, keep: int = KEEP) -> None:
    """A usage error where the disk cannot hold what a run will write, before it begins.

    needed: bytes of one checkpoint; exported: bytes of the encoder. A new checkpoint is written beside those kept.
    """
    place = next(parent for parent in (folder, *folder.parents) if parent.exists())
    held = len(steps(folder)) * needed
    total = (keep + 1) * needed + 2 * exported + SPARE
    free = shutil.disk_usage(place).free
    if total - held > free:
        raise UsageError(
            f"{printable(folder)}: a run writes {filesize(total)} ({keep + 1} checkpoints of "
            f"{filesize(needed)}, and the encoder), and {filesize(free)} are free; free some, or choose another --out"
        )


def load(path: Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """The tensor groups and the state of one checkpoint, after verifying every file against the manifest."""
    try:
        manifest: Manifest = json_in(path / "manifest.json", Manifest)
        for name, expected in manifest.items():
            if Path(name).name != name or not (path / name).is_file() or (path / name).is_symlink():
                raise CheckpointError(f"{printable(name)} is missing, or no file of the checkpoint")
            if _size_and_hash(path / name) != expected:
                raise CheckpointError(f"{path / name} does not match its manifest")
        if unknown := {file.name for file in path.glob("*.safetensors")} - manifest.keys():
            raise CheckpointError(f"its manifest does not cover {printable(', '.join(sorted(unknown)))}")
        state = json_in(path / "state.json", State)
        if missing := [name for name in ("state.json", "model.safetensors") if name not in manifest]:
            raise CheckpointError(f"its manifest does not cover {' and '.join(missing)}")
        files = [path / name for name in manifest if name.endswith(".safetensors")]
        for file in files:
            refuse_odd_weights(file)
        return {file.stem: load_file(file) for file in files}, state
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, SafetensorError) as error:
        raise CheckpointError(f"{type(error).__name__}: {printable(error)}") from error


def load_newest(folder: Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any], list[str]]:
    """The newest checkpoint that is whole, with a line for every newer one that is not.

    Raises CheckpointError if there is none.
    """
    return _newest(folder)[1:]


def load_to_go_on(folder: Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any], list[str]]:
    """The same, and `last` names it from now on: whoever wrote it may have ended before saying so.

    What that process was still writing is swept.
    """
    _sweep(folder)
    path, groups, state, complaints = _newest(folder)
    if named(folder, "last") != path:
        with spared("last"):
            write_atomically(folder / "last", path.name + "\n")
    return groups, state, complaints


def _newest(folder: Path) -> tuple[Path, dict[str, dict[str, Tensor]], dict[str, Any], list[str]]:
    complaints = []
    for path in reversed(steps(folder)):
        try:
            groups, state = load(path)
        except CheckpointError as error:
            complaints.append(f"checkpoint {path.name} is damaged and was passed over: {error}")
            continue
        return path, groups, state, complaints
    raise CheckpointError("; ".join(complaints) or f"no checkpoint in {printable(folder)}")


def _size_and_hash(file: Path) -> dict[str, Any]:
    with file.open("rb") as stream:
        return {"bytes": file.stat().st_size, "sha256": hashlib.file_digest(stream, "sha256").hexdigest()}


def _write_tensors(tensors: Mapping[str, Tensor], file: Path) -> None:
    """Write and flush one safetensors file."""
    try:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, file)
    except SafetensorError as error:  # which has the system's errors in words only
        if code := re.search(r"os error (\d+)", str(error)):
            raise OSError(int(code[1]), os.strerror(int(code[1])), str(file)) from None
        raise
    with file.open("rb+") as stream:
        os.fsync(stream.fileno())
