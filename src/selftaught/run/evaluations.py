"""The evaluations of a run: each in a file of its own that is never replaced, the newest where pages look for it."""

from collections.abc import Collection
from itertools import count
from pathlib import Path
from typing import Any

from selftaught.run.folder import RunFolder
from selftaught.run.layout import EVALUATIONS, FOLDERS, JUDGED, NEWEST
from selftaught.system.errors import SelftaughtError, Unsaved, UsageError, is_of_the_path, remedy
from selftaught.system.files import as_json, created, write_atomically, write_json
from selftaught.system.outputs import brought
from selftaught.system.ownership import refuse_odd
from selftaught.system.reading import LARGEST_OBJECT
from selftaught.system.regular import regular_bytes
from selftaught.system.saying import say
from selftaught.system.text import printable
from selftaught.system.written import Told, facts


def is_evaluation(keys: Collection[str]) -> Told:
    """Whether a file that --out names is an evaluation, which has these keys, or some of them where it is older."""
    return facts(JUDGED, keys)


def kept(run: Path, evaluation: dict[str, Any], out: str | None, overwrite: bool = False) -> SelftaughtError | None:
    """Write an evaluation to `out` or, where there is none, into the folder of its run; what is in the way of that.

    It took long to make, so whoever asked for it is shown it all the same.
    """
    try:
        if out:
            with brought(Path(out), "--out", overwrite, is_evaluation(evaluation)) as temporary:
                write_json(temporary, evaluation)
        say(f"wrote {printable(out or _added(run, evaluation))}")
    except UsageError as error:
        return error
    except OSError as error:
        reason = f"the evaluation could not be kept: {printable(error)}"
        if is_of_the_path(error):
            return UsageError(f"{reason}; name a file elsewhere with --out")
        return Unsaved(f"{reason}; {remedy(error)} and say the same again, or name a file elsewhere with --out")
    return None


def _added(run: Path, evaluation: dict[str, Any]) -> Path:
    """The file of an evaluation, once it is there."""
    RunFolder(run).own(NEWEST, EVALUATIONS)
    folder = run / EVALUATIONS
    refuse_odd(run, {NEWEST: None, EVALUATIONS: FOLDERS[EVALUATIONS]})
    folder.mkdir(exist_ok=True)
    if (run / NEWEST).exists() and not any(folder.iterdir()):  # from before each had a file of its own
        _write_next(folder, regular_bytes(run / NEWEST, LARGEST_OBJECT))
    content = as_json(evaluation)
    file = _write_next(folder, content)
    write_atomically(run / NEWEST, content)
    return file


def _write_next(folder: Path, content: str | bytes) -> Path:
    """A file of the first number that is free, written; another process may be taking one in this moment."""
    for number in count(1):
        file = folder / f"{number}.json"
        try:
            created(file).close()
        except FileExistsError:
            continue
        try:
            write_atomically(file, content)
        except BaseException:
            file.unlink()
            raise
        return file
    raise AssertionError
