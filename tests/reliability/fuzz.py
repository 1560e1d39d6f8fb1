"""Bad input by the thousand: whole files of every kind we read, damaged at random, each by its own seed."""

import gzip
import io
import json
import random
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save

from selftaught.data.sources import contents
from selftaught.data.sources.labels import read_labels
from selftaught.data.sources.open import open_source
from selftaught.data.tables.samples import open_samples as open_rows
from selftaught.judging.comparison import read_runs
from selftaught.run import checkpoint
from selftaught.run.codes import read_codes
from selftaught.run.digests import read_digests
from selftaught.run.recipes import Pretrain
from selftaught.system.arrays import Pages
from selftaught.system.errors import SelftaughtError
from selftaught.system.lock import may_be_written, refuse_held
from selftaught.system.ownership import manifest_of
from selftaught.training.measuring.speed import way_in
from tests.pictures import encoded
from tests.reliability import written

SHOWN = (
    *(
        "status.json",
        "metrics.jsonl",
        "evaluation.json",
        "data.json",
        "metrics.json",
        "environment.json",
        "recipe.yaml",
    ),
    *("quarantine.csv", "map/start.json", "map/end.json", "map/points.npy", "map/layout.npz"),
)
GONE_ON_WITH = ("status.json", "metrics.jsonl", "bad_batches.jsonl")
LOADED = ("config.json", "model.safetensors")
WORDS = (
    b"../",
    b"\0",
    b"\xff" * 8,
    b"!!python/object:os.system",
    b"&a *a",
    b"-1",
    b"9" * 30,
    b"[" * 50,
    b"NaN",
    b"\n\n",
)


ODD = (None, True, -1, 0, 3, 1.5, 1e308, float("nan"), float("inf"), 2**70, "", "x", "hf-hub:a/b", [], {}, [[]] * 3)
DEEP = b"[" * 100_000


@dataclass
class Kind:
    """A kind of file: its name, a whole specimen, and what reads it; `among` the files of a whole run, where it is."""

    name: str
    specimen: bytes
    read: Callable[[Path], Any]
    among: bool = False


def damaged(whole: bytes, rng: random.Random) -> bytes:
    """One to six wounds: a changed bit, a cut, a piece twice, gone or elsewhere, a number or a word put in."""
    content = bytearray(whole)
    for _ in range(rng.randint(1, 6)):
        size = len(content)
        if not size:
            break
        at, length = rng.randrange(size), rng.choice((1, 2, 4, 8, 64))
        wound = rng.randrange(7)
        if wound == 0:
            content[at] ^= 1 << rng.randrange(8)
        elif wound == 1:
            del content[at:]
        elif wound == 2:
            content[at:at] = content[at : at + length]
        elif wound == 3:
            del content[at : at + length]
        elif wound == 4:
            content[at : at + length] = rng.randbytes(length)
        elif wound == 5:
            word = rng.choice(WORDS)
            content[at : at + len(word)] = word
        else:
            other = rng.randrange(size)
            content[at : at + length] = content[other : other + length]
    return bytes(content)


def retold(whole: bytes, rng: random.Random) -> bytes:
    """A line of JSON, or several, with one to three values, of whatever depth, that are something else or not there."""
    told = [json.loads(line) for line in whole.splitlines()]
    for _ in range(rng.randint(1, 3)):
        inside: Any = told
        while isinstance(inside, dict | list) and inside:
            place = rng.choice(list(inside) if isinstance(inside, dict) else range(len(inside)))
            if not (isinstance(inside[place], dict | list) and inside[place]) or rng.random() < 0.3:
                inside[place] = deepcopy(rng.choice(ODD))
                if rng.random() < 0.2 and isinstance(inside, dict):
                    del inside[place]
                break
            inside = inside[place]
    return b"".join(json.dumps(line).encode() + b"\n" for line in told)


def made_odd(kind: Kind, whole: bytes, rng: random.Random) -> bytes:
    """A file that is damaged, or says something else, or is none at all."""
    way = rng.random()
    if way < 0.1:
        return rng.choice((b"", b"{", b"[]\n", b"null\n", bytes(200), DEEP, rng.randbytes(rng.randrange(200))))
    if way < 0.5 and kind.name.endswith((".json", ".jsonl")):
        return retold(_on_one_line(whole) if kind.name.endswith(".json") else whole, rng)
    return damaged(whole, rng)


def _on_one_line(whole: bytes) -> bytes:
    return json.dumps(json.loads(whole)).encode()


def kinds() -> list[Kind]:
    """All kinds, small."""
    draws = np.random.default_rng(0)
    pictures = {f"{label}/{n}.png": _png(n) for n, label in enumerate("aab")}
    return [
        Kind("x.zip", _zip(pictures), _archive),
        Kind("x.tar", _tar(pictures), _archive),
        Kind("x.tgz", gzip.compress(_tar(pictures), mtime=0), _archive),
        Kind("x.npy", _saved(np.save, draws.integers(0, 255, (4, 4, 4), dtype=np.uint8)), open_source),
        Kind("x.npz", _saved(np.savez, x=draws.random((4, 4, 4)), y=np.arange(4)), open_source),
        Kind("x.csv", b"id,height,colour,label\na,1.5,red,cat\nb,,blue,dog\nc,2.5,red,cat\n", open_rows),
        Kind("recipe.yaml", _recipe(), Pretrain.load),
        Kind("manifest.json", b"", _checkpoint),
        Kind("model.safetensors", save({"w": torch.zeros(5), "b": torch.ones(2, 2)}), _checkpoint),
        Kind("state.json", json.dumps({"step": 3, "steps": 9, "threads": 1}).encode(), _checkpoint),
        *([Kind("x.parquet", _parquet(), open_rows)] if find_spec("pyarrow") else []),
        Kind("labels.csv", b"path,label\na/1.png,cat\na/2.png,dog\n", read_labels),
        *(Kind(name, b"", lambda file: written.shown(_run_of(file)), among=True) for name in SHOWN),
        *(Kind(name, b"", lambda file: written.gone_on_with(_run_of(file)), among=True) for name in GONE_ON_WITH),
        *(Kind(f"encoder/{name}", b"", lambda file: written.loaded(_run_of(file)), among=True) for name in LOADED),
        Kind("data.digests.npy", b"", lambda file: read_digests(file.parent), among=True),
        Kind("metadata.codes.npy", b"", lambda file: read_codes(file.parent), among=True),
        Kind("map/points.npy", b"", _mapped, among=True),
        Kind("choice.json", b"", way_in, among=True),
        Kind("selftaught.jsonl", b"", lambda file: manifest_of(file.parent), among=True),
        Kind("lock", b"", _locked, among=True),
        Kind("comparison.jsonl", b"", read_runs, among=True),
        Kind("contents.bin", b"", contents.records_in, among=True),
        Kind("checkpoints/last", b"", lambda file: checkpoint.named(file.parent, "last"), among=True),
        Kind("record.json", b"", written.recalled, among=True),
    ]


def _mapped(file: Path) -> None:
    with suppress(ValueError):  # as whoever reads the cache knows of it, and decodes anew
        Pages(file)


def _locked(file: Path) -> None:
    may_be_written(file.parent)
    refuse_held(file.parent)


def _run_of(file: Path) -> Path:
    return next(parent for parent in file.parents if parent.name == "run")


def tried(seed: int, folder: Path, known: list[Kind]) -> str:
    """Read one damaged file: "read", "refused" in one line, or what else happened."""
    rng = random.Random(seed)
    kind = known[seed % len(known)]
    whole = kind.specimen
    if kind.among:
        folder = _whole_run(folder)
        whole = (folder / kind.name).read_bytes()
    if kind.read is _checkpoint:
        folder = _whole_checkpoint(folder)
        whole = (folder / kind.name).read_bytes()
    content = made_odd(kind, whole, rng)
    file = folder / kind.name
    file.write_bytes(content)
    try:
        kind.read(file)
    except SelftaughtError as error:
        return "refused" if error.exit_code in (2, 3) and "\n" not in str(error) else f"{kind.name}: {error!r}"
    except Exception as error:
        return f"{kind.name}, seed {seed}: {type(error).__name__}: {error}"
    if kind.read is _checkpoint and not _same(content, whole):
        return f"{kind.name}, seed {seed}: a damaged checkpoint was trusted"
    return "read"


def _same(content: bytes, whole: bytes) -> bool:
    """Whether nothing was damaged that means anything: a manifest may gain a space."""
    try:
        return content == whole or json.loads(content) == json.loads(whole)
    except ValueError:
        return False


def _archive(file: Path) -> None:
    source: Any = open_source(file)
    for row in range(len(source)):
        try:
            source.read(row)
        except Exception:  # whoever reads an image lists it with this reason, whatever it is
            continue


def _checkpoint(file: Path) -> None:
    checkpoint.load(file.parent)


def _whole_run(folder: Path) -> Path:
    whole, pristine = folder / "run", folder / "pristine run"
    if not pristine.exists():
        written.write_run(pristine)
    shutil.rmtree(whole, ignore_errors=True)
    shutil.copytree(pristine, whole)
    return whole


def _whole_checkpoint(folder: Path) -> Path:
    whole = folder / "checkpoints" / "step_0000003"
    if not (folder / "pristine").exists():
        checkpoint.save(folder / "checkpoints", 3, {"model": {"w": torch.zeros(5)}}, {"steps": 9, "threads": 1})
        whole.rename(folder / "pristine")
    whole.mkdir(parents=True, exist_ok=True)
    for file in (folder / "pristine").iterdir():
        (whole / file.name).write_bytes(file.read_bytes())
    return whole


def _png(value: int) -> bytes:
    return encoded(Image.new("L", (4, 4), value))


def _zip(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _tar(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def _saved(write: Callable[..., None], *arrays: Any, **named: Any) -> bytes:
    buffer = io.BytesIO()
    write(buffer, *arrays, **named)
    return buffer.getvalue()


def _parquet() -> bytes:
    from pyarrow import parquet, table

    buffer = io.BytesIO()
    parquet.write_table(
        table({"height": [1.5, None, 2.5], "colour": ["red", "blue", "red"], "label": [0, 1, 0]}), buffer
    )
    return buffer.getvalue()


def _recipe() -> bytes:
    import yaml

    told = Pretrain.parse({"data": "x", "method": "simclr", "encoder": "resnet18", "steps": 5, "size": "32x48"})
    return yaml.safe_dump(told.model_dump(mode="json"), sort_keys=False).encode()
