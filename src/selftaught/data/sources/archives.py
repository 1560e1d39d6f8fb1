"""Archives read in place: their members and a way to read one, nothing ever extracted."""

import bz2
import gzip
import lzma
import os
import struct
import tarfile
import tempfile
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Self

from selftaught.data.sources.distant import Distant, readable
from selftaught.data.sources.folder import LINK, NO_FILE
from selftaught.data.sources.source import MAX_BYTES
from selftaught.system.bombs import allowed, refuse_bomb
from selftaught.system.errors import DataError, is_of_the_disk
from selftaught.system.text import printable

Members = list[tuple[str, int, int]]  # name, bytes, and where it is in the archive
Unusable = list[tuple[str, str]]  # name and reason
Opened = tuple[Members, Unusable, Callable[[str], bytes]]
# Not tarfile's own look at what a file is, which reads as much of it as its first header says.
PACKED: dict[bytes, Callable[[IO[bytes]], IO[bytes]]] = {
    b"\x1f\x8b": gzip.open,  # type: ignore[dict-item]
    b"BZh": bz2.open,
    b"\xfd7zXZ\0": lzma.open,
}
CHUNK = 1 << 20
ZIP_HEAD = 30  # bytes before the name of a member
UTF8_NAME = 0x800  # among the flags of a member whose name is UTF-8
UNICODE_PATH = 0x7075  # of what stands beside a name: that again, as UTF-8
TOO_LARGE = "more bytes than any image takes"


def zip_members(path: Path | Distant) -> Opened:
    """What is in a zip, what of it is no plain file, and how to read one.

    They stand in the order of what zipfile takes for their names: runs that were made when ours were these, too, would
    find their samples in another order, and not go on.
    """
    infos: dict[str, zipfile.ZipInfo] = {}  # of two with one name the later, which is what reading gives
    unusable: Unusable = []
    with zipfile.ZipFile(readable(path)) as archive:
        for info in archive.infolist():
            name = zip_name(info)
            if reason := zip_fault(info):
                unusable.append((name, reason))
            elif not info.is_dir():
                infos[name] = info
    called = {name: info.filename for name, info in infos.items() if name != info.filename}
    handles = threading.local()  # a handle has one position, so each thread reads through its own

    def read(name: str) -> bytes:
        if not hasattr(handles, "archive"):
            handles.archive = zipfile.ZipFile(readable(path))
        return handles.archive.read(called.get(name, name))

    ordered = sorted(infos.items(), key=lambda member: member[1].filename)
    return [(name, info.file_size, info.header_offset) for name, info in ordered], unusable, read


def zip_name(info: zipfile.ZipInfo) -> str:
    """The name of a member, which zipfile takes for code page 437 where no flag says that it is UTF-8.

    Many programs, those of macOS among them, write UTF-8 and no such flag; others add the name as UTF-8 beside it.
    """
    if info.flag_bits & UTF8_NAME or info.orig_filename.isascii():
        return info.filename
    stored = info.orig_filename.encode("cp437")  # every byte has a character there, so these are those of the file
    for name in (_told_beside(info, stored), stored):
        with suppress(UnicodeDecodeError):
            if name is not None:
                return name.decode().partition("\0")[0].replace(os.sep, "/")
    return info.filename


def _told_beside(info: zipfile.ZipInfo, stored: bytes) -> bytes | None:
    """What stands beside the name that is `stored`, where it is of that and not of one before."""
    extra = info.extra
    while len(extra) >= 4:
        kind, length = struct.unpack("<HH", extra[:4])
        told, extra = extra[4 : 4 + length], extra[4 + length :]
        if kind == UNICODE_PATH and told[:5] == struct.pack("<BL", 1, zlib.crc32(stored)):
            return told[5:]
    return None


def zip_fault(info: zipfile.ZipInfo) -> str | None:
    if info.flag_bits & 1:
        return "encrypted"
    if info.external_attr >> 28 == 10:
        return LINK
    return TOO_LARGE if info.file_size > min(MAX_BYTES, allowed(info.compress_size)) else None


def tar_members(path: Path | Distant) -> Opened:
    """What is in a tar, in the order of names, what of it is no plain file, and how to read one."""
    infos: dict[str, tarfile.TarInfo] = {}
    unusable: Unusable = []
    stream = _uncompressed(path)
    for info in members_of(stream, str(path)):
        if info.isreg() and not info.issparse() and info.size <= MAX_BYTES:
            infos[info.name.removeprefix("./")] = info
        elif not info.isdir():
            reason = TOO_LARGE if info.size > MAX_BYTES else LINK if info.issym() or info.islnk() else NO_FILE
            unusable.append((info.name.removeprefix("./"), reason))
    lock = threading.Lock()  # the stream has one position

    def read(name: str) -> bytes:
        with lock:
            stream.seek(infos[name].offset_data)
            return stream.read(infos[name].size)

    members = [(name, info.size, info.offset_data) for name, info in sorted(infos.items())]
    return members, unusable, read


def members_of(stream: IO[bytes], name: str) -> Iterator[tarfile.TarInfo]:
    """What is in a tar, one after another, none of which is kept. Raises DataError where its end is none.

    tarfile takes a damaged header for the end, and whatever lies behind it would be lost without a word.
    """

    class Noted(tarfile.TarInfo):
        header = b""  # the last that was read; not read again, as not every stream goes back

        @classmethod
        def frombuf(cls, buf: Any, encoding: Any, errors: Any) -> Self:
            Noted.header = bytes(buf)
            return super().frombuf(buf, encoding, errors)

    last = ""
    with tarfile.open(fileobj=stream, mode="r:" if stream.seekable() else "r|", tarinfo=Noted) as archive:
        while info := archive.next():
            archive.members = []  # type: ignore[attr-defined]  # it would keep all, a kilobyte each
            last = info.name.removeprefix("./")
            yield info
    if Noted.header.strip(b"\0"):  # an end is zeros, or nothing at all
        raise DataError(f"{printable(name)} is damaged behind its member '{printable(last)}': put the archive back")


def _unpack(stream: IO[bytes], copy: IO[bytes], stored: int) -> None:
    """Write what a compressed stream holds, as far as it may be. Raises Bomb, and OSError that names the place."""
    written, most = 0, allowed(stored)
    try:
        while content := stream.read(CHUNK):
            written += copy.write(content)
            if written > most:
                refuse_bomb(written, stored, "the copy that it is read from")
    except OSError as error:
        if not is_of_the_disk(error):
            raise
        way = "set TMPDIR to a folder with more room, or unpack it"
        raise OSError(f"its copy does not fit into {tempfile.gettempdir()} ({error.strerror}); {way}") from None


def first_member(path: Path) -> str | None:
    """The name of the first file in an archive; None where nothing tells it. Lists of all may be long: none is read."""
    try:
        if path.suffix.lower() != ".zip":
            with tarfile.open(path, "r|*") as archive:
                return next((info.name for info in archive if info.isreg()), None)
        with path.open("rb") as stream:
            while (head := stream.read(ZIP_HEAD)).startswith(b"PK\3\4"):
                length, extra = int.from_bytes(head[26:28], "little"), int.from_bytes(head[28:30], "little")
                name = stream.read(length).decode(errors="replace")
                if not name.endswith("/"):
                    return name
                stream.seek(extra, 1)  # what is no file has no bytes of its own
    except (OSError, EOFError, lzma.LZMAError, zlib.error, tarfile.TarError):  # said by whoever opens it
        pass
    return None


def _uncompressed(path: Path | Distant) -> IO[bytes]:
    """The tar, open for as long as its source lives; where it is compressed, a decompressed copy of it without a name.

    In a compressed one every member out of order would be found by decompressing from the start.
    """
    with path.open("rb") as stream:
        start = stream.read(max(map(len, PACKED)))
    unpack = next((opener for mark, opener in PACKED.items() if start.startswith(mark)), None)
    if unpack is None:
        return path.open("rb")
    copy = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the source
    with path.open("rb") as stream, unpack(stream) as packed:
        _unpack(packed, copy, path.stat().st_size)
    copy.seek(0)
    return copy
