"""Checkpoints: safetensors and JSON, no pickle, complete or absent, and verified before they are trusted.

What is spread over processes lies in files of theirs, `model.2-of-4.safetensors`; the manifest says which rows.
"""

import errno
import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from selftaught.run.records import Manifest, Part, State
from selftaught.run.rows import CheckpointError as CheckpointError
from selftaught.run.rows import Rows, rows_of
from selftaught.run.rows import on_host as on_host
from selftaught.run.saved import Saved
from selftaught.run.steps import discard, make_room, order, prune, remove, sweep
from selftaught.run.steps import named as named
from selftaught.run.steps import steps as steps
from selftaught.run.tensors import model_tensors as model_tensors
from selftaught.run.tensors import optimizer_tensors as optimizer_tensors
from selftaught.run.tensors import restore_model as restore_model
from selftaught.run.tensors import restore_optimizer as restore_optimizer
from selftaught.system.circle import Alone, Circle, all_do
from selftaught.system.errors import UsageError
from selftaught.system.files import flush_folder, spared, temporary_for, write_atomically, write_json
from selftaught.system.reading import json_in
from selftaught.system.text import filesize, printable

KEEP = 2  # checkpoints, beside the best one
SPARE = 16 << 20  # bytes a disk should have left beside a checkpoint, for what else a run writes
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
ALONE = Alone()
TENSORS = ".safetensors"

Groups = Mapping[str, Mapping[str, Tensor | Rows]]
Loaded = dict[str, Mapping[str, Tensor]]  # by the names of the groups


def save(
    folder: Path,
    step: int,
    groups: Groups,
    state: Mapping[str, Any],
    keep: int = KEEP,
    best: bool = False,
    circle: Circle = ALONE,
    under_way: Callable[[], None] = lambda: None,
) -> Path:
    """Write `folder`/step_NNNNNNN with one safetensors file a group, and point `last` at it; `best`, too, if it is.

    Everything goes to a temporary neighbour first, is flushed to the disk and renamed; the manifest with sizes and
    SHA-256 is written last. Then all are removed but the newest `keep` and the best. Where the disk is full, the
    oldest that can be spared makes room; where that does not help, OSError is raised and nothing has changed.

    All of a circle call this with their own rows, and the first writes what everybody has; what fails in one fails in
    all. `under_way` is told when there is room for it.
    """
    leads = circle.rank == 0
    all_do(circle, lambda: _make_ready(folder) if leads else None)
    try:
        final = _written(folder, step, groups, state, circle, under_way)
    except OSError as error:
        if error.errno not in FULL or not all_do(circle, lambda: leads and make_room(folder))[0]:
            raise
        final = _written(folder, step, groups, state, circle, under_way)
    # `best` first: who goes on after a crash between the two loads the newest whatever `last` says.
    names = ("best", "last") if best else ("last",)
    all_do(circle, lambda: _named_and_pruned(folder, final, names, keep) if leads else None)
    return final


def _make_ready(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    sweep(folder)


def _named_and_pruned(folder: Path, final: Path, names: tuple[str, ...], keep: int) -> None:
    for name in names:
        write_atomically(folder / name, final.name + "\n")
    with spared("what is left of older checkpoints"):  # the new one is safe already
        prune(folder, final, keep)


def _written(
    folder: Path, step: int, groups: Groups, state: Mapping[str, Any], circle: Circle, under_way: Callable[[], None]
) -> Path:
    """A whole checkpoint under a name of its own; one of the same step stays beside it until `last` has moved on."""
    leads = circle.rank == 0
    name = all_do(circle, lambda: _begun(folder, step, bytes_of(groups)) if leads else None)[0]
    final, temporary = (folder / one for one in name)
    try:
        under_way()
        written = all_do(circle, lambda: _own_files(temporary, groups, circle))
        all_do(circle, lambda: _finished(temporary, final, written, {**state, "step": step}) if leads else None)
    except BaseException:  # KeyboardInterrupt, too: this process lives on, so nobody else would remove it
        if leads:
            with suppress(OSError):
                discard(temporary)
        raise
    return final


def _begun(folder: Path, step: int, needed: int) -> list[str]:
    """The name that a checkpoint will have, and that of its folder until then, which is made."""
    final = folder / f"step_{step:07d}"
    if versions := [version for other, version in map(order, steps(folder)) if other == step]:
        final = folder / f"step_{step:07d}.{max(versions) + 1}"
    _refuse_without_room(folder, needed)
    temporary = temporary_for(final)
    temporary.mkdir()
    return [final.name, temporary.name]


def _own_files(folder: Path, groups: Groups, circle: Circle) -> dict[str, Any]:
    """Write this process's rows and, if it is the first, what everybody has; what the manifest says of the files."""
    held = {group: {name: rows_of(tensor) for name, tensor in tensors.items()} for group, tensors in groups.items()}
    files = dict(_files_of(held, circle))
    for name, tensors in files.items():
        _write_tensors({own: rows.held for own, rows in tensors.items()}, folder / name)
    facts = {name: _size_and_hash(folder / name) for name in files}
    if any(rows.split for tensors in held.values() for rows in tensors.values()):
        for name, tensors in files.items():
            facts[name]["tensors"] = _parts(folder / name, tensors)
    return facts


def _files_of(groups: Mapping[str, Mapping[str, Rows]], circle: Circle) -> Iterator[tuple[str, dict[str, Rows]]]:
    """The files that a process writes, and what is in each."""
    for group, tensors in groups.items():
        if circle.rank == 0:
            yield f"{group}{TENSORS}", {name: rows for name, rows in tensors.items() if rows.is_everywhere}
        own = {name: rows for name, rows in tensors.items() if rows.split and len(rows.held) and not rows.spare}
        if own:
            yield f"{group}.{circle.rank + 1}-of-{circle.size}{TENSORS}", own


def _parts(file: Path, tensors: Mapping[str, Rows]) -> dict[str, Any]:
    """What the manifest says of the tensors in a file: the shape of each, its type, and which rows are there."""
    with safe_open(file, framework="pt") as written:
        types = {name: written.get_slice(name).get_dtype() for name in tensors}
    return {
        name: {"shape": rows.shape, "dtype": types[name], "rows": [rows.begin, rows.end]}
        for name, rows in tensors.items()
    }


def _finished(temporary: Path, final: Path, written: list[dict[str, Any]], state: Mapping[str, Any]) -> None:
    """Write what says that all is there, and give the folder its name. The state is that of the whole job."""
    write_json(temporary / "state.json", state)
    facts = {name: fact for files in written for name, fact in files.items()}
    facts["state.json"] = _size_and_hash(temporary / "state.json")
    write_json(temporary / "manifest.json", dict(sorted(facts.items())))
    temporary.replace(final)
    try:
        flush_folder(final.parent)
    except OSError:  # whether it would outlive a power cut is not known, so it is not there
        with suppress(OSError):
            remove(final)
        raise


def bytes_of(groups: Groups) -> int:
    """Bytes of the tensors in a checkpoint."""
    return sum(tensor.nbytes for tensors in groups.values() for tensor in tensors.values())  # of what is spread, all


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
        if not os.access(place, os.W_OK):  # a disk that is read alone has no room by its nature
            raise UsageError(f"{printable(folder)}: {printable(place)} cannot be written to; choose another --out")
        raise UsageError(
            f"{printable(folder)}: a run writes {filesize(total)} ({keep + 1} checkpoints of "
            f"{filesize(needed)}, and the encoder), and {filesize(free)} are free; free some, or choose another --out"
        )


def load(path: Path, circle: Circle = ALONE) -> tuple[Loaded, dict[str, Any]]:
    """The tensor groups and the state of one checkpoint, after verifying every file against the manifest.

    Tensors are read when they are asked for, of those that are spread only the rows that are. In a circle each process
    verifies its share of the files. Raises CheckpointError, in all of them, for what is wrong with any.
    """
    fault = ""
    groups: Loaded = {}
    state: dict[str, Any] = {}
    with circle.alive():
        try:
            groups, state = _opened(path, circle)
        except CheckpointError as error:
            fault = str(error)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, SafetensorError) as error:
            fault = f"{type(error).__name__}: {printable(error)}"
    if faults := [other for other in circle.told(fault) if other]:
        raise CheckpointError(faults[0])
    return groups, state


def _opened(path: Path, circle: Circle) -> tuple[Loaded, dict[str, Any]]:
    manifest: dict[str, dict[str, Any]] = json_in(path / "manifest.json", Manifest)
    for number, (name, expected) in enumerate(manifest.items()):
        _verify(path, name, expected, number % circle.size == circle.rank)
    if unknown := {file.name for file in path.glob(f"*{TENSORS}")} - manifest.keys():
        raise CheckpointError(f"its manifest does not cover {printable(', '.join(sorted(unknown)))}")
    state = json_in(path / "state.json", State)
    if missing := [name for name in ("state.json", f"model{TENSORS}") if name not in manifest]:
        raise CheckpointError(f"its manifest does not cover {' and '.join(missing)}")
    groups: dict[str, Saved] = {}
    for name in (name for name in manifest if name.endswith(TENSORS)):
        said = manifest[name].get("tensors")
        parts = None if said is None else {tensor: Part(**about) for tensor, about in said.items()}
        groups.setdefault(name.partition(".")[0], Saved()).add(path / name, parts)
    return {name: group.closed() for name, group in groups.items()}, state


def _verify(path: Path, name: str, expected: Mapping[str, Any], thoroughly: bool) -> None:
    """Raise CheckpointError where a file is not the one that the manifest tells of; thoroughly: by its hash as well."""
    file = path / name
    if Path(name).name != name or not file.is_file() or file.is_symlink():
        raise CheckpointError(f"{printable(name)} is missing, or no file of the checkpoint")
    found = _size_and_hash(file) if thoroughly else {"bytes": file.stat().st_size}
    if any(expected.get(fact) != value for fact, value in found.items()):
        raise CheckpointError(f"{file} does not match its manifest")


def load_newest(folder: Path) -> tuple[Loaded, dict[str, Any], list[str]]:
    """The newest checkpoint that is whole, with a line for every newer one that is not.

    Raises CheckpointError if there is none.
    """
    return _newest(folder, ALONE)[1:]


def load_to_go_on(folder: Path, circle: Circle = ALONE) -> tuple[Loaded, dict[str, Any], list[str]]:
    """The same, and `last` names it from now on: whoever wrote it may have ended before saying so.

    What that process was still writing is swept. All of a circle come to the same checkpoint.
    """
    leads = circle.rank == 0
    all_do(circle, lambda: sweep(folder) if leads else None)
    path, groups, state, complaints = _newest(folder, circle)
    if leads and named(folder, "last") != path:
        with spared("last"):
            write_atomically(folder / "last", path.name + "\n")
    return groups, state, complaints


def _newest(folder: Path, circle: Circle) -> tuple[Path, Loaded, dict[str, Any], list[str]]:
    complaints = []
    # The leader's list: a network may show others an older one.
    for name in reversed(circle.told([path.name for path in steps(folder)])[0]):
        path = folder / name
        try:
            groups, state = load(path, circle)
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
