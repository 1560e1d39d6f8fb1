"""Whose folder it is: what in it is ours, taken for a run that is to be written there, and nothing else touched."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from selftaught.run.layout import ALL, FIELDS, FOLDERS, HARMLESS, JUDGED, MARKS, NAMES, NEWEST, WITHOUT_LOCK, owned
from selftaught.system.errors import UsageError
from selftaught.system.files import left_behind, spared
from selftaught.system.lock import LOCK, only_writer, refuse_held
from selftaught.system.ownership import (
    MANIFEST,
    begin,
    clear,
    has_fields,
    manifest_of,
    own,
    owns,
    refuse_odd,
    refuse_strangers,
    says_how_it_stands,
)
from selftaught.system.reading import json_object
from selftaught.system.text import printable


class OwnedFolder:
    """A folder whose files are listed as ours: only these are ever written anew or removed."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    def exists(self) -> bool:
        """Whether a run was ever started here."""
        return any((self.folder / mark).exists() for mark in MARKS)

    def refuse_existing(self, resume: bool, overwrite: bool) -> None:
        """An existing folder is a usage error, unless a run in it that nobody writes is to be resumed or replaced."""
        refuse_held(self.folder)
        self._refuse_occupied(resume, overwrite)

    def _refuse_occupied(self, resume: bool, overwrite: bool) -> None:
        shown = printable(self.folder)
        if not self.folder.exists():
            return
        if not self.folder.is_dir():
            raise UsageError(f"{shown} is a file, and a run is a folder; choose another --out")
        refuse_odd(self.folder, owned(ALL))
        if all(owns(owned(HARMLESS), path.name, is_folder=False) for path in self.folder.iterdir()):
            return
        if not self._is_ours(resume):
            raise UsageError(f"{shown} holds other files, not a run; choose another --out")
        if not resume and not overwrite:
            raise UsageError(
                f"{shown} already exists; use --resume to go on with it, --overwrite to replace it, or another --out"
            )
        if not resume:
            refuse_strangers(self.folder, owned(self._names()))

    def _is_ours(self, resume: bool) -> bool:
        """Whether the folder has a list of ours or, from before there were lists, files that only a run has."""
        if manifest := manifest_of(self.folder):
            return manifest.kind in NAMES  # or it is a comparison's, which holds runs
        if says_how_it_stands(self.folder) or has_fields(self.folder / "recipe.yaml", *FIELDS):
            return True
        return resume and any(owns(owned(ALL), f"checkpoints/{p.name}", True) for p in self.checkpoints.glob("step_*"))

    def _names(self) -> frozenset[str]:
        """The names here that are ours."""
        if manifest := manifest_of(self.folder):
            return manifest.names & {*ALL}  # whoever made the folder may have listed what we never write
        known = ALL if self._is_ours(resume=True) else ()
        return frozenset(name for name in known if name == MANIFEST or os.path.lexists(self.folder / name))

    @contextmanager
    def claimed(self, resume: bool, overwrite: bool, kind: str = "pretrain") -> Iterator[None]:
        """Make the folder, in place of an old run where that was asked for, and be the only one to write in it.

        kind: of the work, a key of NAMES.
        """
        self.refuse_existing(resume, overwrite)
        self.folder.mkdir(parents=True, exist_ok=True)
        with only_writer(self.folder):
            self._refuse_occupied(resume, overwrite)  # another process may have been here since
            self._take(kind, resume, overwrite)
            self._sweep()
            yield

    def _take(self, kind: str, resume: bool, overwrite: bool) -> None:
        """Record what will be written here, after removing what is to be replaced."""
        known = self._names()
        if overwrite and not resume:
            begin(self.folder, kind, known)  # cut short, it is ours still
            clear(self.folder, owned(known), spared=(MANIFEST, LOCK))
        # What is there and is not ours, such as a log that a shell has begun, is never taken for ours.
        held = {name for name in NAMES[kind] if os.path.lexists(self.folder / name)} - {LOCK}
        names = {*NAMES[kind]} - (held - known)
        if resume and manifest_of(self.folder):
            own(self.folder, *sorted(names - known))
        else:
            begin(self.folder, kind, names | {name for name in known if os.path.lexists(self.folder / name)})

    def _sweep(self) -> None:
        """Remove what processes that have ended were still writing; checkpoints see to their own."""
        for folder in (self.folder, *(self.folder / name for name in FOLDERS if name != "checkpoints")):
            for path in left_behind(folder, WITHOUT_LOCK):
                if owns(owned(ALL), path.relative_to(self.folder).as_posix(), is_folder=False):
                    path.unlink()

    def remove_checkpoints(self) -> None:
        """Keep only what a finished run is asked for; nothing goes on from here."""
        with spared("the removal of checkpoints"):
            clear(self.folder, owned(self._names() & {"checkpoints"}))

    def own(self, *names: str) -> None:
        """Record names that another command than the run's own is about to write here. Raises UsageError, OSError."""
        # A folder with a recipe and an encoder alone can be judged, too; what else it has is somebody's.
        others = (name for name in names if not self._is_free(name))
        if not self._is_ours(resume=False) and (taken := next(others, None)):
            raise UsageError(f"{printable(self.folder / taken)} is not selftaught's; name a file elsewhere with --out")
        own(self.folder, *names)

    def _is_free(self, name: str) -> bool:
        """Whether nothing in a folder that is no run has a name, or what has it was written by an earlier command."""
        path = self.folder / name
        if not os.path.lexists(path):
            return True
        if name in FOLDERS and path.is_dir() and not path.is_symlink():
            return all(owns(owned([name]), f"{name}/{inner.name}", inner.is_dir()) for inner in path.iterdir())
        with suppress(OSError, ValueError):
            return name == NEWEST and json_object(path).keys() >= JUDGED
        return False
