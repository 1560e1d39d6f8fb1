"""A small run folder with every file that is read again, made without training, and those who read them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from selftaught.data.cache import Facts
from selftaught.data.images.encoders import build_encoder
from selftaught.data.images.preparation import Preparation
from selftaught.data.sources.contents import RECORD, seal
from selftaught.judging.result import Detail, Evaluation, Row
from selftaught.reporting.run_page import page_of
from selftaught.run import checkpoint
from selftaught.run.codes import write_codes
from selftaught.run.digests import write_digests
from selftaught.run.export import load_encoder, save_encoder
from selftaught.run.folder import RunFolder
from selftaught.run.layout import NAMES
from selftaught.run.recipes import Pretrain
from selftaught.system.components import Part
from selftaught.system.ownership import begin
from selftaught.training.looking.choice import Choice
from selftaught.training.looking.health import sound, verdict

COUNT = 12
HEALTH = {"feature_spread": 0.5, "rankme": 3.0, "alignment": 0.2}
LINES = [
    {"step": step, "loss": 1.5, "terms": {"a": 1.5}, "lr": 0.1, "samples_per_second": 9.0, "seconds": 1.0 * step}
    | ({"mean_loss": 1.4, "health": HEALTH, "verdict": "learning"} if step > 1 else {})
    for step in (1, 2, 3)
]


def write_run(folder: Path) -> None:
    """Write all of it."""
    checkpoint.save(folder / "checkpoints", 3, {"model": {"w": torch.zeros(5)}}, {"steps": 9, "threads": 1})
    Pretrain.parse({"data": "x", "method": "simclr", "steps": 5, "size": "32x48"}).save(folder / "recipe.yaml")
    facts = {"low": 0, "high": 255, "mean": (0.5,) * 3, "std": (0.2,) * 3}
    preparation, part = Preparation(channels=3, size=(32, 32), **facts), Part(name="test_resnet")
    save_encoder(build_encoder(part, preparation), part, preparation, folder / "encoder", {"method": "simclr"})
    for name, content in _texts().items():
        (folder / name).write_text(content)
    begin(folder, "pretrain", NAMES["pretrain"])
    ran = {
        "method": "mae",
        "seed": 0,
        "rung": 1,
        "encoder": {"name": "vit"},
        "tokens": True,
        "run": "a",
        "state": "done",
    }
    (folder / "comparison.jsonl").write_text(2 * (json.dumps(ran | {"health": HEALTH, "steps": 3}) + "\n"))
    records = np.zeros(3, RECORD).tobytes()
    (folder / "contents.bin").write_bytes(seal(records) + records)
    write_digests(folder, np.arange(16 * COUNT, dtype=np.uint8).reshape(COUNT, 16))
    write_codes(folder, np.arange(2 * COUNT, dtype=np.int32).reshape(2, COUNT))
    Facts(kept=[0, 1, 3], aspect=[1.0, 2.0, 0.5], quarantined=[(2, "empty file")]).write(folder / "record.json")
    place = folder / "map"
    place.mkdir()
    keys, near = [f"a/{i}.png" for i in range(COUNT)], [[(i + 1) % COUNT] for i in range(COUNT)]
    for name, step in (("start", 0), ("end", 3)):
        told = {"step": step, "keys": keys, "asked": list(range(COUNT)), "nearest": near, "columns": 4, "cell": [8, 8]}
        (place / f"{name}.json").write_text(json.dumps(told))
    np.save(place / "points.npy", np.random.default_rng(0).normal(size=(COUNT, 3)).astype(np.float32))
    page_of([folder])  # which leaves layout.npz


def _texts() -> dict[str, str]:
    row = {"probe": "knn", "labels": "100%", "accuracy": 0.7, "low": 0.6, "high": 0.8, "repeats": 1}
    detail = {"probe": "knn", "labels": "100%", "recall": [0.5, None], "confusion": [[1, 2], [3, 4]]}
    kinds = ("trained", "untrained")
    evaluation = Evaluation(
        run="run", train="x", test=None, classes=["a", "b"], train_samples=9, test_samples=9, seed=0,
        rows=[Row(features=kind, **row) for kind in kinds], verdict="knn, 100%: it helped", verdicts=["it helped"],
        details=[Detail(features=kind, **detail) for kind in kinds],
    )  # fmt: skip
    status = {"state": "done", "reason": "", "exit_code": 0, "chance": 2.0, "health_at_start": HEALTH, "steps": 3}
    status |= {"seconds": 3.0, "samples_per_second": 9.0, "health": HEALTH, "verdict": "learning"}
    bad = {"step": 2, "loss": "nan", "gradient_norm": "inf", "samples": ["a/1.png"]}
    data = {"samples": "12 images", "as seen": "at 32 x 48 px", "folders": {"a": 7, "b": 5}}
    metrics = {"classes": ["a", "b"], "recall": [0.5, 1.0], "confusion": [[1, 1], [0, 2]]}
    return {
        "lock": json.dumps({"host": "elsewhere", "pid": 7, "birth": "3", "started": "2026-01-01T00:00:00+00:00"}),
        "status.json": json.dumps(status),
        "metrics.jsonl": "".join(json.dumps(line) + "\n" for line in LINES),
        "bad_batches.jsonl": json.dumps(bad) + "\n",
        "evaluation.json": evaluation.model_dump_json(),
        "data.json": json.dumps(data),
        "metrics.json": json.dumps(metrics),
        "environment.json": json.dumps({"python": "3", "packages": {"torch": "2"}, "preparation": {"size": [8, 8]}}),
        "quarantine.csv": "path,reason\nb/2.png,empty file\n",
        "choice.json": json.dumps(["32-true", "contiguous", "fused"]),
    }


def shown(folder: Path) -> None:
    """Read what the page of a run is made of."""
    page_of([folder])


def gone_on_with(folder: Path) -> None:
    """Read what a resumed run reads, and judge by it."""
    run = RunFolder(folder)
    run.forget_metrics_after(3)
    run.bad_steps()
    lines = run.metrics()
    choice = Choice(Pretrain.parse({"data": "x", "choose": "rankme"}))
    looks = [{**line["health"], "loss": line.get("mean_loss") or 0.0} for line in lines if line.get("health")]
    start: dict[str, float] = run.status.get("health_at_start") or HEALTH
    for count, line in enumerate((line for line in lines if line.get("health")), 1):
        choice.note(line["step"], line["health"], sound(looks[:count], start))
    if looks:
        verdict(looks, start, run.status.get("chance"))


def loaded(folder: Path) -> None:
    """Build the encoder that is described, and try it."""
    encoder = load_encoder(folder)
    with torch.no_grad():
        encoder(torch.zeros(1, *encoder.preparation.shape))


def recalled(file: Path) -> Any:
    """What was noted of decoded images, which fits four of them or counts for nothing."""
    known = Facts.read(file, 4)
    assert known is None or known.kept == [0, 1, 3]
