"""Do label-free scores tell which features are good? Rank correlations with linear accuracy, measured here.

Two questions are asked. Across methods: over the rows of docs/results/learns.jsonl and learns_fashion.jsonl, one run of
each method with the same seed, each on its own encoder, as `compare` has them by default, and all on the same one.
Within a method: over runs that differ in one setting (temperature, learning rate, projector, augmentation, the weight
of a term), which --runs N makes of each of --methods: pre-trained and judged as by bench/learns.py, a row each in
docs/results/label_free.jsonl. A run that was cut goes on where it stopped, a row that exists is not made again. The
table is docs/results/label_free.md.

The loss at the end of training is a score, too, within a method: LeJEPA (2511.08544) claims a rank correlation of 0.94
for its own, and more where it is divided by a power of lambda, which weighs its regulariser (here the 0.4th).

    python bench/label_free.py --data cifar10.zip --runs 20 [--methods lejepa,simclr,vicreg]
"""

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scipy.stats import spearmanr

from image_sets import in_archive
from kept_rows import read_rows
from learns import encoders_of, judge
from learnt import ON_FASHION, ROOT, SAMPLES, judged_today, presets_of
from learnt import ROWS as LEARNT
from selftaught.methods import registry
from selftaught.system import components
from selftaught.training.looking.scores import BETTER, worth

ROWS = ROOT / "docs/results/label_free.jsonl"
TABLE = ROOT / "docs/results/label_free.md"
SETS = {"CIFAR-10": LEARNT, "Fashion-MNIST": ON_FASHION}
FEWEST = 5  # runs that a correlation takes
Z = 1.96
LOSS, SCALED, POWER = "loss", "loss / lambda^0.4", 0.4
MADE_FOR = ("strong", "strong_other", "global")  # the views of methods that compare large parts


def settings(method: str) -> dict[str, dict[str, Any]]:
    """What to vary, by name: each a change of one setting, the most telling ones of every kind first."""
    cls = registry.method_class(method)
    preset, known = cls.preset, components.options(cls)

    def option(name: str, *values: float) -> dict[str, dict[str, Any]]:
        if name not in known:
            return {}
        return {f"{name}-{v:g}": {"method": {"name": method, "options": {name: v}}} for v in values}

    def view(name: str, values: dict[str, Any]) -> dict[str, dict[str, Any]]:
        seen = sorted({*cls.views} & {*MADE_FOR})
        return {f"{name}-{told}": {"views": dict.fromkeys(seen, changes)} for told, changes in values.items() if seen}

    def training(name: str, *values: float) -> dict[str, dict[str, Any]]:
        return {f"{name}-{v:g}": {"training": {name: v}} for v in values}

    kinds: list[dict[str, dict[str, Any]]] = [
        {"as-it-is": {}},
        option("temperature", 0.05, 1.0, 0.1, 0.5, 2.0),
        training("lr", *(preset.lr * share for share in (0.1, 3, 0.3, 10))),
        view("crop", {"large": {"crop": (0.5, 1.0)}, "none": {"crop": (1.0, 1.0)}, "small": {"crop": (0.02, 0.3)}}),
        view("colour", {"none": {"jitter": 0.0, "grey": 0.0}, "twice": {"jitter": 1.0}, "no-grey": {"grey": 0.0}}),
        option("lambd", *(share * known["lambd"].default for share in (0.1, 0.4, 4, 10)) if "lambd" in known else ()),
        option("cov_coeff", 0.1, 10.0, 0.0),
        option("sim_coeff", 5.0, 100.0),
        option("width", 64, 2048),
        option("dim", 8, 32, 512),
        option("slices", 64, 256),
        option("local_crops", 0, 4),
        training("weight_decay", 0.1, 1.0),
        view("blur", {"always": {"blur": 1.0, "blur_sigma": (1.0, 2.0)}, "none": {"blur": 0.0}}),
        view("all", {"weak": {"crop": (0.6, 1.0), "jitter": 0.1, "grey": 0.0, "blur": 0.0}}),
    ]
    taken: dict[str, dict[str, Any]] = {}
    for turn in range(max(map(len, kinds))):
        for kind in kinds:
            taken |= dict(list(kind.items())[turn : turn + 1])
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="../shared/data/cifar10.zip", help="archive or folder with train/ and test/")
    parser.add_argument("--runs", type=int, default=0, help="runs with other settings to have of each method")
    parser.add_argument("--methods", default="lejepa,simclr,vicreg", help="whose settings are varied, by commas")
    parser.add_argument("--samples", type=int, default=SAMPLES, help="pre-training samples of each run")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=Path("runs/label_free"))
    parser.add_argument("--out", type=Path, help="folder for rows and table, instead of docs/results (a trial)")
    asked = parser.parse_args()
    rows, table = (asked.out / file.name if asked.out else file for file in (ROWS, TABLE))
    for method in asked.methods.split(",") if asked.runs else ():
        place, varied = registry.places()[method], settings(method)
        if asked.runs > len(varied):
            parser.error(f"--runs {asked.runs}: there are {len(varied)} settings of {method} to vary")
        for name, changes in list(varied.items())[: asked.runs]:
            about = asked.samples, asked.seed, in_archive(asked.data), asked.folder, changes, rows
            judge(place, encoders_of(method)[0], *about, f"{method}-{name}")
    learnt = {name: judged_today(read_rows(file)) for name, file in SETS.items()}
    table.write_text(markdown(groups(learnt, judged_today(read_rows(rows)))))
    print(table.read_text())


def groups(
    learnt: dict[str, list[dict[str, Any]]], varied: Sequence[dict[str, Any]]
) -> dict[str, list[dict[str, Any]]]:
    """Runs that may be compared with each other, by what they have in common: of methods on each set, of settings."""
    found: dict[str, list[dict[str, Any]]] = {}
    for name, rows in learnt.items():
        presets = [row for row in presets_of(rows) if "health" in row]
        for row in presets:
            if row["encoder"] == encoders_of(row["method"])[0]:
                found.setdefault(f"{name}: methods, each on its encoder, seed {row['seed']}", []).append(row)
        for row in presets:
            found.setdefault(f"{name}: methods, {row['encoder']['name']}, seed {row['seed']}", []).append(row)
    for row in varied:
        found.setdefault(f"settings of {row['method']}, {row['samples']:,} samples", []).append(row)
    return {name: rows for name, rows in found.items() if len(rows) >= FEWEST}


def worth_of(row: dict[str, Any], score: str) -> float:
    """A score of a run, turned so that more is better; NaN where the run has none."""
    if score not in (LOSS, SCALED):
        return worth(row["health"], score)
    loss = sum(row["final_terms"].values())
    if score == LOSS:
        return -loss
    options = row["changes"].get("method", {}).get("options", {})
    default = components.options(registry.method_class(row["method"])).get("lambd")
    return -loss / options.get("lambd", default.default) ** POWER if default else math.nan


def correlation(rows: Sequence[dict[str, Any]], score: str) -> tuple[float, float, float, float, int] | None:
    """Spearman's coefficient of a score, turned so that more is better, with linear accuracy: (value, low, high,
    points lost by taking the run with the best score, runs). None where too few runs have the score.

    The 95 % interval is Fisher's, with the variance of Bonett and Wright (2000).
    """
    pairs = [(worth_of(row, score), row["linear"]["trained"]) for row in rows]
    pairs = [pair for pair in pairs if math.isfinite(pair[0])]
    if len(pairs) < FEWEST:
        return None
    scores, accuracies = zip(*pairs, strict=True)
    rho = float(spearmanr(scores, accuracies).statistic)
    if math.isnan(rho):
        return None
    half = Z * math.sqrt((1 + rho**2 / 2) / (len(pairs) - 3))
    centre = math.atanh(max(-0.999, min(0.999, rho)))
    lost = max(accuracies) - max(pairs)[1]
    return rho, math.tanh(centre - half), math.tanh(centre + half), 100 * lost, len(pairs)


def markdown(found: dict[str, list[dict[str, Any]]]) -> str:
    """The table, and what it says in plain words."""
    lines = [
        "# Do label-free scores tell which features are good?",
        "",
        "Spearman's rank correlation with linear accuracy, with its 95 % interval; settings are those of runs on "
        "CIFAR-10. Every score is turned "
        "as its paper has it (more RankMe, more LiDAR and more spread is better; less intrinsic dimension, uniformity "
        "and alignment loss; alpha-ReQ near 1; and less loss, of runs of one method), so 1 is what it promises, 0 is "
        "chance, and below 0 it misleads. In "
        "brackets the points of accuracy lost by taking the run that the score likes best. Made by "
        "`bench/label_free.py`.",
        "",
        "| score | " + " | ".join(f"{name} ({len(rows)} runs)" for name, rows in found.items()) + " |",
        "|---|" + "--:|" * len(found),
    ]
    works: dict[str, list[str]] = {name: [] for name in found}
    fails: dict[str, list[str]] = {name: [] for name in found}
    for score in (*BETTER, LOSS, SCALED):
        cells = []
        for name, rows in found.items():
            across = len({row["method"] for row in rows}) > 1 and score in (LOSS, SCALED)  # of which each has its own
            if across or (measured := correlation(rows, score)) is None:
                cells.append("")
                continue
            rho, low, high, lost, runs = measured
            few = f", {runs} runs" if runs < len(rows) else ""
            cells.append(f"{rho:+.2f} [{low:+.2f}, {high:+.2f}] (-{lost:.1f}{few})")
            (works if low > 0 else fails)[name].append(score)
        lines.append(f"| {score} | " + " | ".join(cells) + " |")
    lines += [""]
    for name in found:
        said = f"{', '.join(works[name])} rank{'s' * (len(works[name]) == 1)} better than chance" if works[name] else ""
        lines.append(
            f"Among {name}: {said or 'no score ranks better than chance'}"
            + (f"; {', '.join(fails[name])} cannot be told from chance, or mislead." if fails[name] else ".")
        )
    if not found:
        lines.append(f"Nothing to say yet: fewer than {FEWEST} runs with scores.")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
