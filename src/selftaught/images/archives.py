"""Archives read in place: their members and a way to read one, nothing ever extracted."""

import io
import tarfile
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

from .decode import MAX_BYTES
from .folder import LINK, NO_FILE

Members = list[tuple[str, int, int]]  # name, bytes, and a number that changes with the content
Unusable = list[tuple[str, str]]  # name and reason
Opened = tuple[Members, Unusable, Callable[[str], bytes]]
TOO_LARGE = "more bytes than any image takes"


def zip_members(path: Path) -> Opened:
    """What is in a zip, what of it is no plain file, and how to read one."""
    members: Members = []
    unusable: Unusable = []
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if reason := _zip_fault(info):
                unusable.append((info.filename, reason))
            elif not info.is_dir():
                members.append((info.filename, info.file_size, info.CRC))
    handles = threading.local()  # a handle has one position, so each thread reads through its own

    def read(name: str) -> bytes:
        if not hasattr(handles, "archive"):
            handles.archive = zipfile.ZipFile(path)
        return handles.archive.read(name)

    return members, unusable, read


def _zip_fault(info: zipfile.ZipInfo) -> str | None:
    if info.flag_bits & 1:
        return "encrypted"
    if info.external_attr >> 28 == 10:
        return LINK
    return TOO_LARGE if info.file_size > MAX_BYTES else None


def tar_members(path: Path) -> Opened:
    """What is in a tar, what of it is no plain file, and how to read one."""
    infos: dict[str, tarfile.TarInfo] = {}
    unusable: Unusable = []
    with tarfile.open(path) as archive:
        for info in archive:
            if info.isreg() and not info.issparse() and info.size <= MAX_BYTES:
                infos[info.name.removeprefix("./")] = info
            elif not info.isdir():
                reason = TOO_LARGE if info.size > MAX_BYTES else LINK if info.issym() or info.islnk() else NO_FILE
                unusable.append((info.name.removeprefix("./"), reason))
        compressed = not isinstance(archive.fileobj, io.BufferedReader)
    lock, handle = threading.Lock(), tarfile.open(path)  # noqa: SIM115 - lives as long as the source

    def read_compressed(name: str) -> bytes:
        with lock:
            member = handle.extractfile(infos[name])
            assert member is not None
            return member.read()

    def read_at_offset(name: str) -> bytes:
        with path.open("rb") as stream:
            stream.seek(infos[name].offset_data)
            return stream.read(infos[name].size)

    written = path.stat().st_mtime_ns  # a tar has no checksum of what it holds
    members = [(name, info.size, written) for name, info in infos.items()]
    return members, unusable, read_compressed if compressed else read_at_offset
