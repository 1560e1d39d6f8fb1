"""How fast is the input alone? Two SimCLR views of every image on one core.

Beside lightly's transform: views of 32 px from CIFAR-10, and of 224 px from photos, decoded from their JPEG files every
time, and from our cache. Beside a folder of JPEG files: the same photos as tars, as parquet, packed to a shorter side
of 256 px, and as tars on a web server of this machine; of photos as they are (half a thousand pixels wide) and of 12
megapixels, which are those scaled up: a camera's hold more detail and take longer to decode. All are decoded every
time, from files in the system's cache.
Contestants run in processes of their own, pinned to one core, in interleaved rounds. Writes docs/results/input.json.

    python bench/input.py [--rounds 3] [--only "12 MP"]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from served import served
from throughput import PHOTOS, SMALL, place

ROOT = Path(__file__).parent.parent
RESULT = ROOT / "docs/results/input.json"
SECONDS = 6.0  # measured in each round, after as long a warm-up
SIDE = {"cifar": 32, "photos": 224}
DATA = {"cifar": SMALL, "photos": PHOTOS}
BATCH = {"cifar": 256, "photos": 64}
COMPARED = {  # ours: its images and how they are held
    "views of 32 px": ("cifar", "memory"),
    "views of 224 px from JPEG": ("photos", "stream"),
    "views of 224 px from the cache": ("photos", "cache"),
}


FORMED = {"views of 224 px from photos as they are": None, "views of 224 px from photos of 12 MP": 12}  # megapixels
PACKED_SIDE, QUALITY, SHARD, ROW_GROUP = 256, 92, 50, 100  # QUALITY: of photos that are scaled up


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the two archives")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="rows whose names hold this; the others stay as they are")
    parser.add_argument("--measure", nargs=2, metavar=("IMAGES", "HOW"), help="one contestant, in this process")
    asked = parser.parse_args()
    if asked.measure:
        images, how = asked.measure
        print(measure(images, how, asked.data))
        return
    for name in (name for name in (*COMPARED, *FORMED) if asked.only in name):
        row = beside_peer(name, asked) if name in COMPARED else beside_folder(name, asked)
        print(name, json.dumps(row), file=sys.stderr)
        result = json.loads(RESULT.read_text()) if RESULT.exists() else {}
        RESULT.write_text(json.dumps({**result, name: row}, indent=2) + "\n")
    print(RESULT.read_text())


def beside_peer(name: str, asked: argparse.Namespace) -> dict[str, Any]:
    """A row of ours and the peer's."""
    images, how = COMPARED[name]
    rounds = [{way: in_own_process(images, way, asked.data) for way in (how, "peer")} for _ in range(asked.rounds)]
    return {
        "ours": statistics.median(one[how] for one in rounds),
        "peer": statistics.median(one["peer"] for one in rounds),
        "ratio": round(statistics.median(one[how] / one["peer"] for one in rounds), 2),
        "rounds": rounds,
    }


def beside_folder(name: str, asked: argparse.Namespace) -> dict[str, Any]:
    """A row of the same photos in each form, and how many times as fast as from the folder they are."""
    folder = photos(asked.data, FORMED[name])
    forms = {form: make(folder) for form, make in FORMS.items()}
    sizes = [file.stat().st_size for file in folder.iterdir()]
    rounds = [
        {form: in_own_process("photos", named, asked.data) for form, named in forms.items()}
        for _ in range(asked.rounds)
    ]
    ratios = {form: statistics.median(one[form] / one["folder"] for one in rounds) for form in forms}
    return {
        **{form: statistics.median(one[form] for one in rounds) for form in FORMS},
        "ratio": {form: round(ratio, 2) for form, ratio in ratios.items()},
        "photos": len(sizes),
        "megabytes": round(statistics.mean(sizes) / 1e6, 2),
        "packed_by": f"selftaught pack --short-side {PACKED_SIDE}",
        "rounds": rounds,
    }


def photos(data: Path, megapixels: int | None) -> Path:
    """A folder of the photos as JPEG files, scaled up where a size is said; made once."""
    from PIL import Image

    folder = ROOT / "runs/input" / f"photos-{megapixels or 'own'}"
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(data / PHOTOS["archive"]) as archive:
        for number, name in enumerate(sorted(one for one in archive.namelist() if not one.endswith("/"))):
            file = folder / f"{number:04d}.jpg"
            if megapixels and not file.exists():
                with Image.open(archive.open(name)) as photo:
                    times = (megapixels * 1e6 / (photo.width * photo.height)) ** 0.5
                    size = round(photo.width * times), round(photo.height * times)
                    photo.convert("RGB").resize(size, Image.Resampling.BICUBIC).save(file, quality=QUALITY)
            elif not megapixels:
                file.write_bytes(archive.read(name))
    return folder


def as_tar(folder: Path) -> str:
    """Tars as WebDataset has them, of the very files."""
    files = sorted(folder.iterdir())
    out = folder.with_name(f"{folder.name}-tars")
    out.mkdir(exist_ok=True)
    for start in range(0, len(files), SHARD):
        with tarfile.open(out / f"train-{start // SHARD:03d}.tar", "w") as archive:
            for file in files[start : start + SHARD]:
                archive.add(file, file.name)
    return str(out / f"train-{{000..{(len(files) - 1) // SHARD:03d}}}.tar")


def as_parquet(folder: Path) -> str:
    """One file in the layout of Hugging Face's datasets."""
    import pyarrow as pa
    from pyarrow import parquet

    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    rows = [{"bytes": file.read_bytes(), "path": file.name} for file in sorted(folder.iterdir())]
    out = folder.with_suffix(".parquet")
    parquet.write_table(pa.table({"image": pa.array(rows, kind)}), out, row_group_size=ROW_GROUP)
    return str(out)


def as_packed(folder: Path) -> str:
    """What `selftaught pack` makes of them."""
    import selftaught

    out = folder.with_name(f"{folder.name}-packed")
    selftaught.pack(folder, out, short_side=PACKED_SIDE)
    return str(out)


def as_remote(folder: Path) -> str:
    """The address of the tars, on a web server of this machine."""
    tars = Path(as_tar(folder))
    return f"{served(tars.parent)}/{tars.name}"


FORMS: dict[str, Callable[[Path], str]] = {
    "folder": str,
    "tar": as_tar,
    "parquet": as_parquet,
    "packed": as_packed,
    "remote": as_remote,
}


def in_own_process(images: str, how: str, data: Path) -> float:
    """Images a second of one contestant on one core."""
    command = [sys.executable, __file__, "--data", str(data), "--measure", images, how]
    one_core = {"OMP_NUM_THREADS": "1", "SELFTAUGHT_CACHE": str(ROOT / "runs/input/cache" / Path(how).name)}
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **one_core})
    if done.returncode:
        raise SystemExit(done.stderr)
    return float(done.stdout.splitlines()[-1])


def measure(images: str, how: str, data: Path) -> float:
    """Images a second, after a warm-up."""
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[0]})
    batches = peer(images, data) if how == "peer" else ours(images, how, data)
    began = time.perf_counter()
    while time.perf_counter() - began < SECONDS:
        next(batches)
    began, made = time.perf_counter(), 0
    while time.perf_counter() - began < SECONDS:
        next(batches)
        made += BATCH[images]
    return round(made / (time.perf_counter() - began), 1)


def ours(images: str, how: str, data: Path) -> Iterator[Any]:
    """Two `strong` views a step, as SimCLR is given them; how: memory, cache, stream, or a path to stream from."""
    from selftaught.data import storage
    from selftaught.data.images.samples import open_samples as open_images
    from selftaught.data.images.views import Views
    from selftaught.system.allocator import keep_freed_memory
    from selftaught.training.batches import Batches

    keep_freed_memory()
    if how == "cache":
        storage.WORTH_CACHING = 0
    ways = {"memory": {}, "cache": {"memory": 0}}
    side, named = SIDE[images], how if "/" in how else place({"data": DATA[images]}, data)
    held = ways.get(how, {"memory": 0, "cache": 0})
    opened = open_images(named, size=(side, side), limit=DATA[images]["limit"], workers=1, **held)
    views = Views(("strong", "strong"), opened.preparation)
    batches = Batches(opened, views, batch_size=BATCH[images], seed=0)
    step = 0
    while True:
        yield batches(step)
        step += 1


def peer(images: str, data: Path) -> Iterator[Any]:
    """lightly's SimCLR transform in the loading process itself, which is what one worker does."""
    from lightly.transforms import SimCLRTransform

    from peer import Pictures, loader

    transform = SimCLRTransform(input_size=SIDE[images], gaussian_blur=0.0 if SIDE[images] <= 64 else 0.5)
    pictures = {**DATA[images], "archive": data / DATA[images]["archive"]}
    yield from loader(Pictures(transform=transform, **pictures), BATCH[images], workers=0)


if __name__ == "__main__":
    main()
