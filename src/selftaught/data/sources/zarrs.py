"""Images in a Zarr array, a folder or .zarr.zip, of version 2 or 3, read a chunk at a time.

What unpacks a chunk is named in a file beside it, and could be anything that is installed, pickle as well; so it is
looked at before anything is opened, and only what unpacks bytes and numbers is let through.
"""

import json
import math
import os
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from selftaught.data.sources.archives import zip_fault
from selftaught.data.sources.arrays import Arrays, labels_of
from selftaught.data.sources.contents import column_in
from selftaught.data.sources.lazily import Shapes, Slabs, images_among, labels_among_arrays, refuse_vast, words
from selftaught.data.sources.source import reading
from selftaught.system.errors import DataError, UsageError
from selftaught.system.text import printable

V2, V3 = ".zarray", "zarr.json"
LARGEST = 1 << 20  # bytes of what says how an array is stored
MOST = 10_000  # arrays that are looked at
COUNTED = 100_000  # chunks, up to which it is counted how many there are
SPARE = 1 << 16  # bytes that a chunk may take beyond what it unpacks to
# Of both versions, what unpacks numbers and nothing else.
CODECS = {
    *("zlib", "gzip", "bz2", "lzma", "blosc", "zstd", "lz4", "delta", "shuffle", "bitround", "packbits"),
    *("fixedscaleoffset", "quantize", "crc32", "adler32", "fletcher32", "jenkins_lookup3", "astype"),
    *("bytes", "transpose", "crc32c", "sharding_indexed"),
}
KIND = " as Zarr"  # in errors

Meta = Mapping[str, Any]


def is_zarr(folder: Path) -> bool:
    """Whether a folder holds an array or a group of them."""
    return any((folder / name).is_file() for name in (V2, V3, ".zgroup"))


def open_zarr(path: Path, label_column: str | None = None, column: str | None = None) -> Arrays:
    """The images of an array, and labels by the rules of .npz. Raises DataError and UsageError.

    column: which array of a group holds the images; label_column: which holds labels.
    """
    try:
        import zarr  # noqa: F401 - said before anything is read
    except ImportError:
        raise UsageError(f"{printable(path.name)} needs zarr: pip install 'selftaught[zarr]'") from None
    shown = printable(path.name)
    with reading(path.name, KIND):
        found = dict(_in_zip(path) if path.is_file() else _in_folder(path))
        held: Shapes = {name: (tuple(meta["shape"]), _dtype(meta)) for name, meta in found.items()}
        name = images_among(held, column, shown)
        stored = path.stat().st_size if path.is_file() else sum(file.stat().st_size for file in path.rglob("*"))
        images = _array(path, name, found[name], shown, stored)
        chunk = int((images.shards or images.chunks)[0])
        slabs: Any = Slabs(path.name, KIND, lambda a, b: np.asarray(images[a:b]), images.shape, images.dtype, chunk)
        count = images.shape[0]
        label = labels_among_arrays(held, name, label_column, shown)
        labels = None
        if label is not None:
            if held[label][0] not in ((count,), (count, 1)):
                labels_of(np.broadcast_to(np.zeros(()), held[label][0]), count, shown)  # which says so
            labels = words(np.asarray(_array(path, label, found[label], shown, stored)[:]))
        lacking, parts = _lacking(images) if images.nchunks <= COUNTED else (0, "")
    file = (column_in(os.path.realpath(path), name), path.stat()) if path.is_file() else None
    source = Arrays(path.name.removesuffix(".zip").removesuffix(".zarr"), slabs, labels, file)
    if lacking:
        source.note(f"{lacking:,} of its {parts} are not stored, and hold one value by what the format says")
    return source


def _lacking(images: Any) -> tuple[int, str]:
    """How many parts of an array are not stored, and what they are called: chunks, or shards, which hold several."""
    if images.shards is None:
        return images.nchunks - images.nchunks_initialized, "chunks"
    whole = math.prod(-(-length // shard) for length, shard in zip(images.shape, images.shards))
    inside = math.prod(shard // chunk for shard, chunk in zip(images.shards, images.chunks))
    # Of a shard at the edge zarr counts the chunks that lie beyond it as well.
    return whole - images.nchunks_initialized // inside, "shards"


def _in_folder(root: Path) -> Iterator[tuple[str, Meta]]:
    """The arrays at and below a folder by name, with what says how they are stored."""
    pending = [root]
    while pending:
        folder = pending.pop()
        kind = next((name for name in (V2, V3) if (folder / name).is_file()), None)
        meta = _meta((folder / kind).read_bytes()[: LARGEST + 1]) if kind else {}
        if kind == V2 or meta.get("node_type") == "array":
            yield folder.relative_to(root).as_posix().removeprefix("."), meta
        else:
            pending += sorted((entry for entry in folder.iterdir() if entry.is_dir()), reverse=True)
        if len(pending) > MOST:
            return


def _in_zip(path: Path) -> Iterator[tuple[str, Meta]]:
    with zipfile.ZipFile(path) as archive:
        infos = archive.infolist()
        if fault := next((reason for info in infos if (reason := zip_fault(info))), None):
            raise DataError(f"{printable(path.name)} holds a member that is not read: {fault}")
        for info in infos:
            folder, _, name = info.filename.rpartition("/")
            if name in (V2, V3) and info.file_size <= LARGEST:
                meta = _meta(archive.read(info))
                if name == V2 or meta.get("node_type") == "array":
                    yield folder, meta


def _meta(content: bytes) -> Meta:
    if len(content) > LARGEST:
        raise ValueError("what says how it is stored is too long")
    meta = json.loads(content)
    if not isinstance(meta, dict):
        raise ValueError("what says how it is stored is no table")
    return meta


def _dtype(meta: Meta) -> np.dtype:
    """Of an array's values; object for all that is not one number or text."""
    named = meta.get("dtype", meta.get("data_type"))
    try:
        return np.dtype(named) if isinstance(named, str) else np.dtype(object)
    except TypeError:
        return np.dtype(object)


def _codecs(meta: Meta) -> Iterator[str]:
    """What unpacks a chunk, by name, inside of shards as well."""
    held = [*(meta.get("filters") or []), meta.get("compressor"), *(meta.get("codecs") or [])]
    for codec in [*held, *(meta.get("index_codecs") or []), *(meta.get("storage_transformers") or [])]:
        if codec is not None:
            yield str(codec.get("id", codec.get("name"))).removeprefix("numcodecs.")
            yield from _codecs(codec.get("configuration") or {})


def _array(path: Path, name: str, meta: Meta, shown: str, stored: int) -> Any:
    """The array of this name, of which nothing is read. Raises DataError."""
    called = f"array '{printable(name or '/')}' of {shown}"
    if _dtype(meta).kind == "O":
        raise DataError(f"{called} holds objects, and is read where it holds numbers, or text of one length for labels")
    if odd := next((codec for codec in _codecs(meta) if codec not in CODECS), None):
        raise DataError(
            f"{called} is packed by '{printable(odd)}', which is not let through: save it with zstd or blosc"
        )
    import zarr

    version: Any = 3 if "data_type" in meta else 2
    chunk = meta["chunks"] if version == 2 else meta["chunk_grid"]["configuration"]["chunk_shape"]
    refuse_vast(shown, meta["shape"], _dtype(meta), chunk, stored)
    most = math.prod(chunk) * _dtype(meta).itemsize + SPARE
    return zarr.open_array(store=_store(path, most), path=name, mode="r", zarr_format=version)


def _store(path: Path, most: int) -> Any:
    """What the chunks lie in, of which none takes more bytes than it unpacks to."""
    from zarr.storage import LocalStore, WrapperStore, ZipStore

    class Bounded(WrapperStore):
        async def get(self, key: str, *how: Any, **named: Any) -> Any:
            found = await super().get(key, *how, **named)
            if found is not None and len(found) > most and not key.endswith((V2, V3)):
                raise ValueError(f"chunk {key} takes {len(found):,} bytes, more than it can unpack to")
            return found

    return Bounded(ZipStore(path, mode="r") if path.is_file() else LocalStore(path, read_only=True))


OPENS = {".zarr": open_zarr, ".zarr.zip": open_zarr}
