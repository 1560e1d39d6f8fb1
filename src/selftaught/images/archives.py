"""Archives read in place: their members and a way to read one, nothing ever extracted."""

import io
import tarfile
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

Members = list[tuple[str, int, int]]  # name, bytes, and a number that changes with the content


def zip_members(path: Path) -> tuple[Members, Callable[[str], bytes]]:
    with zipfile.ZipFile(path) as archive:
        infos = [
            i for i in archive.infolist() if not i.is_dir() and not i.flag_bits & 1 and i.external_attr >> 28 != 10
        ]
    handles = threading.local()  # a handle has one position, so each thread reads through its own

    def read(name: str) -> bytes:
        if not hasattr(handles, "archive"):
            handles.archive = zipfile.ZipFile(path)
        return handles.archive.read(name)

    return [(info.filename, info.file_size, info.CRC) for info in infos], read


def tar_members(path: Path) -> tuple[Members, Callable[[str], bytes]]:
    with tarfile.open(path) as archive:
        infos = {info.name.removeprefix("./"): info for info in archive if info.isreg() and not info.issparse()}
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
    return members, read_compressed if compressed else read_at_offset
