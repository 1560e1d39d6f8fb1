"""What each method has learnt: the rows of bench/learns.py, and the page that is made of them."""

import json
import math
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
ROWS = ROOT / "docs/results/learns.jsonl"
ON_FASHION = ROOT / "docs/results/learns_fashion.jsonl"  # the same of Fashion-MNIST
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


def budget(method: str, encoder: dict[str, Any]) -> int:
    """Pre-training samples that a method gets on an encoder."""
    more = MORE_SAMPLES_OF_TOKENS if encoder == TOKENS and method in MORE_SAMPLES_OF_TOKENS else MORE_SAMPLES
    return more.get(method, SAMPLES)


def judged_today(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those of them that today's judging has judged."""
    return [row for row in rows if row.get("judging", 1) == JUDGING]


def presets_of(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of presets as they are, of as many samples as they get."""
    return [row for row in rows if not row["changes"] and row["samples"] == budget(row["method"], row["encoder"])]


def markdown(rows: list[dict[str, Any]], on_fashion: list[dict[str, Any]]) -> str:
    """The table of what the presets learn, and below it those of a second set and of all other attempts."""
    rows, on_fashion = _in_order(rows), _in_order(on_fashion)
    presets = presets_of(rows)
    longer = judged_today([r for r in rows if not r["changes"] and r["samples"] == LONGER])
    others = [r for r in rows if r not in presets and r not in longer]
    today = judged_today(presets)
    waiting, presets = [row for row in presets if not again(row, today)], today
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
            *_elsewhere(judged_today(presets_of(on_fashion))),
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


def _in_order(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda r: (r["family"], r["kind"], r["method"], r["encoder"]["name"], r["seed"]))


def _longer(presets: list[dict[str, Any]], rows: list[dict[str, Any]]) -> list[str]:
    """What a preset that does well comes to when it is shown a million samples."""
    if not rows:
        return []
    lines = [
        f"## After {LONGER:,} samples",
        "",
        "Accuracy of presets as above, and in brackets of more samples: each of the "
        f"{IMAGES:,} images is then seen {LONGER // IMAGES} times. Minutes are of one core, of a machine that had "
        "other work besides, and so no measure of speed.",
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
        cells += [f"{100 * row['linear']['untrained']:.1f}", _minutes(row)]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return [*lines, ""]


def _minutes(row: dict[str, Any]) -> str:
    """How long a run took; nothing of one that was cut, by a clock that began anew as it went on."""
    told = row["samples"] / row.get("samples_per_second", math.inf)  # which the first rows do not have
    return f"{row['seconds'] / 60:.0f}" if row["seconds"] >= 0.8 * told else ""


def _elsewhere(presets: list[dict[str, Any]]) -> list[str]:
    """What the presets learn of a set by which none of them was chosen."""
    if not presets:
        return []
    runs = f"{len(presets)} runs of {len({row['method'] for row in presets})} methods"
    gained = [(_gained(row), f"{row['method']} ({_gained(row):+.1f})") for row in presets]
    below = [name for points, name in gained if points < 0]
    level = [name for points, name in gained if 0 <= points < 100 * MARGIN]
    above = sum(points > 0 for points, _ in gained)
    told = f"Of {runs}, {above} are above their untrained encoder by the linear probe"
    told += f"; below it {', '.join(below)}" if below else ""
    told += f"; by less than a point {', '.join(level)}" if level else ""
    told += f". More than raw pixels is told by {', '.join(_over_pixels(presets)) or 'none'}"
    lines = ["## On Fashion-MNIST", "", "The same presets, encoders and samples on a set that had no part in choosing"]
    lines[-1] += f" them: {IMAGES:,} grey images of clothes, and its 10,000 test images judge. {told}."
    return [*lines, "", *_table(presets), ""]


def _over_pixels(presets: list[dict[str, Any]]) -> list[str]:
    """Methods that tell more than raw pixels do, and in how many of their runs where these differ."""
    runs: dict[str, list[bool]] = {}
    for row in presets:
        runs.setdefault(row["method"], []).append(row["linear"]["trained"] > row["linear"]["pixels"])
    return [
        name if all(over) else f"{name} (in {sum(over)} of {len(over)} runs)"
        for name, over in runs.items()
        if any(over)
    ]


def _gained(row: dict[str, Any]) -> float:
    """Points over the untrained encoder, by the linear probe."""
    return round(100 * (row["linear"]["trained"] - row["linear"]["untrained"]), 2)


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


def again(row: dict[str, Any], judged: list[dict[str, Any]]) -> bool:
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
