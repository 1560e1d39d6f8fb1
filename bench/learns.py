"""Does each method learn? Pre-train on 10,000 unlabelled CIFAR-10 images, judge on the 10,000 test images.

Every method runs on a light reference encoder for a budget of samples (not minutes), beside the same encoder
untrained and raw pixels. One JSON row a run is appended to docs/results/learns.jsonl, and the table made of all
rows is docs/results/learns.md. A run that was cut goes on where it stopped; a row that exists is not made again.

    python bench/learns.py --data cifar10.zip [--family contrastive] [--methods simclr,mae] [--seeds 0,1]
                           [--encoders own|both|tokens]

A method runs on the convolutional encoder, or on the one with tokens where it needs them; `both` adds the other one
wherever the method allows it, and `tokens` is that with tokens alone. Rows that were judged otherwise than today stay
in the file, and out of the table. Rows of `--samples 1000000` have a table of their own.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

from kept_rows import add_row, as_kept, read_rows
from selftaught.judging.evaluate import evaluate
from selftaught.judging.result import Row
from selftaught.methods import registry
from selftaught.run.recipes import Evaluate, Pretrain
from selftaught.system.errors import SelftaughtError
from selftaught.system.saying import say
from selftaught.system.text import duration
from selftaught.training.pretrain import pretrain

ROOT = Path(__file__).parent.parent
ROWS = ROOT / "docs/results/learns.jsonl"
TABLE = ROOT / "docs/results/learns.md"
IMAGES = 10_000
CONVOLUTIONAL: dict[str, Any] = {"name": "resnet10t", "options": {"stem": "timm"}}
TOKENS: dict[str, Any] = {"name": "vit_tiny_patch16_224", "options": {"depth": 4, "patch": 4, "width": 128}}
# Pre-training samples (not views) that a method gets, unless it needs more:
SAMPLES = 50_000
MORE_SAMPLES = {
    "bootleg": 100_000,
    "data2vec": 100_000,
    "deepcluster": 150_000,
    "denoising": 150_000,
    "exemplar": 200_000,
    "ijepa": 100_000,
    "jigsaw": 100_000,
    "mae": 100_000,
    "maskfeat": 200_000,
    "msn": 150_000,
    "relative_location": 100_000,
    "simsiam": 150_000,
}
# Where the method has enough on a convolutional encoder, and too little on one with tokens:
MORE_SAMPLES_OF_TOKENS = {
    "deblurring": 150_000,
    "inpainting": 150_000,
    "simmim": 200_000,
    "super_resolution": 150_000,
}
LONGER = 1_000_000  # samples that the best may be shown as well
SCORES = ("feature_spread", "rankme", "alpha_req", "alignment", "uniformity")
# What judged a row; 1 (rows that do not say) tried five strengths of 200 iterations on the encoder's own features, this
# one fits to the end and chooses features, whitening and strength, of the baselines, too.
JUDGING = 2
IDENTITY = ("method", "encoder", "seed", "samples", "changes")  # of a training
MARGIN = 0.01  # that linear accuracy must lie above untrained and raw pixels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="../shared/data/cifar10.zip", help="archive or folder with train/ and test/")
    parser.add_argument("--family", choices=["self_prediction", "contrastive"])
    parser.add_argument("--methods", help="comma-separated; default: all")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--encoders", choices=["own", "both", "tokens"], default="own")
    parser.add_argument("--samples", type=int, help="instead of each method's own budget")
    parser.add_argument("--runs", type=Path, default=Path("runs/learns"))
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=JSON", help="change the recipe (a trial)")
    asked = parser.parse_args()
    changes = {field: json.loads(value) for field, value in (item.split("=", 1) for item in asked.set)}
    every = sorted(registry.places().values(), key=lambda p: (p.family, p.kind, p.name))
    places = [place for place in every if registry.kind_of(registry.method_class(place.name)) == "images"]
    chosen = asked.methods.split(",") if asked.methods else [p.name for p in places]
    for seed in map(int, asked.seeds.split(",")):
        for place in places:
            if place.name not in chosen or (asked.family and place.family != asked.family):
                continue
            cls = registry.method_class(place.name)
            encoders = [TOKENS] if cls.needs_tokens else [CONVOLUTIONAL] if cls.no_tokens else [CONVOLUTIONAL, TOKENS]
            tokens = [encoder for encoder in encoders if encoder is TOKENS]
            try:
                for encoder in {"own": encoders[:1], "both": encoders, "tokens": tokens}[asked.encoders]:
                    samples = asked.samples or budget(place.name, encoder)
                    judge(place, encoder, samples, seed, asked.data, asked.runs, changes)
            except SelftaughtError as error:
                say(f"{place.name}: {error}")
                if error.exit_code == 75:
                    raise SystemExit(75) from None
    TABLE.write_text(markdown(read_rows(ROWS)))
    print(TABLE.read_text())


def judge(
    place: registry.Place,
    encoder: dict[str, Any],
    samples: int,
    seed: int,
    data: str,
    runs: Path,
    changes: dict[str, Any],
    rows: Path = ROWS,
    name: str = "",
) -> None:
    """Pre-train and judge one method, and append its row; `name` is that of its run folder, where settings vary."""
    method = registry.method_class(place.name)
    identity = as_kept(dict(zip(IDENTITY, (place.name, encoder, seed, samples, changes), strict=True)))
    if _again(identity, judged_today(read_rows(rows))):
        say(f"{place.name} on {encoder['name']}, seed {seed}: done before")
        return
    say(f"\n{place.name} on {encoder['name']}, seed {seed}")
    batch_size = changes.get("batch_size", method.preset.batch_size)
    out = runs / name if name else folder(runs, identity)
    recipe = {
        "data": f"{data}/train",
        "method": {"name": place.name},
        "encoder": encoder,
        "limit": IMAGES,
        "steps": round(samples / batch_size),
        "batch_size": batch_size,
        "seed": seed,
        "out": str(out),
        "resume": True,
        "checkpoint_every": "1m",
        "map": 0,
        **changes,
    }
    run = pretrain(Pretrain.parse(recipe))
    began = time.perf_counter()
    how = {"train": f"{data}/train", "test": f"{data}/test", "probe": "knn,linear", "limit": IMAGES, "seed": seed}
    baselines = runs / f"baselines-{JUDGING}-{encoder['name']}-{seed}.json"  # the same for every method
    known = [Row(**row) for row in json.loads(baselines.read_text())] if baselines.exists() else []
    result = evaluate(Evaluate.parse({"run": str(run.folder), **how}), baselines=known)
    baselines.write_text(json.dumps([row.model_dump() for row in result.rows]))
    say(f"judged in {duration(time.perf_counter() - began)}")
    scores: dict[str, dict[str, float]] = {"linear": {}, "knn": {}}
    for scored in result.rows:
        scores[scored.probe][scored.features] = round(scored.accuracy, 4)
    status = run.status
    row = {
        **identity,
        "judging": JUDGING,
        "family": place.family,
        "kind": place.kind,
        **scores,
        "seconds": status["seconds"],
        "samples_per_second": status["samples_per_second"],
        "final_terms": status["final_terms"],
        "health": status["health"],
        "alarms": sorted({line["verdict"] for line in run.metrics() if "health" in line} - {"learning"}),
        "experimental": method.experimental,
    }
    add_row(rows, row)
    if rows == ROWS:
        TABLE.write_text(markdown(read_rows(ROWS)))
    say(f"{place.name}: linear {scores['linear']}, kNN {scores['knn']}")


def budget(method: str, encoder: dict[str, Any]) -> int:
    """Pre-training samples that a method gets on an encoder."""
    more = MORE_SAMPLES_OF_TOKENS if encoder == TOKENS and method in MORE_SAMPLES_OF_TOKENS else MORE_SAMPLES
    return more.get(method, SAMPLES)


def folder(runs: Path, identity: dict[str, Any]) -> Path:
    """The run folder of a row."""
    told = [identity["method"], identity["encoder"]["name"], str(identity["seed"]), str(identity["samples"])]
    return runs / "-".join([*told, *identity["changes"]])


def judged_today(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those of them that today's judging has judged."""
    return [row for row in rows if row.get("judging", 1) == JUDGING]


def markdown(rows: list[dict[str, Any]]) -> str:
    """The table of what the presets learn, and below it that of all other attempts."""
    rows = sorted(rows, key=lambda r: (r["family"], r["kind"], r["method"], r["encoder"]["name"], r["seed"]))
    presets = [r for r in rows if not r["changes"] and r["samples"] == budget(r["method"], r["encoder"])]
    longer = judged_today([r for r in rows if not r["changes"] and r["samples"] == LONGER])
    others = [r for r in rows if r not in presets and r not in longer]
    today = judged_today(presets)
    waiting, presets = [row for row in presets if not _again(row, today)], today
    return "\n".join(
        [
            "# Does each method learn?",
            "",
            f"Pre-trained on {IMAGES:,} unlabelled CIFAR-10 images, judged by a linear probe and kNN (labels of "
            f"{IMAGES:,} training images) on the 10,000 test images: the standard error is about 0.5 points. Made "
            "by `bench/learns.py`; `untrained` is the same encoder with random weights and estimated BatchNorm "
            "statistics. "
            "Spread, RankMe, alpha-ReQ, alignment and uniformity are taken of the trained features without any label.",
            "",
            *_table(presets),
            "",
            *_longer(presets, longer),
            *_turned(presets, rows),
            *_waiting(waiting),
            "## Other attempts",
            "",
            "More or fewer samples, or other settings than the preset's; the first rows are older than the scores, and "
            "most were judged as all were once: by five strengths, 200 iterations and the encoder's own features.",
            "",
            *_table(others, "changes"),
            "",
        ]
    )


def _longer(presets: list[dict[str, Any]], rows: list[dict[str, Any]]) -> list[str]:
    """What a preset that does well comes to when it is shown a million samples."""
    if not rows:
        return []
    lines = [
        f"## After {LONGER:,} samples",
        "",
        "Accuracy of presets as above, and in brackets of more samples: each of the "
        f"{IMAGES:,} images is then seen {LONGER // IMAGES} times.",
        "",
        "| method | encoder | seed | samples | linear | kNN | untrained, linear | minutes |",
        "|---|---|--:|--:|--:|--:|--:|--:|",
    ]
    for row in sorted(rows, key=lambda row: -row["linear"]["trained"]):
        same = [r for r in presets if all(r[key] == row[key] for key in ("method", "encoder", "seed"))]
        cells = [row["method"], row["encoder"]["name"], row["seed"], ", ".join(f"{r['samples']:,}" for r in same)]
        for probe in ("linear", "knn"):
            before = ", ".join(f"{100 * r[probe]['trained']:.1f}" for r in same)
            cells.append(f"{before} ({100 * row[probe]['trained']:.1f})")
        cells += [f"{100 * row['linear']['untrained']:.1f}", round(row["seconds"] / 60)]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return [*lines, ""]


def _turned(presets: list[dict[str, Any]], rows: list[dict[str, Any]]) -> list[str]:
    """What the same training came to when it was judged otherwise; in bold another verdict."""
    before = {json.dumps([row[key] for key in IDENTITY]): row for row in rows if row.get("judging", 1) < JUDGING}
    pairs = [(before[key], row) for row in presets if (key := json.dumps([row[name] for name in IDENTITY])) in before]
    if not pairs:
        return []
    lines = ["## Judged before and now", "", "Linear accuracy: before, the probe had five strengths, at most 200 steps"]
    lines[-1] += " and the encoder's own features, of the baselines as well ([why](../judging.md))."
    lines += [
        "",
        "| method | encoder | seed | trained | untrained | raw pixels | learns |",
        "|---|---|--:|--:|--:|--:|---|",
    ]
    for then, now in sorted(pairs, key=lambda pair: _learns(pair[0]) == _learns(pair[1])):
        told = [
            f"{100 * then['linear'][k]:.1f} to {100 * now['linear'][k]:.1f}" for k in ("trained", "untrained", "pixels")
        ]
        said = ["no", "yes"][_learns(then)], ["no", "yes"][_learns(now)]
        verdict = said[0] if said[0] == said[1] else f"**{said[0]} to {said[1]}**"
        lines.append(
            "| " + " | ".join([now["method"], now["encoder"]["name"], str(now["seed"]), *told, verdict]) + " |"
        )
    return [*lines, ""]


def _again(row: dict[str, Any], judged: list[dict[str, Any]]) -> bool:
    """Whether the same training is among those that are judged."""
    return any(all(row[key] == other[key] for key in IDENTITY) for other in judged)


def _waiting(rows: list[dict[str, Any]]) -> list[str]:
    """Presets that have not been judged as of today, where there are any."""
    if not rows:
        return []
    told = (
        "As they were judged before: five strengths, 200 steps and the encoder's own features, for baselines as well."
    )
    return ["## Not judged again yet", "", told, "", *_table(rows), ""]


def _learns(row: dict[str, Any]) -> bool:
    linear: dict[str, float] = row["linear"]
    return linear["trained"] >= max(linear["untrained"], linear["pixels"]) + MARGIN


def _table(rows: list[dict[str, Any]], *more: str) -> list[str]:
    """Lines of a table, a row a run, with further columns by the names of facts."""
    titles = ["family", "kind", "method", "encoder", "seed", "samples", "linear", "untrained", "raw pixels"]
    titles += ["kNN", "untrained", "raw pixels", "spread", "RankMe", "alpha-ReQ", "alignment", "uniformity", "learns"]
    lines = ["| " + " | ".join([*titles, *more]) + " |", "|" + "---|" * 4 + "--:|" * 13 + "---|" * (1 + len(more))]
    for row in rows:
        linear, knn = row["linear"], row["knn"]
        encoder = row["encoder"]["name"] + "".join(f" {k}={v}" for k, v in row["encoder"]["options"].items())
        cells = [row["family"].replace("_", "-"), row["kind"], row["method"], encoder, row["seed"]]
        cells += [f"{row['samples']:,}"]
        cells += [f"{100 * score[kind]:.1f}" for score in (linear, knn) for kind in ("trained", "untrained", "pixels")]
        cells += [f"{row['health'][score]:.3g}" if score in row.get("health", {}) else "" for score in SCORES]
        cells += ["yes" if _learns(row) else "**no** (experimental)" if row["experimental"] else "**no**"]
        cells += [f"`{json.dumps(row[name])}`" if row[name] else "" for name in more]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return lines


if __name__ == "__main__":
    main()
