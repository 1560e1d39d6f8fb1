"""Records: the page that their rows make, and who keeps the rules."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

import records
import records_page
from selftaught.commands.python import Run
from selftaught.run.plan import Plan
from selftaught.run.recipes import Pretrain
from tests.commands.finding import run_of
from tests.networks import HALVED

ROW: dict[str, Any] = {
    "entry": "hour-10", "class": "cpu", "processor": "a chip", "cores": 2, "seed": 0, "minutes": 10, "seconds": 590.0,
    "samples": 450_000, "pflop": 0.5, "linear": 0.70, "untrained": 0.46, "data": "d", "weights": "w",
    "settings": {"method": {"name": "simclr", "options": {"temperature": 0.2}}, "batch_size": "auto"},
}  # fmt: skip


def test_the_page_of_records_ranks_entries_by_their_mean_and_keeps_what_it_says() -> None:
    rows = [ROW, {**ROW, "seed": 1, "linear": 0.72, "bag": 0.75}, {**ROW, "class": "gpu", "entry": "card"}]
    older = {"peer, 60 minutes": {"samples": 127_232, "linear": 53.4}}
    older["old, 10 minutes"] = {
        "linear, trained": 67.64, "linear, untrained": 46.2, "seconds": 600, "samples": 9, "cores": 2
    }  # fmt: skip
    rivals = {"1600 kinds": {"accuracy": 77.9, "seconds": 300, "images": 50_000, "cores": 2}}
    text = f"# Rules\n\n{records_page.BEGIN}\nold\n{records_page.END}\n\nEnd.\n"
    made = records.page(text, rows, older, rivals)
    assert made.startswith("# Rules") and made.endswith("End.\n") and "\nold\n" not in made
    assert records.page(made, rows, older, rivals) == made
    assert "| hour-10 | 71.00 (70.00 to 72.00) | 75.00 | 46.0 | 2 | 9.8 | 450,000 | 0.5 | 2 cores of a chip |" in made
    places = [made.index(told) for told in ("k-means", "hour-10", "old, 10 minutes", "lightly", "### GPUs", "card")]
    assert places == sorted(places)
    assert "There are none yet." in records.page(text, [], {}, {})


def a_plan(**told: Any) -> SimpleNamespace:
    """What a run of ROW was planned as."""
    asked = Pretrain.parse({"data": "images", **ROW["settings"]})
    decided = {"choose": "last", "fingerprint": "d", "seed": 0, "batch_size": 250}
    return SimpleNamespace(**{**dict(asked), **decided, **told})


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Digests of what a run has seen, the last ones; and nothing is counted or read of it."""
    found = [np.zeros((records.IMAGES, 16), np.uint8)]
    monkeypatch.setattr(records, "read_digests", lambda folder: found[-1])
    monkeypatch.setattr(records, "weights_of", lambda run: "w")
    monkeypatch.setattr(records, "pflop", lambda plan: 0.5)
    monkeypatch.setattr(records, "DATA", {"d": "the set"})
    return found


def test_a_row_is_held_to_the_rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seen: list[Any]) -> None:
    plan = a_plan()
    run = SimpleNamespace(folder=tmp_path, status={"state": "done", "steps": 1800, "seconds": 590.0})
    monkeypatch.setattr(Plan, "load", lambda file: plan)
    assert [*records.broken(ROW, run)] == []
    plan.choose, plan.init, plan.watch_labels, plan.seed = "rankme", "timm", "labelled", 1
    run.status = {**run.status, "seconds": 640.0}
    seen.append(seen[0][:5])
    found = [*records.broken({**ROW, "data": "other", "weights": "others", "pflop": 0.4}, run)]
    for said in ("rankme", "--init timm", "--watch-labels", "5 images", "not that of its row", "not those of its row"):
        assert any(said in line for line in found), said
    for said in ("640 seconds, and 590 in its row", "10.7 minutes", "seed is 1", "0.5 PFLOP"):
        assert any(said in line for line in found), said
    plan.fingerprint = "other"
    assert any("no known set" in line for line in records.broken({**ROW, "data": "other"}, run))


@pytest.mark.parametrize(
    ("planned", "row", "said"),
    [
        ({}, {"samples": 450_001}, "shown 450,000 samples, and 450,001 in its row"),
        ({}, {"settings": {"method": "simclr"}}, "and name='simclr' options={} in its row"),
        ({"grow": "0.5:0.75"}, {}, "its grow is 0.5:0.75, and None in its row"),
        ({"lr": 0.1}, {"settings": {**ROW["settings"], "lr": 0.2}}, "its lr is 0.1, and 0.2 in its row"),
        ({"batch_size": 125, "steps": 3600}, {"settings": {**ROW["settings"], "batch_size": 250}}, "its batch_size is"),
    ],
)
def test_a_row_is_held_to_its_plan(
    planned: dict[str, Any], row: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch, seen: list[Any]
) -> None:
    status = {"state": "done", "steps": planned.pop("steps", 1800), "seconds": 590.0}
    monkeypatch.setattr(Plan, "load", lambda file: a_plan(**planned))
    (found,) = records.broken({**ROW, **row}, SimpleNamespace(folder=Path("run"), status=status))
    assert said in found


def test_a_check_goes_on_where_a_run_is_missing_and_refuses_entries_without_a_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept, page = tmp_path / "rows.jsonl", tmp_path / "page.md"
    page.write_text(f"{records_page.BEGIN}\n{records_page.END}\n")
    rows = [ROW, {**ROW, "seed": 1}, *({**ROW, "entry": "whole-10", "seed": seed} for seed in records.SEEDS)]
    kept.write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.setattr(records, "ROWS", kept)
    monkeypatch.setattr(records, "PAGE", page)
    opened = records.Run.open
    monkeypatch.setattr(
        records.Run, "open", lambda folder: opened(folder) if "-10-0" in str(folder) else SimpleNamespace(folder=folder)
    )
    monkeypatch.setattr(records, "broken", lambda row, run: iter(()))
    monkeypatch.setattr(records, "judged", lambda run, data: {"linear": 0.7, "untrained": 0.46})

    def check(*words: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["records.py", "check", "--runs", str(tmp_path / "runs"), *words])
        with pytest.raises(SystemExit) as ended:
            records.main()
        return ended.value.code, capsys.readouterr().err

    code, said = check()
    assert code == 1 and said.count("it cannot be checked: ") == 2 and said.count(": holds") == 3
    assert "hour-10: of seed 0, 1; by the rules it lacks 2" in said and "whole-10: of seed" not in said
    code, said = check("--entries", "hour-10,nosuch-10")
    assert code == 2 and "--entries nosuch-10: there is no such row; entries are hour-10, whole-10" in said
    assert "holds" not in said


def test_an_entry_is_named_by_what_it_changes() -> None:
    asked = SimpleNamespace(
        recipe=Path("recipes/hour.yaml"), trial="grown", set=["batch_size=64"], pflop=None, minutes=10
    )
    assert records.entry_name(asked) == "hour-grown-batch_size_64-10"
    assert (
        records.entry_name(SimpleNamespace(**{**vars(asked), "trial": None, "set": [], "pflop": 0.5}))
        == "hour-0.5pflop"
    )
    for changes in records.TRIALS.values():
        Pretrain.parse({"data": "images", **changes})


def test_a_bag_is_judged_by_itself_as_an_evaluation_judges_it(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for side in ("train", "test"):
        for name, shift in (("a", 0), ("b", 12), ("c", 24)):
            (folder := tmp_path / "data" / side / name).mkdir(parents=True)
            for number in range(16):
                pixels = rng.integers(0, 200, (16, 16, 3)) + shift
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
    run = Run(run_of(tmp_path / "run", str(tmp_path / "data/train"), HALVED))
    data = str(tmp_path / "data")
    whole = run.evaluate(f"{data}/train", f"{data}/test", probe="linear", features="bag", repeats=1, pretrained="none")
    (trained,) = (row.accuracy for row in whole.rows if row.features == "trained")
    assert 1 / 3 < trained < 1
    assert records.bag_of(run, data) == {"bag": round(trained, 5)}
    again = json.loads((run.folder / "evaluation.json").read_text())
    assert {row["features"] for row in again["rows"]} == {"trained", "pixels"}  # no network was asked beside it
    assert "raw pixels" in again["verdict"]


def test_a_row_stands_before_its_bag_is_judged_and_gains_it_of_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, page = tmp_path / "rows.jsonl", tmp_path / "page.md"
    page.write_text(f"{records_page.BEGIN}\n{records_page.END}\n")
    told = {name: value for name, value in ROW.items() if name not in ("entry", "seed")}
    made: list[int] = []

    def made_row(folder: Path, settings: dict[str, Any], seed: int, asked: Any) -> dict[str, Any]:
        made.append(seed)
        return told

    def cut(run: Any, data: str) -> dict[str, float]:
        raise KeyboardInterrupt

    for name, value in {"ROWS": kept, "PAGE": page, "made_row": made_row, "bag_of": cut}.items():
        monkeypatch.setattr(records, name, value)
    monkeypatch.setattr(records, "weights_of", lambda run: "w")
    monkeypatch.setattr(records.Run, "open", lambda folder: SimpleNamespace(folder=folder))
    asked = SimpleNamespace(runs=tmp_path, data="data", bag=True)
    kept.write_text(json.dumps({**ROW, "seed": 1}) + "\n")
    with pytest.raises(KeyboardInterrupt):
        records.make("hour-10", {}, 0, asked)
    assert records.read_rows(kept) == [{**ROW, "seed": 1}, ROW] and "| hour-10 | 70.00" in page.read_text()
    monkeypatch.setattr(records, "weights_of", lambda run: "others")
    with pytest.raises(SystemExit, match="hour-10-0 has other weights"):
        records.make("hour-10", {}, 0, asked)
    monkeypatch.setattr(records, "weights_of", lambda run: "w")
    monkeypatch.setattr(records, "bag_of", lambda run, data: {"bag": 0.75})
    records.make("hour-10", {}, 0, asked)
    assert records.read_rows(kept) == [{**ROW, "seed": 1}, {**ROW, "bag": 0.75}] and made == [0]
    monkeypatch.setattr(records, "bag_of", cut)
    records.make("hour-10", {}, 0, asked)  # it has all that is asked for
