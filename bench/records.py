"""Records of learning without labels on CIFAR-10, by the minute or the PFLOP: makes entries, checks them, lists them.

The rules are in docs/records.md, whose table this writes from docs/results/records.jsonl, a row an entry and seed, with
those of before there were rules (hour.json) and the rival of k-means (bench/patches.py). An entry trains on the 50,000
training images without labels; a linear probe on frozen features of the last step is then learnt from all their labels
and judged on the 10,000 test images. A run that was cut goes on where it stopped, and a row that exists is not made
again; with --bag it gains what it lacks. Nothing else should keep the machine busy. Whoever checks has the run folders,
and learns of each whether it keeps the rules and whether its plan and its weights, judged again, tell what its row
says; that ends with 1 where one does not, or is not there.

    python bench/records.py make [--minutes 10 | --pflop 0.5] [--seeds 0,1,2] [--recipe recipes/cifar10_hour.yaml]
                                 [--trial grown | --set FIELD=JSON ...] [--bag]
    python bench/records.py check [--entries cifar10_hour-10,...]
    python bench/records.py table
"""

import argparse
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from torch.utils.flop_counter import FlopCounterMode

from kept_rows import add_row, find_row, read_rows, widen_row
from records_judge import BAG, bag_of, judged
from records_page import CPU, GPU, entries_of, page
from runs import machine, made
from selftaught.commands.python import Run
from selftaught.run.digests import read_digests
from selftaught.run.plan import Plan, Way
from selftaught.run.recipes import Pretrain
from selftaught.system.errors import SelftaughtError, UsageError
from selftaught.system.interruption import stopping
from selftaught.system.saying import say
from selftaught.training.job import prepare
from selftaught.training.resolve import open_data

ROOT = Path(__file__).parent.parent
ROWS, PAGE = ROOT / "docs/results/records.jsonl", ROOT / "docs/records.md"
HOUR, PATCHES = ROOT / "docs/results/hour.json", ROOT / "docs/results/patches.json"
IMAGES = 50_000
SEEDS = (0, 1, 2)  # that the rules want
# Sets by the digest of what they hold: entries of one of them are compared with each other.
DATA = {"0e622b5885e2960faa4fc59344e2ba4b": "JPEGs"}
PETA = 1e15
AGREES = 0.002  # by which accuracy may differ when the same weights are judged again, on another machine
COUNTED = 0.01  # likewise, of PFLOP, as a share
MANY = 1000  # steps
LEARNING = ("method", "also", "views", "views_for", "training", "grow", "lr")  # compared where a row is silent, too
DECIDED = {"size", *(name for name, field in Plan.model_fields.items() if field.is_required())}  # where left open
LATE = 1.05  # times the minutes, that a run may take
# What may bring more in the same time, to be tried on the recipe: levers with evidence elsewhere.
TRIALS: dict[str, dict[str, Any]] = {
    "grown": {"grow": "0.5:0.75"},  # FastDINOv2 (2507.03779): half the resolution for three quarters of training
    "grown-late": {"grow": "0.75:0.75", "views": {"strong": {"crop": [0.2, 1.0]}}},  # to whole views, in place of 0.75
    "emp_ssl": {  # EMP-SSL (2304.03977): many small parts of few images
        "method": {"name": "emp_ssl", "options": {"patches": 8}},
        "views": {"strong": {"crop": [0.25, 0.25], "scale": 0.5}},
    },
    "whitened": {"method": {"name": "wmse"}},  # features that are white by what they were taught (2007.06346)
    "wide": {"encoder": {"name": "resnet18", "options": {"stem": "half", "depth": 1, "pool": "grid", "width": 96}}},
    "narrow": {"encoder": {"name": "resnet18", "options": {"stem": "half", "depth": 1, "pool": "grid", "width": 32}}},
    "batch-512": {"batch_size": 512},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["make", "check", "table"])
    parser.add_argument("--data", default="../shared/data/cifar10.zip", help="archive or folder with train/ and test/")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--minutes", type=float, default=10)
    length.add_argument("--pflop", type=float, help="so much work, on whatever machine, in place of minutes")
    parser.add_argument("--seeds", default=",".join(map(str, SEEDS)))
    parser.add_argument("--recipe", type=Path, default=ROOT / "recipes/cifar10_hour.yaml")
    parser.add_argument("--trial", choices=TRIALS, help="a change of the recipe that is known here by name")
    parser.add_argument(
        "--set", action="append", default=[], metavar="FIELD=JSON", help="change the recipe, its name too"
    )
    parser.add_argument("--bag", action="store_true", help="judge a bag of patches as well, which takes 16 passes")
    parser.add_argument("--entries", help="those to check; default: all")
    parser.add_argument("--runs", type=Path, default=Path("runs/records"))
    asked = parser.parse_args()
    wrong = 0
    if asked.what == "make":
        settings = yaml.safe_load(asked.recipe.read_text()) | TRIALS.get(asked.trial, {})
        settings |= {field: json.loads(value) for field, value in (item.split("=", 1) for item in asked.set)}
        settings.pop("budget", None)  # how long is asked here
        for seed in map(int, asked.seeds.split(",")):
            make(entry_name(asked), settings, seed, asked)
    elif asked.what == "check":
        try:
            rows = chosen(read_rows(ROWS), asked.entries)
        except UsageError as error:
            parser.error(str(error))
        wrong = sum(checked(row, asked) for row in rows)
        for line in seedless(rows):
            say(line)
    write_page()
    raise SystemExit(min(wrong, 1))


def write_page() -> None:
    """The page with its table of all rows so far."""
    PAGE.write_text(page(PAGE.read_text(), read_rows(ROWS), _known(HOUR), _known(PATCHES)))


def entry_name(asked: argparse.Namespace) -> str:
    """By the recipe, what is changed in it, and how long."""
    changes = [asked.trial] if asked.trial else []
    changes += [re.sub(r"[^\w.-]+", "_", item) for item in asked.set]
    length = f"{asked.pflop:g}pflop" if asked.pflop else f"{asked.minutes:g}"
    return "-".join([asked.recipe.stem, *changes, length])


def make(entry: str, settings: dict[str, Any], seed: int, asked: argparse.Namespace) -> None:
    """One run of an entry, judged, and its row, which stands before its bag is judged: that takes hours."""
    identity = {"entry": entry, "seed": seed}
    row, folder = find_row(ROWS, identity), asked.runs / f"{entry}-{seed}"
    if row is not None and (BAG in row or not asked.bag):
        return
    say(f"\n{entry}, seed {seed}")
    if row is None:
        row = identity | made_row(folder, settings, seed, asked)
        add_row(ROWS, row)
        write_page()
    if asked.bag:
        run = Run.open(folder)
        if weights_of(run) != row["weights"]:
            raise SystemExit(f"{folder} has other weights than the row that is to gain a bag")
        widen_row(ROWS, identity, bag_of(run, asked.data))
        write_page()


def made_row(folder: Path, settings: dict[str, Any], seed: int, asked: argparse.Namespace) -> dict[str, Any]:
    """What a run, which is made where there is none, says of itself, and its single views judged."""
    told = {**settings, "seed": seed, "map": 0}
    if asked.pflop:
        step = pflop_of({**told, "steps": 1}, asked) if not folder.exists() else None
        told |= {"steps": round(asked.pflop / step)} if step else {}
    else:
        told["budget"] = f"{asked.minutes:g}m"
    run = made(folder, f"{asked.data}/train", **told)
    plan, status = Plan.load(folder / "recipe.yaml"), run.status
    row = {"minutes": None if asked.pflop else asked.minutes, "settings": settings}
    row |= {"samples": status["steps"] * plan.batch_size, "seconds": status["seconds"], "pflop": pflop(plan)}
    row |= {**_where(run), **machine(), "data": plan.fingerprint, "weights": weights_of(run)}
    return row | judged(run, asked.data)


def pflop(plan: Plan) -> float:
    """10^15 operations of a whole run: those of a step, there and back, as torch's FlopCounterMode counts them."""
    steps = {0: plan.steps} if plan.grow is None else dict(_halves(plan.grow.turn(plan.steps), plan.steps))
    with stopping() as stop:
        samples = open_data(plan, stop)
    # Fused attention is nothing that is counted on a CPU; as products of matrices it is.
    plain = plan.computed(Way("32-true", plan.layout, "plain")).model_copy(update={"resume": False, "out": None})
    total = 0
    for first, count in steps.items():
        job = prepare(plain, samples, None)
        with FlopCounterMode(display=False) as counter:
            job.fit(steps=plan.steps, start=first, until=first + 1)
        total += counter.get_total_flops() * count
    return float(f"{total / PETA:.6g}")


def _halves(turn: int, steps: int) -> Iterator[tuple[int, int]]:
    """A first step, and how many are like it: of smaller views, and of whole ones."""
    yield from ((first, count) for first, count in ((0, turn), (turn, steps - turn)) if count)


def pflop_of(told: dict[str, Any], asked: argparse.Namespace) -> float:
    """PFLOP of a step, by a run of one that is made beside the entry's."""
    run = made(asked.runs / "one-step" / entry_name(asked), f"{asked.data}/train", **told)
    plan = Plan.load(run.folder / "recipe.yaml")
    return pflop(plan.model_copy(update={"steps": MANY})) / MANY  # of which some have smaller views, where they grow


def _where(run: Run) -> dict[str, Any]:
    """On what a run was made."""
    held = json.loads((run.folder / "environment.json").read_text())
    versions = {name: held["packages"].get(name) for name in ("selftaught", "torch", "timm")}
    return {"class": CPU if held["device"] == "cpu" else GPU, "versions": {"python": held["python"], **versions}}


def weights_of(run: Run) -> str:
    """A digest of the encoder that is judged."""
    with (run.folder / "encoder/model.safetensors").open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def chosen(rows: list[dict[str, Any]], named: str | None) -> list[dict[str, Any]]:
    """The rows of the entries that were named, or all. Raises UsageError for an entry without any."""
    known = list(dict.fromkeys(row["entry"] for row in rows))
    wanted = named.split(",") if named else known
    if unknown := [entry for entry in wanted if entry not in known]:
        raise UsageError(f"--entries {','.join(unknown)}: there is no such row; entries are {', '.join(known)}")
    return [row for row in rows if row["entry"] in wanted]


def seedless(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Which entries lack some of the seeds that the rules want: their rows may be right all the same."""
    for own in entries_of(rows):
        found = sorted(row["seed"] for row in own)
        if lacking := sorted({*SEEDS} - {*found}):
            made, wanted = (", ".join(map(str, numbers)) for numbers in (found, lacking))
            yield f"{own[0]['entry']}: of seed {made}; by the rules it lacks {wanted}"


def checked(row: dict[str, Any], asked: argparse.Namespace) -> bool:
    """Whether something is wrong with a row, which is said, or its run is not there to tell."""
    try:
        found = [*differences(row, asked)]
    except (SelftaughtError, OSError) as error:
        found = [f"it cannot be checked: {error}"]
    say(f"{row['entry']}, seed {row['seed']}: {'; '.join(found) or 'holds'}")
    return bool(found)


def differences(row: dict[str, Any], asked: argparse.Namespace) -> Iterator[str]:
    """What is wrong with a row, as its run tells, and its weights when they are judged again."""
    run = Run.open(asked.runs / f"{row['entry']}-{row['seed']}")
    yield from broken(row, run)
    again = judged(run, asked.data) | (bag_of(run, asked.data) if BAG in row else {})
    for name in ("linear", BAG):
        if name in row and abs(again[name] - row[name]) > AGREES:
            yield f"{name} is {again[name]:.4f} when it is judged again, and {row[name]:.4f} in its row"


def broken(row: dict[str, Any], run: Run) -> Iterator[str]:
    """Which rules a run does not keep, or where its row says something else."""
    plan, status = Plan.load(run.folder / "recipe.yaml"), run.status
    if status.get("state") != "done":
        yield f"the run is {status.get('state')}"
    if plan.choose != "last":
        yield f"it keeps the step that {plan.choose} thinks best, not the last"
    for name in ("init", "teacher", "watch_labels"):
        if getattr(plan, name):
            yield f"it was begun with --{name.replace('_', '-')} {getattr(plan, name)}"
    if (seen := read_digests(run.folder)) is None or len(seen) != IMAGES:
        yield f"it has learnt from {0 if seen is None else len(seen):,} images, not {IMAGES:,}"
    if row["data"] not in DATA:
        yield "its data is no known set, as far as its digest tells"
    if plan.fingerprint != row["data"]:
        yield "its data is not that of its row"
    if weights_of(run) != row["weights"]:
        yield "its weights are not those of its row"
    if row["minutes"] and status["seconds"] > LATE * 60 * row["minutes"]:
        yield f"it took {status['seconds'] / 60:.1f} minutes"
    if abs((counted := pflop(plan)) - row["pflop"]) > COUNTED * row["pflop"]:
        yield f"it is {counted:g} PFLOP, and {row['pflop']:g} in its row"
    if plan.seed != row["seed"]:
        yield f"its seed is {plan.seed}"
    if (shown := status.get("steps", 0) * plan.batch_size) != row["samples"]:
        yield f"it has shown {shown:,} samples, and {row['samples']:,} in its row"
    if status["seconds"] != row["seconds"]:
        yield f"it took {status['seconds']:g} seconds, and {row['seconds']:g} in its row"
    told = Pretrain.parse({"data": plan.data, **row["settings"]})
    for name in dict.fromkeys((*row["settings"], *LEARNING)):
        asked, planned = (getattr(recipe, name) for recipe in (told, plan))
        if asked != planned and not (name in DECIDED and asked in (None, "auto")):
            yield f"its {name} is {planned}, and {asked} in its row"


def _known(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text()) if file.exists() else {}


if __name__ == "__main__":
    main()
