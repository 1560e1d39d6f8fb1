"""Features of any samples, written to a file with the key of each."""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from selftaught.contracts import modality
from selftaught.data.opening import refuse_other_kind
from selftaught.run.export import load_encoder, warn_of_cut
from selftaught.run.recipes import Embed
from selftaught.system import outputs, written
from selftaught.system.allocator import keep_freed_memory
from selftaught.system.devices import device_of
from selftaught.system.errors import UsageError
from selftaught.system.interruption import poll
from selftaught.system.progress import Progress
from selftaught.system.quarantine import warn_of
from selftaught.system.regular import kind_of
from selftaught.system.saying import say
from selftaught.system.text import printable, spelled
from selftaught.training.looking.features import features


def embed(recipe: Embed, module: nn.Module | None = None) -> Path:
    """Write `out`: .npz with `keys` (N,) and `features` (N, D) float32, or .parquet with a row a sample.

    Keys are the names of the files as they are. Bytes of them that are no UTF-8 become \\xb9 in the column `key` of
    parquet, which then has the very bytes in another, `key_bytes`.
    """
    out = Path(recipe.out)
    if out.suffix.lower() == PARQUET:
        _refuse_without_pyarrow()  # before all features are made
    outputs.refuse_taken({"--out": recipe.out}, recipe.overwrite, {"--out": KINDS})
    ending = out.suffix.lower()
    encoder = load_encoder(recipe.run, module=module).to(device_of("auto"))
    warn_of_cut(recipe.run)
    keep_freed_memory()
    kind = modality.named(encoder.preparation.modality)
    if modality.place_of(recipe.data) != recipe.data:  # any other is taken for this kind
        refuse_other_kind(f"the encoder of {printable(recipe.run)}", kind, recipe.data)
    how = {"like": encoder.preparation, "limit": recipe.limit, "column": recipe.column}
    samples = kind.open_samples(recipe.data, progress=lambda done, total: poll(), **how)
    for note in samples.notes:
        say(note)
    with Progress("embedding", samples.count, kind.THINGS) as bar:
        rows = features(encoder, samples, progress=lambda done, total: bar.update(done))
    warn_of(samples.quarantined, recipe.data)
    with outputs.brought(out, "--out", recipe.overwrite, KINDS[ending]) as temporary:
        WRITERS[ending](temporary, samples.keys, rows)
    return out


def _write_npz(file: Path, keys: Sequence[str], rows: NDArray[Any]) -> None:
    np.savez(file, keys=np.array(keys, dtype=np.str_), features=rows)


def _write_parquet(file: Path, keys: Sequence[str], rows: NDArray[Any]) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    flat = pa.array(rows.reshape(-1))
    column = pa.FixedSizeListArray.from_arrays(flat, rows.shape[1])
    names: dict[str, Any] = {"key": [spelled(key) for key in keys]}
    if names["key"] != list(keys):  # text in parquet is UTF-8, which the names of some files are not
        names["key_bytes"] = pa.array(map(os.fsencode, keys), pa.binary())
    parquet.write_table(pa.table({**names, "features": column}), file)


def _is_parquet(file: Path) -> bool:
    """Whether a file has the columns that are written here."""
    from pyarrow import parquet

    names: list[str] = []
    with suppress(OSError, ValueError):  # those of pyarrow are among them
        names = [] if kind_of(file) else parquet.read_schema(file).names
    return names in (["key", "features"], ["key", "key_bytes", "features"])


def _refuse_without_pyarrow() -> None:
    try:
        import pyarrow.parquet  # noqa: F401 - to see whether it is there
    except ImportError:
        raise UsageError("parquet needs pyarrow: pip install 'selftaught[parquet]'") from None


PARQUET = ".parquet"
WRITERS = {".npz": _write_npz, PARQUET: _write_parquet}
KINDS: outputs.Kinds = {".npz": written.arrays("keys", "features"), PARQUET: _is_parquet}
