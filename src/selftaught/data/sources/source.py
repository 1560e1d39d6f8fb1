"""What a source of samples promises, and what all sources share: how their content is hashed and errors are said."""

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar

from selftaught.data.sources.contents import Contents, Digests, Rows
from selftaught.system.errors import DataError, SelftaughtError
from selftaught.system.text import printable

MAX_BYTES = 1 << 30  # no image of so many pixels takes more


class Unsteady(DataError):  # noqa: N818 - what is unsteady is the data
    """A source gives something else for a sample than it did before."""


Progress = Callable[[int, int], None]  # takes how many are done, and of how many
Beside = Mapping[str, Callable[[], Sequence[str]]]  # columns (N,) by name, each read when it is called


class Source(ABC):
    """Samples by number, in a stable order, each with a key; labels where there are any."""

    name: str  # short, for run folders
    keys: Sequence[str]
    labels: list[str] | None = None
    notes: Sequence[str] = ()  # how it was read, where that could be mistaken; for people
    contents: Contents | None = None  # of its samples, where they have such
    extra: Beside = MappingProxyType({})  # columns beside the samples that are no labels, where they are known at once
    # What stands between the parts of a run's fingerprint; runs that were made by another would not resume.
    between: ClassVar[bytes] = b"\n"

    def __len__(self) -> int:
        return len(self.keys)

    def beside(self) -> Beside:
        """Columns that stand beside the samples and are no labels; nothing is read before one is called."""
        return self.extra

    def lacking(self) -> str:
        """Why there are no labels where a person may think that there are; "" where nothing is to be said of it."""
        return ""

    def note(self, line: str) -> None:
        """Add to the notes."""
        self.notes = [*self.notes, line]

    @abstractmethod
    def fingerprint(self) -> str:
        """A hash of what is quickly known: names and sizes, or some of the values; labels have no part in it.

        Runs that were made before there were digests of all samples know their data by it.
        """

    def digests(self, rows: Rows, progress: Progress = lambda done, total: None) -> Digests | None:
        """Digests of the content of these samples (N, 16), all zeros of one that cannot be read; None where unknown.

        What is not known yet is read for it.
        """
        return None


def digest(*parts: str | bytes, between: bytes = b"") -> str:
    """A hash of all parts, in hexadecimal."""
    joined = between.join(part.encode() if isinstance(part, str) else part for part in parts)
    return hashlib.blake2b(joined, digest_size=16).hexdigest()


@contextmanager
def reading(name: str, kind: str = "") -> Iterator[None]:
    """What goes wrong with a file becomes a DataError; broken ones raise errors of many kinds, of many libraries.

    kind: what it is read as, such as " as parquet", which an error of the file system has nothing to do with.
    """
    try:
        yield
    except SelftaughtError:  # which says already what is wrong
        raise
    except UnicodeDecodeError as error:
        raise DataError(f"{printable(name)} cannot be read{kind}: {_undecoded(error)}") from None
    except Exception as error:
        refused = getattr(error, "strerror", None)
        reason = refused or (str(error) or type(error).__name__).splitlines()[0]
        raise DataError(f"{printable(name)} cannot be read{'' if refused else kind}: {printable(reason)}") from None


def is_folder(path: Path) -> bool:
    """Whether data is a folder. Raises DataError where that cannot be seen, or nothing in it."""
    with reading(str(path)):
        if not path.is_dir():
            return False
        with os.scandir(path):
            return (path / os.pardir).is_dir()  # which asks whether what is in it may be asked for by name


def no_data(path: Path) -> DataError:
    """What to say of a path that leads to no folder, file or archive."""
    told = "is no regular file" if path.exists() else "is a link to nothing" if path.is_symlink() else "does not exist"
    return DataError(f"{printable(str(path))} {told}")


def _undecoded(error: UnicodeDecodeError) -> str:
    """Where bytes are no text, which nearly always is of an older encoding, and the way out."""
    if error.encoding != "utf-8":
        return str(error)
    line = 1 + error.object.count(b"\n", 0, error.start)
    return f"line {line:,} is no text in UTF-8, byte {error.object[error.start]:#04x}: save the file as UTF-8"
