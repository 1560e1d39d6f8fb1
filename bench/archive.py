"""Does pre-training help on time series? Real sets of the UCR and UEA archives, each with a training and a test part.

The sets are those that the package aeon carries (BSD licence): --archive names its wheel, such as `pip download aeon
--no-deps` brings, or a folder with SET/SET_TRAIN.ts and SET_TEST.ts. Each method pre-trains on the training part
without labels; a linear probe and kNN then learn from all its labels, and the test part judges, beside raw values and
the same network untrained. With --rocket, MiniRocket's features with a ridge classifier are judged on the same parts
instead, which is what a practitioner would do; for that aeon has to be importable, and it wants an older numpy than is
pinned here, so it needs an environment of its own. A row a run is appended to docs/results/archive.jsonl, and the table
of all rows is docs/results/archive.md; a run that was cut goes on, a row that exists is not made again.

    python bench/archive.py --archive aeon.whl [--sets GunPoint,OSULeaf] [--methods ts2vec,simclr] [--seeds 0,1]
                            [--steps 400] [--rocket]
"""

import argparse
import json
import zipfile
from itertools import product
from pathlib import Path
from typing import Any

from learns import read_rows
from runs import machine, made
from selftaught.system.saying import say

ROOT = Path(__file__).parent.parent
ROWS, TABLE = ROOT / "docs/results/archive.jsonl", ROOT / "docs/results/archive.md"
SETS = "ArrowHead,BasicMotions,GunPoint,ItalyPowerDemand,JapaneseVowels,OSULeaf,PickupGestureWiimoteZ"
METHODS = "ts2vec,simclr,vicreg,mae"
ROCKET = "minirocket"
TOKENS = {"mae": "patch_transformer"}  # encoders of methods that need tokens; the others' is the usual convolution
BATCH = 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--archive", type=Path, required=True)
    parser.add_argument("--sets", default=SETS)
    parser.add_argument("--methods", default=METHODS)
    parser.add_argument("--seeds", default="0,1")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--rocket", action="store_true")
    parser.add_argument("--runs", type=Path, default=Path("runs/archive"))
    asked = parser.parse_args()
    place = unpacked(asked.archive, asked.runs / "sets") if asked.archive.is_file() else asked.archive
    methods = [ROCKET] if asked.rocket else asked.methods.split(",")
    for name, method, seed in product(asked.sets.split(","), methods, map(int, asked.seeds.split(","))):
        parts = {part: place / name / f"{name}_{part.upper()}.ts" for part in ("train", "test")}
        case = {"set": name, "method": method, "seed": seed, "steps": 0 if asked.rocket else asked.steps}
        if any({key: row[key] for key in case} == case for row in read_rows(ROWS)):
            continue
        say(f"\n{case}")
        try:
            found = rocket(parts, seed) if asked.rocket else taught(parts, case, asked.runs)
        except ValueError as error:  # of aeon: MiniRocket takes series of one length alone
            say(f"left out: {error}")
            continue
        with ROWS.open("a") as stream:
            stream.write(json.dumps({**case, **found, **machine()}) + "\n")
    TABLE.write_text(markdown(read_rows(ROWS)))
    print(TABLE.read_text())


def unpacked(wheel: Path, place: Path) -> Path:
    """The sets of a wheel as files."""
    with zipfile.ZipFile(wheel) as held:
        for name in held.namelist():
            if name.endswith(".ts"):
                file = place / Path(name).parent.name / Path(name).name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(held.read(name))
    return place


def taught(parts: dict[str, Path], case: dict[str, Any], runs: Path) -> dict[str, Any]:
    """A run, judged."""
    name, method = case["set"], case["method"]
    told = {"method": method, "steps": case["steps"], "batch_size": BATCH, "seed": case["seed"], "map": 0}
    encoder = {"encoder": TOKENS[method]} if method in TOKENS else {}
    run = made(runs / f"{name}-{method}-{case['seed']}-{case['steps']}", str(parts["train"]), **told, **encoder)
    judged = run.evaluate(parts["train"], parts["test"], probe="knn,linear", labels="100%", seed=case["seed"])
    rows = [row.model_dump(include={"probe", "features", "accuracy", "low", "high"}) for row in judged.rows]
    return {"rows": rows, "verdict": judged.verdict, "seconds": run.status["seconds"]}


def rocket(parts: dict[str, Path], seed: int) -> dict[str, Any]:
    """MiniRocket (Dempster, Schmidt and Webb, 2012.08791) with a ridge classifier, as aeon has it."""
    from aeon.classification.convolution_based import MiniRocketClassifier  # of the extra `series`
    from aeon.datasets import load_from_ts_file

    (x, y), (x_test, y_test) = (load_from_ts_file(str(parts[part])) for part in ("train", "test"))
    accuracy = float(MiniRocketClassifier(random_state=seed).fit(x, y).score(x_test, y_test))
    return {"rows": [{"probe": "linear", "features": ROCKET, "accuracy": accuracy}]}


def markdown(rows: list[dict[str, Any]]) -> str:
    """Linear accuracy of each method on each set, means over seeds."""
    sets = [name for name in SETS.split(",") if any(row["set"] == name for row in rows)]
    lines = ["# Time series", "", __doc__.partition("\n\n")[2].partition("\n\n")[0].replace("\n", " "), ""]
    lines += [f"| method | features | {' | '.join(sets)} |", "|---|---|" + "--:|" * len(sets)]
    for method in dict.fromkeys(row["method"] for row in rows):
        own = [row for row in rows if row["method"] == method]
        for kind in dict.fromkeys(one["features"] for row in own for one in row["rows"]):
            cells = [mean([row for row in own if row["set"] == name], kind) for name in sets]
            lines.append(f"| {method} | {kind} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def mean(rows: list[dict[str, Any]], kind: str) -> str:
    """Linear accuracy in %, a mean over rows."""
    found = [
        one["accuracy"] for row in rows for one in row["rows"] if (one["probe"], one["features"]) == ("linear", kind)
    ]
    return f"{100 * sum(found) / len(found):.1f}" if found else ""


if __name__ == "__main__":
    main()
