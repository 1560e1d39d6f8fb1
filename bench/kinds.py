"""Does pre-training help where samples are no images? Series, sound and texts, beside what one would do without.

- Series: seven sets of the UCR and UEA archives, out of the wheel of aeon (`--archive`). Twenty methods on the first
  two; the five whose linear probes are best there, all seeds and numbers of labels together, on the others as well.
- Sound: the ten digits, spoken by a synthesiser (espeak-ng) by many voices, at several speeds and pitches; and drums
  that were recorded (Debian's hydrogen-drumkits). Voices and kits of the test are in no training, labelled or not.
- Texts: docstrings of ten installed packages, the names of packages taken out. Which of them is it from?

Each run is judged by a linear probe and kNN with few labels and with all, beside the same network untrained, raw values
and, where that is something else, what a practitioner would take: MiniRocket (if aeon can be imported), MFCCs, TF-IDF.
Sets are made once, in --made. A run that was cut goes on, a row that exists is not made again. Rows are appended to
docs/results/kinds.jsonl, and the page made of them is docs/results/kinds.md.

    python bench/kinds.py [--only GunPoint,digits] [--methods simclr] [--seeds 0,1] [--archive aeon.whl]
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any

import gathered
from kept_rows import accuracies, add_row, has_row, read_rows
from runs import machine, made
from selftaught.methods import registry
from selftaught.system.saying import say

ROOT = Path(__file__).parent.parent
ROWS = ROOT / "docs/results/kinds.jsonl"
FIRST, BEST = ("GunPoint", "BasicMotions"), 5  # sets that all methods of series are tried on, and how many go on
OF_SERIES = (
    "simclr,moco,triplet,nnclr,dcl,byol,simsiam,dino,barlow_twins,vicreg,lejepa,swav,ts2vec,"
    "mae,simmim,data2vec,ijepa,aim,denoising,super_resolution,inpainting,jigsaw,transformation_recognition"
)
OF_SOUND, OF_TEXTS = "simclr,byol,vicreg,mae", "mlm,next_word,electra,tsdae,simclr,vicreg"
SERIES_PLAIN = {"name": "dilated_conv", "options": {"depth": 6, "width": 32, "dim": 128}}
SERIES_TOKENS = {"name": "patch_transformer", "options": {"depth": 3, "width": 64, "heads": 4}}
SOUND_PLAIN = {"name": "resnet18", "options": {"stem": "half", "depth": 1, "width": 32}}
SOUND_COARSE = {"name": "resnet18", "options": {"stem": "timm", "depth": 1, "width": 32}}
SOUND_TOKENS = {"name": "vit_tiny_patch16_224", "options": {"patch": 8, "depth": 4}}


@dataclass(frozen=True)
class Set:
    """A set of a kind of data, and how methods are tried on it."""

    kind: str
    parts: Callable[[argparse.Namespace], tuple[Path, Path, Path]]  # to pre-train on, to learn from, to judge
    methods: str
    labels: str
    told: dict[str, Any]
    encoders: tuple[Any, Any] | None = None  # for any method, and for those that need tokens; the usual ones
    also: dict[str, Any] = field(default_factory=dict)  # of the evaluation


def of_series(name: str, asked: argparse.Namespace) -> tuple[Path, Path, Path]:
    folder = gathered.series(name, asked.made, asked.archive)
    train, test = (folder / f"{name}_{part}.ts" for part in ("TRAIN", "TEST"))
    return train, train, test


def of_digits(asked: argparse.Namespace) -> tuple[Path, Path, Path]:
    folder = gathered.spoken(asked.made)
    return folder / "train", folder / "train", folder / "test"


def of_drums(asked: argparse.Namespace) -> tuple[Path, Path, Path]:
    folder = gathered.drums(asked.made)
    return folder / "unlabelled", folder / "train", folder / "test"


def of_docstrings(asked: argparse.Namespace) -> tuple[Path, Path, Path]:
    folder = gathered.docstrings(asked.made)
    return folder / "train.jsonl", folder / "train.jsonl", folder / "test.jsonl"


SOUND: dict[str, Any] = {"methods": OF_SOUND, "encoders": (SOUND_PLAIN, SOUND_TOKENS)}
SETS = {
    **{
        name: Set(
            "series",
            partial(of_series, name),
            OF_SERIES,
            "2,100%",
            {"steps": 200, "batch_size": 32},
            (SERIES_PLAIN, SERIES_TOKENS),
        )
        for name in gathered.SERIES
    },
    "digits": Set(
        "sound", of_digits, labels="5,100%", told={"steps": 300, "batch_size": 256, "size": "64x64"}, **SOUND
    ),
    "digits-longer": Set(  # whole words, and twice the steps: a stem of stride 4 makes them cheap
        "sound",
        of_digits,
        OF_SOUND,
        "5,100%",
        {"steps": 600, "batch_size": 256, "size": "64x96"},
        (SOUND_COARSE, SOUND_TOKENS),
    ),
    "drums": Set("sound", of_drums, labels="5,100%", told={"steps": 300, "batch_size": 128, "size": "64x64"}, **SOUND),
    "docstrings": Set("texts", of_docstrings, OF_TEXTS, "10,100%", {"steps": 300, "batch_size": 128, "context": 64}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(SETS))
    parser.add_argument("--methods", help="in place of those that a set is tried with")
    parser.add_argument("--seeds", default="0,1")
    parser.add_argument("--archive", type=Path, help="the wheel of aeon, as `pip download aeon --no-deps` brings it")
    parser.add_argument("--made", type=Path, default=Path.home() / ".cache/selftaught/bench")
    parser.add_argument("--runs", type=Path, default=Path("runs/kinds"))
    asked = parser.parse_args()
    for name in asked.only.split(","):
        methods = asked.methods.split(",") if asked.methods else methods_of(name)
        for seed, method in product(map(int, asked.seeds.split(",")), methods):
            row_of(name, method, seed, asked)
    ROWS.with_suffix(".md").write_text(markdown(read_rows(ROWS)))
    print(ROWS.with_suffix(".md").read_text())


def methods_of(name: str) -> list[str]:
    """Those that a set is tried with: of series the best of the first sets go on to the others."""
    methods = SETS[name].methods.split(",")
    return best() if SETS[name].kind == "series" and name not in FIRST else methods


def best() -> list[str]:
    """The methods whose linear probes are best on the first sets, the best first."""
    rows = [row for row in read_rows(ROWS) if row["set"] in FIRST]
    found = {
        method: fmean(
            one["accuracy"]
            for row in rows
            if row["method"] == method
            for one in row["rows"]
            if (one["probe"], one["features"]) == ("linear", "trained")
        )
        for method in {row["method"] for row in rows}
    }
    return sorted(found, key=lambda method: -found[method])[:BEST]


def row_of(name: str, method: str, seed: int, asked: argparse.Namespace) -> None:
    """One run, judged, and its row, where there is none yet."""
    known = SETS[name]
    case = {"set": name, "method": method, "seed": seed, "told": known.told}
    if has_row(ROWS, case):
        return
    say(f"\n{case}")
    unlabelled, train, test = known.parts(asked)
    tokens = registry.method_class(method).needs_tokens
    encoder = {"encoder": known.encoders[tokens]} if known.encoders else {}
    out = asked.runs / f"{name}-{method}-{seed}-{known.told['steps']}"
    run = made(out, str(unlabelled), method=method, seed=seed, map=0, **known.told, **encoder)
    found = run.evaluate(train, test, probe="knn,linear", labels=known.labels, repeats=5, seed=seed)
    held = {"samples": found.train_samples, "tested": found.test_samples, "verdict": found.verdict}
    row = {**case, **held, "seconds": run.status["seconds"], "rows": accuracies(found), **machine()}
    add_row(ROWS, row)


COLUMNS = {"trained": "this run", "untrained": "untrained", "pixels": "raw", "usual": "MiniRocket"}
CALLED = {"sound": "clips"}
RAW = {"series": "raw values", "sound": "MFCCs", "texts": "TF-IDF"}


def markdown(rows: list[dict[str, Any]]) -> str:
    """A page of all rows: of each set a table, and what beats what a practitioner would take."""
    lines = ["# Kinds of data", "", *(__doc__ or "").partition("\n\n    python")[0].partition("\n\n")[2].splitlines()]
    lines += ["", "Accuracies of the linear probe (kNN in brackets) in %, means over seeds.", ""]
    for name in (name for name in SETS if any(row["set"] == name for row in rows)):
        lines += [*table(name, [row for row in rows if row["set"] == name]), ""]
    return "\n".join(lines)


def table(name: str, rows: list[dict[str, Any]]) -> list[str]:
    """Of one set: a line for each method and number of labels."""
    known, first = SETS[name], rows[0]
    usual = any(one["features"] == "usual" for row in rows for one in row["rows"])
    columns = [key for key in COLUMNS if key != "usual" or usual]
    heads = [RAW[known.kind] if key == "pixels" else COLUMNS[key] for key in columns]
    steps = f"{known.told['steps']} steps of {known.told['batch_size']}"
    lines = [
        f"## {name}",
        "",
        f"{first['samples']:,} {CALLED.get(known.kind, known.kind)} with labels, {first['tested']:,} judged; {steps}.",
        "",
    ]
    lines += [f"| labels | method | seeds | {' | '.join(heads)} |", "|---|---|--:|" + "--:|" * len(heads)]
    beaten = {}
    for labels in dict.fromkeys(one["labels"] for row in rows for one in row["rows"]):
        for method in dict.fromkeys(row["method"] for row in rows):
            own = [row for row in rows if row["method"] == method]
            cells = {key: [mean(own, probe, labels, key) for probe in ("linear", "knn")] for key in columns}
            shown = [f"{100 * linear:.1f} ({100 * near:.1f})" for linear, near in cells.values()]
            lines.append(f"| {labels} | {method} | {len(own)} | {' | '.join(shown)} |")
            rivals = [linear for key, (linear, _) in cells.items() if key != "trained"]
            beaten[labels, method] = cells["trained"][0] - max(rivals)
    for labels in dict.fromkeys(labels for labels, _ in beaten):
        lead, method = max((gain, method) for (told, method), gain in beaten.items() if told == labels)
        said = "stands above all that is beside it, by" if lead > 0 else "comes nearest to the best beside it, with"
        lines.append(f"\nWith {labels}: `{method}` {said} {100 * lead:+.1f} points (linear).")
    return lines


def mean(rows: list[dict[str, Any]], probe: str, labels: str, features: str) -> float:
    """The mean over rows of what came of a probe."""
    asked = (probe, labels, features)
    return fmean(
        one["accuracy"]
        for row in rows
        for one in row["rows"]
        if (one["probe"], one["labels"], one["features"]) == asked
    )


if __name__ == "__main__":
    main()
