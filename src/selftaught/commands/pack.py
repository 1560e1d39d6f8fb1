"""Writing somebody's images as a few large files."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from selftaught.contracts import modality
from selftaught.data.sources.manifest import Manifest
from selftaught.data.sources.source import Progress as Report
from selftaught.run.recipes import Pack
from selftaught.system.errors import Interrupted, UsageError
from selftaught.system.interruption import stopping
from selftaught.system.progress import Progress
from selftaught.system.text import printable


def pack(recipe: Pack) -> Manifest:
    """Pack DATA into the folder --out, or what of it is not packed there yet. Raises UsageError and DataError."""
    kind = modality.of(recipe.data)
    if not kind.pack:
        raise UsageError(f"{printable(recipe.data)} holds {kind.THINGS}, which are not packed: only images are")
    if Path(recipe.out).resolve() == Path(recipe.data).resolve():
        raise UsageError(f"--out {printable(recipe.out)} is the folder of the images itself: choose another --out")
    options = recipe.model_dump(exclude={"data", "out", "time_limit"})
    with stopping(recipe.time_limit) as stop:

        @contextmanager
        def shown(what: str, start: int = 0) -> Iterator[Report]:
            with Progress(what, 0, kind.THINGS, start) as bar:
                yield bar.polled(stop.poll)

        try:
            made: Manifest = kind.pack(recipe.data, Path(recipe.out), **options, progress=shown)
        except Interrupted as error:
            raise Interrupted(f"{error}; the same command goes on from here") from None
    return made
