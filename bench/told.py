"""What `check` and `pretrain` tell before a run on few images, made of rows: src/selftaught/system/measured.json.

Of docs/results/learns.jsonl, learns_fashion.jsonl, small.jsonl and warm.jsonl what a linear probe told, by set, method,
encoder and start. bench/small.py writes it at its end; after new rows of the others:

    python bench/small.py --tell
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import learnt
import warm
from kept_rows import read_rows
from learnt import IMAGES, judged_today, presets_of
from selftaught.system.components import Part
from selftaught.system.measured import FILE, Brought, Measured, Usual, known
from selftaught.training.usual import encoder_flags, flags_of

BELOW = 10_000  # images, for which the usual choices of few hold; of more, those of many
ALL = "all labels"
SETS = {
    "cifar10": "CIFAR-10",
    "fashion": "Fashion-MNIST",
    "digits": "digits of 8 px",
    "photos": "photos, animal or not",
    "textures": "textures",
    "drawn": "handwritten digits",
    "stamps": "photos of things on white",
}


def tell(
    small: list[dict[str, Any]], usual: dict[str, Any] | None, many: dict[str, Any] | None = None, file: Path = FILE
) -> None:
    """Write the file anew; without a `usual` choice that was measured, of few or of many, what stands there stays."""
    few = Usual(measured=True, **_usual(usual)) if usual else known().usual
    more = Usual(measured=True, **_usual(many)) if many else known().many
    presets = [*of_learns("cifar10", learnt.ROWS), *of_learns("fashion", learnt.ON_FASHION)]
    brought = [*presets, *of_small(small), *of_warm(read_rows(warm.ROWS))]
    text = Measured(below=BELOW, usual=few, many=more, brought=brought).model_dump(mode="json")
    lines = ",\n".join("  " + json.dumps(row) for row in text["brought"])
    usually = "".join(f' "{name}": {json.dumps(text[name])},\n' for name in ("below", "usual", "many"))
    file.write_text(f'{{\n{usually} "brought": [{chr(10) if lines else ""}{lines}\n ]\n}}\n')


def _usual(settings: dict[str, Any]) -> dict[str, Any]:
    return {name: settings[name] for name in ("method", "encoder", "size", "views") if name in settings}


def of_learns(name: str, file: Path) -> list[Brought]:
    """Presets on 10,000 images of a set, as rows in a file have it."""
    made = []
    for own in _groups(presets_of(judged_today(read_rows(file))), "method", "encoder"):
        told, pixels = (_mean(row["linear"][kind] for row in own) for kind in ("trained", "pixels"))
        settings = {"method": own[0]["method"], "encoder": own[0]["encoder"]}
        made.append(_row(name, IMAGES, ALL, settings, told, pixels, len(own), file.name))
    return made


def of_small(rows: list[dict[str, Any]]) -> list[Brought]:
    """Candidates on the small sets with five labels a class, and once a set the frozen weights."""
    made = []
    for own in _groups(rows, "set", "candidate", "minutes"):
        about = own[0]["set"], own[0]["images"], warm.FEW
        pixels = _accuracy(own, "pixels")
        made.append(_row(*about, own[0]["settings"], _accuracy(own, "trained"), pixels, len(own), "small.jsonl"))
    return [*made, *(_frozen(own, "small.jsonl") for own in _groups(rows, "set"))]


def of_warm(rows: list[dict[str, Any]]) -> list[Brought]:
    """What going on from public weights has brought, with five labels a class, and once a set these frozen."""
    made = []
    for own in _groups([row for row in rows if row["arm"] in warm.WARM], "set", "arm", "minutes"):
        name, pixels = own[0]["set"], _accuracy(own, "pixels")
        settings = {**warm.WARM[own[0]["arm"]], "encoder": {"name": warm.PUBLIC}}
        told = _row(
            name, own[0]["images"], warm.FEW, settings, _accuracy(own, "trained"), pixels, len(own), "warm.jsonl"
        )
        adapt, shown = settings.get("adapt", "all"), round(np.mean([row["samples"] for row in own]))
        flags = f"--init {warm.PUBLIC} --method {settings['method']}" + (f" --adapt {adapt}" if adapt != "all" else "")
        more = {"weights": True, "adapt": adapt, "flags": flags, "samples": shown}
        made.append(told.model_copy(update=more))
    return [*made, *(_frozen(own, "warm.jsonl") for own in _groups(rows, "set"))]


def _groups(rows: list[dict[str, Any]], *names: str) -> Iterator[list[dict[str, Any]]]:
    """Rows that are alike in all that is named, in the order of the first of them."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(json.dumps([row[name] for name in names]), []).append(row)
    yield from found.values()


def _row(
    name: str, images: int, labels: str, settings: dict[str, Any], told: float, pixels: float, seeds: int, rows: str
) -> Brought:
    how: dict[str, Any] = {
        "method": settings["method"],
        "encoder": settings["encoder"]["name"],
        "flags": flags(settings),
    }
    how |= {"told": told, "pixels": pixels, "seeds": seeds, "rows": rows}
    return Brought(set=SETS[name], images=images, labels=labels, **how)


def _frozen(own: list[dict[str, Any]], rows: str) -> Brought:
    """The frozen weights on a set: a mean over seeds, for all runs of one are judged beside the same draws."""
    seeds = [*_groups(own, "seed")]
    told, pixels = (_mean(_accuracy(same, features) for same in seeds) for features in ("pretrained", "pixels"))
    settings = {"method": "", "encoder": {"name": warm.PUBLIC}}
    made = _row(own[0]["set"], own[0]["images"], warm.FEW, settings, told, pixels, len(seeds), rows)
    return made.model_copy(update={"method": None, "weights": True, "flags": f"--init {warm.PUBLIC}"})


def flags(settings: dict[str, Any]) -> str:
    """How the command line says the settings of a run."""
    words = [f"--method {settings['method']}", *encoder_flags(Part(**settings["encoder"]))]
    words += [f"--size {settings['size']}"] if settings.get("size") else []
    return " ".join([*words, *flags_of(settings.get("views", {}))])


def _accuracy(rows: list[dict[str, Any]], features: str) -> float:
    return _mean(warm.accuracy_of(row, "linear", warm.FEW, features) for row in rows)


def _mean(values: Iterator[float]) -> float:
    return round(float(np.mean([*values])), 4)
