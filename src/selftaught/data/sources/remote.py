"""Data that lies elsewhere: s3://bucket/train-{0000..0099}.tar, gs://, https://, hf://, or any scheme of fsspec's.

Shards by a pattern, or all that are in a folder (with a / at its end, where the store can list it); or a single tar,
zip, parquet, npy or npz. Rows of a table are read from files of this machine alone.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from selftaught.data.sources.arrays import SUFFIXES
from selftaught.data.sources.distant import Distant
from selftaught.data.sources.files import ARCHIVES
from selftaught.data.sources.shards import PARQUET, TAR
from selftaught.data.sources.source import reading
from selftaught.data.sources.webdataset import expanded
from selftaught.system.addresses import refuse_secrets
from selftaught.system.errors import DataError
from selftaught.system.text import printable

MARKS = ("s3:", "gs:", "https:", "http:", "hf:")  # which no plug-in takes over; one may well have another scheme
SINGLE = (*ARCHIVES, PARQUET, *SUFFIXES)  # endings of what is read alone
ASKED = 16  # files that are asked for at a time how they look


def found(name: str) -> Distant | list[Distant]:
    """The file that an address names, or the shards. Raises DataError and UsageError."""
    refuse_secrets(name)
    if names := expanded(name):
        return listed(names)
    if name.endswith("/"):
        return _in_folder(name)
    if not name.lower().endswith(SINGLE):
        ends = f"none of these: {', '.join(SINGLE)}"
        raise DataError(f"the ending of {printable(name)} is {ends}; a folder of shards has a / at its end")
    return _asked([_distant(name)])[0]


def ending_of(file: Distant) -> str:
    """By which it is known how a single file is read."""
    return next(ending for ending in SINGLE if file.name.lower().endswith(ending))


def listed(names: Sequence[str]) -> list[Distant]:
    """The shards with these addresses, all of which are there. Raises DataError and UsageError."""
    for name in names:
        refuse_secrets(name)
    return _asked([_distant(name) for name in names])


def _distant(name: str) -> Distant:
    """A file of which nobody knows yet whether it is there. Raises DataError where its address is none."""
    with reading(name):
        return Distant(name)


def _asked(files: list[Distant]) -> list[Distant]:
    """The files, of each of which it is known how it looks."""
    with ThreadPoolExecutor(ASKED, thread_name_prefix="facts") as pool:
        for file, told in zip(files, [pool.submit(file.stat) for file in files]):
            with reading(file.url):
                told.result()
    return files


def _in_folder(name: str) -> list[Distant]:
    """The shards of a folder, by name."""
    folder = _distant(name)
    with reading(name):
        held = folder.reader.asked(folder, lambda: folder.store.listed(folder.path))
    files = [Distant(name + own, own, held[own]) for own in sorted(held) if own.lower().endswith((TAR, PARQUET))]
    if not files:
        raise DataError(f"{printable(name)} holds no {TAR} or {PARQUET} file, among {len(held):,} files in it")
    return _asked(files)
