"""Writing a tar of a packed set, which has its name when all of it is on the disk and not before."""

import io
import os
import tarfile
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import IO

from selftaught.data.sources.manifest import Packed
from selftaught.system.errors import UsageError
from selftaught.system.files import created, flush_folder, naming, temporary_for
from selftaught.system.text import printable

BLOCK, END = tarfile.BLOCKSIZE, tarfile.RECORDSIZE  # bytes that a tar's members and a tar are whole numbers of

Members = Sequence[tuple[str, bytes]]  # of a sample: endings and contents


class Tar:
    """A shard that is being written, under a temporary name."""

    def __init__(self, file: Path) -> None:
        if os.path.lexists(file):
            raise UsageError(f"{printable(file)} was not written by pack: move it away, or choose another --out")
        self._file, self._temporary, self._samples = file, temporary_for(file), 0
        with naming(file):
            self._stream = created(self._temporary)
        self._hashed = _Hashed(self._stream)
        self._tar = tarfile.open(fileobj=self._hashed, mode="w", format=tarfile.USTAR_FORMAT)  # type: ignore[call-overload]  # noqa: SIM115

    def is_full(self, members: Members, size: int, samples: int) -> bool:
        """Whether a tar with these as well would be larger than that."""
        added = sum(BLOCK - len(content) // -BLOCK * BLOCK for _, content in members)
        whole = (self._hashed.tell() + added + 2 * BLOCK) // -END * -END
        return whole > size or self._samples >= samples

    def add(self, name: str, members: Members) -> None:
        with naming(self._file):
            for ending, content in members:
                info = tarfile.TarInfo(f"{name}.{ending}")
                info.size = len(content)
                self._tar.addfile(info, io.BytesIO(content))
        self._samples += 1

    def closed(self) -> Packed:
        """What it is, now that all of it is on the disk."""
        with naming(self._file):
            self._tar.close()
            self._stream.flush()
            os.fsync(self._stream.fileno())
            self._stream.close()
        digest = self._hashed.sha256.hexdigest()
        return Packed(name=self._file.name, samples=self._samples, bytes=self._hashed.tell(), sha256=digest)

    def appear(self) -> None:
        """Give it its name."""
        self._temporary.replace(self._file)
        flush_folder(self._file.parent)

    def drop(self) -> None:
        self._stream.close()
        self._temporary.unlink(missing_ok=True)


class _Hashed:
    """A stream that is written, with the digest of all that went into it."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self._size, self.sha256 = stream, 0, sha256()

    def write(self, content: bytes) -> int:
        self.sha256.update(content)
        self._size += len(content)
        return self._stream.write(content)

    def tell(self) -> int:
        return self._size
