"""Does each method learn? Pre-train on 10,000 unlabelled images, judge on the 10,000 test images.

Of CIFAR-10, by which presets were chosen, or of another set, which had no part in that (`--on fashion`).

Every method runs on a light reference encoder for a budget of samples (not minutes), beside the same encoder
untrained and raw pixels. One JSON row a run is appended to docs/results/learns.jsonl, or learns_fashion.jsonl, and the
page made of all rows is docs/results/learns.md. A run that was cut goes on where it stopped; a row that exists is not
made again.

    python bench/learns.py --data cifar10.zip [--family contrastive] [--methods simclr,mae] [--seeds 0,1]
                           [--encoders own|both|tokens] [--on fashion]

A method runs on the convolutional encoder, or on the one with tokens where it needs them; `both` adds the other one
wherever the method allows it, and `tokens` is that with tokens alone. Rows that were judged otherwise than today stay
in the file, and out of the table. Rows of `--samples 1000000` have a table of their own.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import image_sets
from image_sets import FASHION, Place
from kept_rows import add_row, as_kept, read_rows
from learnt import (
    CONVOLUTIONAL,
    IDENTITY,
    IMAGES,
    JUDGING,
    ON_FASHION,
    ROWS,
    TABLE,
    TOKENS,
    again,
    budget,
    judged_today,
    markdown,
)
from selftaught.judging.evaluate import evaluate
from selftaught.judging.result import Row
from selftaught.methods import registry
from selftaught.run.recipes import Evaluate, Pretrain
from selftaught.system.errors import SelftaughtError
from selftaught.system.saying import say
from selftaught.system.text import duration
from selftaught.training.pretrain import pretrain


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="../shared/data/cifar10.zip", help="archive or folder with train/ and test/")
    parser.add_argument("--on", choices=["cifar10", "fashion"], default="cifar10")
    parser.add_argument("--fashion", type=Path, default=FASHION)
    parser.add_argument("--family", choices=["self_prediction", "contrastive"])
    parser.add_argument("--methods", help="comma-separated; default: all")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--encoders", choices=["own", "both", "tokens"], default="own")
    parser.add_argument("--samples", type=int, help="instead of each method's own budget")
    parser.add_argument("--runs", type=Path, default=Path("runs/learns"))
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=JSON", help="change the recipe (a trial)")
    asked = parser.parse_args()
    rows, data = ROWS, image_sets.in_archive(asked.data)
    if asked.on == "fashion":
        asked.runs /= "fashion"
        asked.runs.mkdir(parents=True, exist_ok=True)
        rows, data = ON_FASHION, image_sets.fashion(asked)
    changes = {field: json.loads(value) for field, value in (item.split("=", 1) for item in asked.set)}
    every = sorted(registry.places().values(), key=lambda p: (p.family, p.kind, p.name))
    places = [place for place in every if registry.kind_of(registry.method_class(place.name)) == "images"]
    chosen = asked.methods.split(",") if asked.methods else [p.name for p in places]
    for seed in map(int, asked.seeds.split(",")):
        for place in places:
            if place.name not in chosen or (asked.family and place.family != asked.family):
                continue
            encoders = encoders_of(place.name)
            tokens = [encoder for encoder in encoders if encoder is TOKENS]
            try:
                for encoder in {"own": encoders[:1], "both": encoders, "tokens": tokens}[asked.encoders]:
                    samples = asked.samples or budget(place.name, encoder)
                    judge(place, encoder, samples, seed, data, asked.runs, changes, rows)
                    TABLE.write_text(markdown(read_rows(ROWS), read_rows(ON_FASHION)))
            except SelftaughtError as error:
                say(f"{place.name}: {error}")
                if error.exit_code == 75:
                    raise SystemExit(75) from None
    print(TABLE.read_text())


def encoders_of(method: str) -> list[dict[str, Any]]:
    """Those that a method runs on, first its own, which it has where several are compared."""
    cls = registry.method_class(method)
    return [TOKENS] if cls.needs_tokens else [CONVOLUTIONAL] if cls.no_tokens else [CONVOLUTIONAL, TOKENS]


def judge(
    place: registry.Place,
    encoder: dict[str, Any],
    samples: int,
    seed: int,
    data: Place,
    runs: Path,
    changes: dict[str, Any],
    rows: Path,
    name: str = "",
) -> None:
    """Pre-train and judge one method, and append its row; `name` is that of its run folder, where settings vary."""
    method = registry.method_class(place.name)
    identity = as_kept(dict(zip(IDENTITY, (place.name, encoder, seed, samples, changes), strict=True)))
    if again(identity, judged_today(read_rows(rows))):
        say(f"{place.name} on {encoder['name']}, seed {seed}: done before")
        return
    say(f"\n{place.name} on {encoder['name']}, seed {seed}")
    batch_size = changes.get("batch_size", method.preset.batch_size)
    out = runs / name if name else folder(runs, identity)
    recipe = {
        "data": data.train,
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
    how = {"train": data.train, "test": data.test, "probe": "knn,linear", "limit": IMAGES, "seed": seed}
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
    say(f"{place.name}: linear {scores['linear']}, kNN {scores['knn']}")


def folder(runs: Path, identity: dict[str, Any]) -> Path:
    """The run folder of a row."""
    told = [identity["method"], identity["encoder"]["name"], str(identity["seed"]), str(identity["samples"])]
    return runs / "-".join([*told, *identity["changes"]])


if __name__ == "__main__":
    main()
