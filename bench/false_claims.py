"""How often does a verdict claim a difference where there is none, and how often does it see one that is there?

Right and wrong answers are drawn, not trained for, and handed to the very functions that `evaluate` and `compare` reach
their verdicts by. "Nothing was learnt" means that all features are equally good; what is claimed then is false, be it
"it helped" or "it did not help". Writes docs/results/false_claims.json, and its table, docs/results/false_claims.md;
a smaller number of the same draws is a test of the suite. What the file has of so many trials is not drawn again: one
that is to be is deleted before.

    python bench/false_claims.py --trials 4000
"""

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from selftaught.judging.accuracy import measured, voters, votes, wilson
from selftaught.judging.comparison import Ran
from selftaught.judging.estimates import Measure
from selftaught.judging.measures import other_than_accuracy, shares
from selftaught.judging.ranking import ranked
from selftaught.judging.result import FEWEST, LEVEL, Row, verdicts
from selftaught.judging.subsets import folds
from selftaught.system.components import Part

ROOT = Path(__file__).parent.parent
RESULT, TABLE = ROOT / "docs/results/false_claims.json", ROOT / "docs/results/false_claims.md"
KINDS = ("trained", "untrained", "pixels")
ROUNDS = 3  # of folds
GAIN = 0.1  # of accuracy, where power is asked for
LUCK = (0.0, 0.03)  # of a subset of labels, as a standard deviation of accuracies

Array = NDArray[Any]
Rng = np.random.Generator


@dataclass(frozen=True)
class Said:
    """What is said of one drawn judgement."""

    helped: bool
    harmed: bool = False  # that it did not help, or, of a comparison, that one method is ahead of another
    above: float = 0.0  # by how much the value of who leads is above the truth


@dataclass(frozen=True)
class Cell:
    """Circumstances of a judgement: `judge` draws one, in which so much was learnt, and answers what is said of it."""

    about: str
    judge: Callable[[Rng, float], Said]
    gain: float | None = GAIN  # where there is something to see


def claims(cell: Cell, trials: int, power: bool = True) -> dict[str, float]:
    """What is said in so many trials: {false, helped (of these), sees} as numbers, and {above} the truth, in points.

    Without `power` it is not asked how many see a gain.
    """
    rng = np.random.default_rng([*cell.about.encode()])
    said = [cell.judge(rng, 0.0) for _ in range(trials)]
    sees = sum(cell.judge(rng, cell.gain).helped for _ in range(trials if cell.gain and power else 0))
    false = sum(one.helped or one.harmed for one in said)
    above = 100 * float(np.mean([one.above for one in said]))
    return {"false": false, "helped": sum(one.helped for one in said), "sees": sees, "above": round(above, 2)}


def too_many(claimed: float, trials: int) -> bool:
    """Whether so many false claims are more than a rate of 5 % leaves to luck, one time in a thousand (binomial)."""
    return bool(binom.sf(claimed - 1, trials, LEVEL) < 1e-3)


def said_of(right: dict[str, Any], samples: int, folded: bool = False, voting: Any = None) -> Said:
    """The verdict of answers, as `evaluate` has it."""
    rows, gains = measured(right, "linear", "all labels", samples, folded, voting)
    verdict = verdicts(rows, gains=gains)[0].split(": ")[-1]
    return Said(verdict == "it helped", verdict == "it did not help", rows[0].accuracy - rows[1].accuracy)


def said_by(measure: str, answers: dict[str, Any], contents: Any, samples: int, folded: bool = False) -> Said:
    """Likewise, of what was said and is so, by a measure; `contents`: of each repeat and fold the groups."""
    voting = [[voters(own) for own in folds] for folds in contents]
    by = other_than_accuracy(measure, answers, contents, voting if folded else None)
    right = {kind: shares(measure, own, contents) for kind, own in answers.items()}
    rows, gains = measured(right, "linear", "all labels", samples, folded, voting, by)
    verdict = verdicts(rows, gains=gains)[0].split(": ")[-1]
    return Said(verdict == "it helped", verdict == "it did not help", rows[0].accuracy - rows[1].accuracy)


def uneven(samples: int, rare: float) -> Cell:
    """Two classes, one of which is rare, by balanced accuracy."""

    def judge(rng: Rng, gain: float) -> Said:
        truth = rng.random(samples) < rare
        truth[:2] = [False, True]
        told = {k: rng.random(samples) < 0.7 + gain * (k == "trained") for k in KINDS}
        answers = {kind: [[(np.where(right, truth, ~truth), truth)]] for kind, right in told.items()}
        return said_by("balanced_accuracy", answers, [[np.arange(samples)]], samples)

    return Cell(f"balanced accuracy, test set of {samples:,}, {rare:.0%} of the rare class", judge, 0.25)


def several(samples: int, labels: int, per_group: int = 1) -> Cell:
    """Labels that some have, and scores that tell a little of each, by mAP."""

    def judge(rng: Rng, gain: float) -> Said:
        group = np.arange(samples) // per_group
        own = rng.random((group.max() + 1, labels)) < np.linspace(0.1, 0.4, labels)
        own[0] = True
        answers = {}
        for kind in KINDS:
            noise = rng.normal(size=own.shape)[group] + 0.1 * rng.normal(size=(samples, labels))
            answers[kind] = [[((1 + gain * (kind == "trained")) * own[group] + noise, own[group])]]
        return said_by("mAP", answers, [[group]], int(group.max()) + 1)

    kept = f", groups of {per_group}" * (per_group > 1)
    return Cell(f"mAP of {labels} labels, test set of {samples:,}{kept}", judge, 3.0)


def numbers(samples: int, freedom: float) -> Cell:
    """Numbers, of which features explain half, with tails that are the heavier the less `freedom`, by R2."""

    def judge(rng: Rng, gain: float) -> Said:
        truth = rng.normal(size=samples)
        answers = {}
        for kind in KINDS:
            noise = rng.standard_t(freedom, samples) * (1 - gain * (kind == "trained"))
            answers[kind] = [[(0.5 * truth + 0.5 * noise, truth)]]
        return said_by("R2", answers, [[np.arange(samples)]], samples)

    return Cell(f"R2, test set of {samples:,}, noise of {freedom:g} degrees of freedom", judge, 0.7)


def one_test_set(samples: int, easy: float) -> Cell:
    """Each sample has a difficulty, the same for all features."""

    def judge(rng: Rng, gain: float) -> Said:
        hard = rng.beta(2 * easy, 2 * (1 - easy), samples)
        told = {kind: [[rng.random(samples) < hard + gain * (kind == "trained")]] for kind in KINDS}
        return said_of(told, samples)

    return Cell(f"test set of {samples:,}, {easy:.0%} right", judge)


def opposed(samples: int) -> Cell:
    """Two kinds of features that are never right on the same sample, so that all samples tell of the difference."""

    def judge(rng: Rng, gain: float) -> Said:
        own = rng.random(samples) < 0.5 + gain
        return said_of({"trained": [[own]], "untrained": [[~own]]}, samples)

    return Cell(f"test set of {samples:,}, always one right", judge)


def imbalanced(samples: int, classes: int) -> Cell:
    """A class of nine tenths, which all features know, and small ones, which they guess."""

    def judge(rng: Rng, gain: float) -> Said:
        large = rng.random(samples) < 0.9
        knows = np.where(large, 0.95, 1 / classes)
        told = {kind: [[rng.random(samples) < knows + gain * ~large * (kind == "trained")]] for kind in KINDS}
        return said_of(told, samples)

    return Cell(f"test set of {samples:,}, {classes} classes, one of 90 %", judge, 0.6)


def grouped(groups: int, most: int, alike: float) -> Cell:
    """Groups of 1 to `most` samples; what is right of one mostly is of the others, of copies (`alike` 0) always."""

    def judge(rng: Rng, gain: float) -> Said:
        group = np.repeat(np.arange(groups), rng.integers(1, most + 1, groups))
        told = {}
        for kind in KINDS:
            share = 0.6 + gain * (kind == "trained")
            own = rng.beta(alike * share, alike * (1 - share), groups) if alike else rng.random(groups) < share
            told[kind] = [[votes(rng.random(len(group)) < own[group], group)]]
        return said_of(told, groups)

    return Cell(f"{groups} groups of up to {most}{', copies' * (not alike)}", judge, 0.2)


def subsets(samples: int, repeats: int, luck: float) -> Cell:
    """Few labels, drawn anew in each repeat: which ones makes each kind of features better or worse by its own luck."""

    def judge(rng: Rng, gain: float) -> Said:
        hard = rng.beta(1.2, 0.8, samples)
        told = {
            kind: [
                [rng.random(samples) < hard + gain * (kind == "trained") + rng.normal(0, luck)] for _ in range(repeats)
            ]
            for kind in KINDS
        }
        return said_of(told, samples)

    return Cell(f"{repeats} label subsets, luck of {100 * luck:g} points, test set of {samples:,}", judge)


def folded(
    samples: int,
    classes: int,
    width: int,
    apart: float,
    per_group: int = 1,
    rare: float = 0.0,
    baselines: int = 2,
    measure: str = "accuracy",
) -> Cell:
    """Folds of samples whose features are drawn; the nearest mean of a class classifies, and learns anew in each."""
    kinds, names = KINDS[: 1 + baselines], [str(name) for name in range(classes)]

    def judge(rng: Rng, gain: float) -> Said:
        y = np.sort(np.where(rng.random(samples) < rare, 0, np.arange(samples) % classes))
        group = np.arange(samples) // per_group
        means = rng.normal(0, apart, (classes, width))
        x = {kind: _features(rng, y, group, means * (1 + gain * (kind == "trained")), per_group) for kind in kinds}
        told: dict[str, list[list[Any]]] = {kind: [[] for _ in range(ROUNDS)] for kind in kinds}
        asked: list[list[Array]] = [[] for _ in range(ROUNDS)]
        for repeat, train, test in folds(y, group, names, ROUNDS, int(rng.integers(1 << 30))):
            asked[repeat].append(group[test])
            for kind in kinds:
                told[kind][repeat].append((_nearest(x[kind], y, train, test), y[test]))
        return said_by(measure, told, asked, len(np.unique(group)), True)

    kept = f", groups of {per_group}" * (per_group > 1) + f", one class of {rare:.0%}" * (rare > 0)
    kept += ", one baseline" * (baselines == 1) + f", by {measure}" * (measure != "accuracy")
    about = f"folds of {samples}, {classes} classes, {width} features {apart:g} apart{kept}"
    return Cell(about, judge, 1.0 if apart else None)


def _features(rng: Rng, y: Array, group: Array, means: Array, per_group: int) -> Array:
    shared = rng.normal(size=(group.max() + 1, means.shape[1]))[group] if per_group > 1 else 0.0
    return means[y] + rng.normal(size=(len(y), means.shape[1])) + shared


def _nearest(x: Array, y: Array, train: Array, test: Array) -> Array:
    known = np.unique(y[train])
    means = np.stack([x[train][y[train] == own].mean(axis=0) for own in known])
    return known[((means**2).sum(axis=1) / 2 - x[test] @ means.T).argmin(axis=1)]


def compared(methods: int, seeds: int, samples: int, held_out: bool, luck: float = 0.01) -> Cell:
    """Methods, and the untrained encoder, that differ by the luck of each training alone; `gain` is that of one."""
    measure = Measure("linear", True)

    def judge(rng: Rng, gain: float) -> Said:
        runs, truth = [], {f"method {i}": 0.4 + gain * (i == 0) for i in range(methods)}
        for seed in range(seeds):
            own = {name: value + rng.normal(0, luck) for name, value in {**truth, "untrained": 0.4}.items()}
            untrained = _counted(rng, "untrained", own["untrained"], samples)
            for name in truth:
                judged = [_counted(rng, "trained", own[name], samples), untrained]
                chosen = [_counted(rng, "trained", own[name], samples)] * held_out
                facts = {"encoder": Part(name="e"), "tokens": False, "run": "", "state": "done", "seconds": 1.0}
                runs.append(Ran(method=name, seed=seed, rung=1, judged=judged, held_out=chosen, **facts))
        places = ranked(runs, measure)
        helped = all(over.low > 0 for over in places[0].over)
        ahead = any(place.first > 1 for place in places if not gain or place.method == "method 0")
        return Said(helped, ahead, places[0].point.value - truth[places[0].method])

    chosen = "chosen on folds" if held_out else "chosen on what it is judged on"
    return Cell(f"compare {methods} methods, {seeds} seed(s), test set of {samples:,}, {chosen}", judge)


def _counted(rng: Rng, kind: str, share: float, samples: int) -> Row:
    accuracy = rng.binomial(samples, min(1.0, share)) / samples
    low, high = wilson(accuracy, samples)
    about = {"features": kind, "probe": "linear", "labels": "all labels", "repeats": 1, "samples": samples}
    return Row(accuracy=accuracy, low=low, high=high, **about)


def cells() -> Iterator[Cell]:
    """All circumstances that are looked at."""
    for samples in (FEWEST - 1, FEWEST, 8, 10, 20, 40, 100, 1_000, 10_000):
        yield from (one_test_set(samples, easy) for easy in (0.5, 0.8, 0.98))
        yield opposed(samples)
    yield from (imbalanced(samples, classes) for samples in (50, 500) for classes in (3, 20))
    yield from (grouped(groups, most, alike) for groups in (6, 12, 40) for most, alike in ((100, 0.0), (30, 2.0)))
    yield from (subsets(samples, repeats, luck) for samples in (100, 5_000) for repeats in (2, 3, 5) for luck in LUCK)
    for samples in (10, 20, 60, 150):
        yield from (folded(samples, 2, width, apart) for width, apart in ((4, 0.6), (4, 0.0), (200, 0.1)))
    yield from (folded(samples, 5, 30, 0.3) for samples in (60, 150))
    yield folded(60, 2, 4, 0.6, rare=0.7)
    yield from (folded(samples, 2, 4, 0.0, baselines=1) for samples in (20, 60, 150))
    yield from (folded(samples, 2, 4, 0.6, per_group=5) for samples in (60, 300))
    yield from (uneven(samples, rare) for samples in (20, 100, 1_000) for rare in (0.05, 0.2))
    yield from (several(samples, labels) for samples, labels in ((10, 3), (40, 3), (200, 10)))
    yield several(120, 5, per_group=3)
    yield from (numbers(samples, freedom) for samples in (8, 40, 300) for freedom in (3.0, 30.0))
    yield folded(60, 2, 4, 0.6, rare=0.5, measure="balanced_accuracy")
    for methods in (2, 8, 10, 40):
        for seeds, samples in ((1, 1_000), (2, 1_000), (2, 10_000), (3, 10_000)):
            yield from (compared(methods, seeds, samples, held_out) for held_out in (False, True))
    yield from (compared(methods, 2, samples, False) for methods in (2, 8) for samples in (FEWEST - 1, FEWEST, 10, 40))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1_000, help="judgements in each circumstance")
    trials = parser.parse_args().trials
    known = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    found = known["cells"] if known.get("trials") == trials else {}
    for cell in cells():
        if cell.about not in found:
            found[cell.about] = claims(cell, trials)
            print(cell.about, found[cell.about], "TOO MANY" * too_many(found[cell.about]["false"], trials), flush=True)
            RESULT.write_text(json.dumps({"trials": trials, "cells": found}, indent=1) + "\n")
    TABLE.write_text(table(found, trials))


def table(found: dict[str, dict[str, float]], trials: int) -> str:
    """The page, in Markdown."""
    rates = [100 * own["false"] / trials for own in found.values()]
    most, over = max(rates), sum(rate > 100 * LEVEL for rate in rates)
    lines = [
        "# What verdicts claim where nothing was learnt",
        "",
        f"Made by `python bench/false_claims.py --trials {trials}`: judgements that are drawn, and handed to the code",
        "that `evaluate` and `compare` reach their verdicts by. Per cent of them, where all features are equally good,",
        'that claim a difference ("it helped" or "it did not help", of comparisons that any method is ahead of another',
        "or of the untrained encoder), those among them that say it helped, and, where there is something to see,",
        "those that see it. By how much the value of who leads is above the truth is in points; of one judgement,",
        "what this run is above the untrained network.",
        "",
        f"The most in any line is {most:.1f} %. Above 5 %, the bound: {over} of {len(found)} lines, within what luck",
        f"makes of {trials} judgements where the true rate lies just below.",
        "",
        f"Fewer than {FEWEST} independent samples are too few to say anything of, and one seed to compare methods by.",
        "",
        "| | false claims | of them: it helped | sees a gain | above the truth |",
        "|---|---:|---:|---:|---:|",
    ]
    for cell in cells():
        own = found[cell.about]
        shares = [f"{100 * own[key] / trials:.1f}" for key in ("false", "helped", "sees")]
        shares[2] *= cell.gain is not None
        lines.append(f"| {cell.about} | {' | '.join(shares)} | {own['above']:+.1f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
