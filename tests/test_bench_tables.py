"""What the long measurements make of their rows: tables, and what is told before a run."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import image_sets
import journey
import kinds
import label_free
import learnt
import metadata
import planted
import selecting
import small
import told
import warm
from kept_rows import add_row, has_row, read_rows
from selftaught.run.recipes import Pretrain
from selftaught.system.components import Part
from selftaught.system.measured import Measured

ONE, OTHER = "simclr+resnet18+own+preset", "mae+tokens+own+upright"


def small_row(name: str, candidate: str, trained: float, seed: int = 0) -> dict[str, Any]:
    accuracies = {"trained": trained, "untrained": 0.3, "pixels": 0.5, "pretrained": 0.7}
    rows = [
        {
            **{"probe": "linear", "labels": labels, "features": features, "accuracy": accuracy},
            **{"low": accuracy - 0.01, "high": accuracy + 0.03},
        }
        for labels in ("5 per class", "all labels")  # as an evaluation calls them
        for features, accuracy in accuracies.items()
    ]
    about = {"set": name, "candidate": candidate, "minutes": 10, "seed": seed, "samples": 1000, "images": 2000}
    return {**about, "settings": small.settings(candidate), "rows": rows, "processor": "a chip", "cores": 1}


def test_the_usual_choice_loses_to_pixels_on_none_of_the_five_or_the_least() -> None:
    rows = [small_row(name, candidate, told) for name in small.SETS for candidate, told in ((ONE, 0.9), (OTHER, 0.6))]
    assert small.winner(rows) == ONE
    rows.append(small_row("textures", ONE, 0.0, seed=1))  # a mean of 45, below the 50 of pixels
    assert small.winner(rows) == OTHER
    assert small.losers(rows) == {ONE}
    assert small.winner([row for row in rows if row["set"] != "photos"]) is None
    page = small.markdown(rows)
    cell = "**45.0** ± 2.0 (30.0)"
    assert f"| simclr, resnet18, own, preset | 10 | 2 | 1,000 | {cell} | {cell} |" in page
    assert f"`{OTHER}` loses to raw pixels on none of the five" in page
    assert "| frozen public weights | | | | 70.0 ± 2.0 |" in page
    assert "on the very images that are reported here" in page and "overlap" not in page
    assert "minutes of 1 CPU core of a chip without" in page
    rows.append(small_row("drawn", OTHER, 0.39, seed=1))  # a mean of 49.5: both lose, this one less
    assert small.losers(rows) == {ONE, OTHER} and small.winner(rows) == OTHER
    page = small.markdown(rows)
    assert f"`{OTHER}` loses to raw pixels the least, though somewhere" in page
    assert "Its interval and that of raw pixels overlap on drawn (5 per class, all labels).\n" in page
    assert small.markdown([]).endswith("Nothing has been measured yet.\n")


def test_the_usual_choice_of_many_images_is_by_the_sets_of_many_alone() -> None:
    few = [small_row(name, ONE, 0.9) for name in small.SETS]
    many = [small_row(name, candidate, told) for name in small.MANY for candidate, told in ((ONE, 0.6), (OTHER, 0.8))]
    assert small.winner(few, small.MANY) is None and small.winner(many) is None
    assert (small.winner([*few, *many]), small.winner([*few, *many], small.MANY)) == (ONE, OTHER)
    lost = [*few, *many, small_row("cifar10", OTHER, 0.1, seed=1)]
    assert small.losers(lost, small.MANY) == {OTHER} and small.losers(lost) == set()
    page = small.markdown([*few, *many])
    assert (
        f"`{ONE}` loses to raw pixels on none of the five and gains the most: the usual choice on a CPU for f" in page
    )
    assert (
        f"`{OTHER}` loses to raw pixels on none of the two and gains the most: the usual choice on a CPU for m" in page
    )
    assert "## cifar10, 2,000 images" in page
    assert "No candidate has been run on all of these sets" in small.markdown([*few, *many[:2]])


def test_every_candidate_can_be_said_to_pretrain() -> None:
    for candidate in (*small.CANDIDATES, *small.OF_MANY):
        recipe = Pretrain.parse({"data": "images", **small.settings(candidate)})
        assert set(recipe.views) <= set(small.registry.method_class(recipe.method.name).views)
    assert small.settings(OTHER)["views"] == {"light": small.UPRIGHT}
    assert small.settings("simclr+light+64+preset")["size"] == 64


def test_textures_are_cut_in_crops_that_keep_their_picture_and_order() -> None:
    pictures = np.arange(2 * 70 * 64).reshape(2, 70, 64)
    crops, labels = image_sets.cut(pictures)
    assert crops.shape == (2, 4, 32, 32) and labels.tolist() == [[0] * 4, [1] * 4]
    assert (crops[1, 1] == pictures[1, :32, 32:]).all() and (crops[0, 2] == pictures[0, 32:64, :32]).all()


@pytest.mark.parametrize(
    ("name", "said"),
    [("n01440764_tench.JPEG", "animal"), ("n02655020_puffer.JPEG", "animal"), ("p/n02666196_abacus.JPEG", "none")],
)
def test_photos_are_told_apart_by_their_place_in_wordnet(name: str, said: str) -> None:
    assert image_sets.animal(name) == said


def test_what_is_told_before_a_run_is_made_of_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    preset = {
        "method": "simclr", "encoder": learnt.CONVOLUTIONAL, "samples": 50_000, "changes": {},
        "judging": learnt.JUDGING,
        "linear": {"trained": 0.5, "untrained": 0.4, "pixels": 0.38},
    }  # fmt: skip
    other = {**preset, "linear": {**preset["linear"], "trained": 0.6}}
    trial, older = {**preset, "changes": {"lr": 1}}, {**preset, "judging": 1}
    warm_row = {**small_row("cifar10", ONE, 0.8), "arm": "byol"}
    clothes = {**preset, "linear": {"trained": 0.8, "untrained": 0.7, "pixels": 0.83}}
    kept = {learnt.ROWS: [preset, other, trial, older], learnt.ON_FASHION: [clothes]}
    kept[told.warm.ROWS] = [warm_row, {**warm_row, "arm": "nothing"}]
    monkeypatch.setattr(told, "read_rows", kept.__getitem__)
    file = tmp_path / "measured.json"
    told.tell([small_row("digits", OTHER, 0.9)], None, None, file)
    held = Measured(**json.loads(file.read_text()))
    assert held.usual == told.known().usual  # nothing was measured that would change it
    found = {(row.rows, row.method, row.weights): row for row in held.brought}
    assert len(found) == len(held.brought) == 6
    simclr = found["learns.jsonl", "simclr", False]
    assert (simclr.told, simclr.seeds, simclr.images) == (0.55, 2, 10_000)
    assert simclr.flags == "--method simclr --encoder resnet10t --encoder.stem timm"
    other_set = found["learns_fashion.jsonl", "simclr", False]
    assert (other_set.set, other_set.told, other_set.pixels) == ("Fashion-MNIST", 0.8, 0.83)
    mae = found["small.jsonl", "mae", False]
    assert (mae.told, mae.pixels, mae.images, mae.labels) == (0.9, 0.5, 2000, "5 per class")
    assert mae.flags.endswith("--views.light.crop 0.5,1 --views.light.flip 0")
    assert found["small.jsonl", None, True].told == found["warm.jsonl", None, True].told == 0.7
    assert found["warm.jsonl", "byol", True].flags == f"--init {told.warm.PUBLIC} --method byol"

    better = [{**one, "accuracy": 0.8} if one["features"] == "pretrained" else one for one in warm_row["rows"]]
    kept[told.warm.ROWS] += [{**warm_row, "seed": 1, "rows": better}]
    told.tell([], None, None, file)
    (frozen,) = (row for row in Measured(**json.loads(file.read_text())).brought if row.weights and not row.method)
    assert (frozen.told, frozen.seeds) == (0.75, 2)  # two rows of one seed weigh as much as one of another

    told.tell([], small.settings("mae+tokens+64+upright"), small.settings("simclr+patches+own+preset"), file)
    held = Measured(**json.loads(file.read_text()))
    usual, many = held.usual, held.many
    assert many and (many.encoder, many.views) == (Part(**small.ENCODERS["patches"]), {})
    assert usual.measured and (usual.method, usual.size, held.below) == ("mae", 64, told.BELOW)
    assert usual.encoder == Part(**small.ENCODERS["tokens"]) and usual.views == {"light": small.UPRIGHT}


def test_a_million_samples_stand_beside_the_presets_own() -> None:
    about = {"family": "contrastive", "kind": "negatives", "method": "simclr", "encoder": learnt.CONVOLUTIONAL}
    scores = {"trained": 0.49, "untrained": 0.42, "pixels": 0.39}
    row = {**about, "seed": 0, "samples": learnt.budget("simclr", learnt.CONVOLUTIONAL), "changes": {}}
    row |= {"judging": learnt.JUDGING, "linear": scores, "knn": scores, "experimental": False, "seconds": 114.0}
    longer = {**row, "samples": learnt.LONGER, "linear": {**scores, "trained": 0.55}, "seconds": 2280.0}
    page = learnt.markdown([row, longer], [])
    assert "| simclr | resnet10t | 0 | 50,000 | 49.0 (55.0) | 49.0 (49.0) | 42.0 | 38 |" in page
    assert page.count("| simclr |") == 2  # a row among the presets, and this one, which is no other attempt
    assert "After 1,000,000 samples" not in learnt.markdown([row], [])


def test_a_second_set_names_the_presets_that_stay_below_their_untrained_encoder() -> None:
    def row(method: str, trained: float, seed: int = 0) -> dict[str, Any]:
        about = {"family": "contrastive", "kind": "negatives", "method": method, "encoder": learnt.CONVOLUTIONAL}
        scores = {"trained": trained, "untrained": 0.8, "pixels": 0.79}
        about |= {"seed": seed, "samples": learnt.SAMPLES, "changes": {}, "experimental": False}
        return {**about, "judging": learnt.JUDGING, "linear": scores, "knn": scores}

    page = learnt.markdown([], [row("simclr", 0.84), row("moco", 0.79), row("byol", 0.805)])
    said = "Of 3 runs of 3 methods, 2 are above their untrained encoder by the linear probe; below it moco (-1.0); "
    assert said + "by less than a point byol (+0.5). More than raw pixels is told by byol, simclr." in page
    twice = [row("simclr", 0.84), row("simclr", 0.83, 1), row("byol", 0.805), row("byol", 0.78, 1), row("moco", 0.7, 1)]
    page = learnt.markdown([], twice)
    assert "Of 5 runs of 3 methods, 3 are above" in page
    assert "More than raw pixels is told by byol (in 1 of 2 runs), simclr." in page
    assert "On Fashion-MNIST" not in learnt.markdown([row("simclr", 0.84)], [])


def test_what_is_fine_tuned_has_a_table_beside_the_probes() -> None:
    def row(probe: str, frozen: float, warmer: float) -> dict[str, Any]:
        about = {"set": "stamps", "arm": "simclr", "minutes": 10.0, "seed": 0, "samples": 13_568, "drift": 0.4}
        told = {"probe": probe, "labels": warm.FEW}
        both = {"pretrained": frozen, "trained": warmer}
        gain = {**told, "gain": warmer - frozen, "low": 0.0, "high": 0.1}
        return {**about, "rows": [{**told, "features": name, "accuracy": both[name]} for name in both], "gains": [gain]}

    probed, tuned = row("linear", 0.7, 0.74), row("finetune", 0.6, 0.61)
    page = warm.markdown([probed], [tuned])
    assert page.startswith(warm.markdown([probed], []))
    assert page[len(warm.markdown([probed], [])) :].splitlines()[:2] == ["", "## stamps, finetune"]
    assert "| frozen public weights | | | | 70.0 |" in page and "| public weights | | | | 60.0 |" in page
    assert "| simclr | 10 | 13,568 | 0.40 | 61.0 (+1.0) |" in page


def test_a_run_that_goes_on_has_its_machine_in_its_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = SimpleNamespace(folder=tmp_path, status={"steps": 2, "seconds": 9.0, "health": {}}, recipe=SimpleNamespace())
    run.recipe.batch_size = 256
    judged = SimpleNamespace(rows=[], gains=[])
    stubs = {"made": run, "evaluate": judged, "samples": 512, "read_digests": [b""], "markdown": ""}
    for name, value in stubs.items():
        monkeypatch.setattr(warm, name, lambda *told, value=value, **how: value)
    monkeypatch.setattr(warm, "machine", lambda: {"processor": "a chip", "cores": 3})
    monkeypatch.setattr(warm, "TABLE", tmp_path / "warm.md")
    identity = {"set": "cifar10", "arm": "simclr", "minutes": 10.0, "seed": 0}
    kept = tmp_path / "rows.jsonl"
    warm.judge(
        identity, {"probe": "knn", "labels": "5"}, kept, tmp_path, SimpleNamespace(cifar10="images", runs=tmp_path)
    )
    (row,) = read_rows(kept)
    assert (row["samples"], row["processor"], row["cores"]) == (512, "a chip", 3)


def test_what_is_fine_tuned_beside_a_way_is_trained_once_for_all_that_go_on_from_the_same_weights() -> None:
    told = {"probe": "finetune", "labels": warm.FEW, "low": 0.2, "high": 0.4}
    rows = [{**told, "features": name, "accuracy": 0.3} for name in ("trained", "initial", "scratch", "pretrained")]
    tuned = [{"set": "stamps", "arm": "simclr", "minutes": 10.0, "seed": 0, "rows": rows}]
    about = {"set": "stamps", "arm": "byol", "minutes": 30.0, "seed": 0}
    assert [row.features for row in warm.known(about, tuned)] == ["initial", "scratch", "pretrained"]
    for other in ({"seed": 1}, {"set": "fashion"}, {"arm": warm.STUDENT}, {"arm": warm.NOTHING}):
        assert not warm.known({**about, **other}, tuned)
    student = [{**tuned[0], "arm": warm.STUDENT}]
    assert [row.features for row in warm.known({**about, "arm": warm.STUDENT}, student)] == [
        "initial",
        "scratch",
        "pretrained",
    ]
    assert not warm.known(about, student)


def test_the_loss_is_a_score_within_a_method_alone() -> None:
    def run(method: str, loss: float, lambd: float, right: float) -> dict[str, Any]:
        changes = {"method": {"name": method, "options": {"lambd": lambd}}}
        return {"method": method, "changes": changes, "final_terms": {"a": loss / 2, "b": loss / 2}, "health": {},
                "linear": {"trained": right}}  # fmt: skip

    alike = [run("lejepa", 1.0 + i, 0.05, 0.6 - i / 100) for i in range(6)]
    found = {"settings of lejepa": alike, "methods": [*alike, run("visreg", 9.0, 0.05, 0.9)]}
    lines = label_free.markdown(found).splitlines()
    assert next(line for line in lines if line.startswith("| loss |")).startswith("| loss | +1.00 ")
    assert next(line for line in lines if line.startswith("| loss |")).endswith("|  |")
    # Of losses that grow with lambda's 0.4th power alone, the one divided by it tells runs apart as they are.
    scaled = [run("lejepa", (6 - i) * lambd**0.4, lambd, i / 10) for i, lambd in enumerate((0.5, 0.01, 0.2, 0.9, 0.05))]
    tried = {score: label_free.correlation(scaled, score) for score in (label_free.LOSS, label_free.SCALED)}
    plain, divided = (measured[0] for measured in tried.values() if measured)
    assert divided == pytest.approx(1) and plain < 0.9
    assert np.isnan(label_free.worth_of({**run("simclr", 1, 1, 1), "changes": {}}, label_free.SCALED))


@pytest.mark.parametrize("method", ["lejepa", "simclr", "vicreg"])
def test_there_are_twenty_settings_of_each_method_to_vary(method: str) -> None:
    varied = label_free.settings(method)
    assert len(varied) >= 20
    for changes in varied.values():
        Pretrain.parse({"data": "images", "method": method, **changes})


def test_what_was_made_before_is_known_again_and_kept_once(tmp_path: Path) -> None:
    kept, views = tmp_path / "rows.jsonl", {"views": {"strong": {"crop": (0.5, 1.0)}}}
    add_row(kept, {"changes": views, "linear": 0.4})
    assert has_row(kept, {"changes": views}) and not has_row(kept, {"changes": {"views": {"strong": {"crop": (0, 1)}}}})
    for file in (learnt.ROWS, learnt.ON_FASHION, label_free.ROWS):
        rows = read_rows(file)
        ids = [[*(row[key] for key in learnt.IDENTITY), row.get("judging")] for row in rows]
        assert rows and not [row for row in ids if ids.count(row) > 1], file.name


def test_what_metadata_bring_is_the_difference_to_the_same_run_without() -> None:
    known = {"linear untrained": 0.2, "linear pixels": 0.3, "cast trained": 0.9, "samples a second": 900.0}
    rows = [
        {
            "set": "suppress",
            "told": asked,
            "seed": seed,
            "knn trained": 0.4 + gain,
            "linear trained": 0.5 + gain,
            **known,
        }
        for asked, gain in (({}, 0.0), ({"suppress": "cast"}, 0.05))
        for seed in (0, 1)
    ]
    page = metadata.markdown(rows)
    assert "| suppress | `--suppress cast` | 2 | 45.0 45.0 | 55.0 55.0 | 20.0 20.0 |" in page
    assert "suppress, `--suppress cast`: knn +5.0, linear +5.0 points, mean of 2 seed(s)." in page
    assert "points" not in metadata.markdown(rows[:2])
    for asked in (asked for one in metadata.SETS.values() for asked in one.told):
        assert Pretrain.parse({"data": "x", **metadata.SETTINGS, **asked}).columns


def test_a_gain_is_of_pairs_and_bold_where_it_is_beyond_luck() -> None:
    chance = [0.5, 0.9, 0.1, 0.7]  # which differ far more than what is gained
    found = selecting.gain([value + apart for value, apart in zip(chance, (0.02, 0.03, 0.02, 0.03))], chance)
    assert found["mean"] == 0.025 and 0.01 < found["low"] < 0.025 < found["high"] < 0.04
    assert selecting.shown(found) == "**+2.5 (+1.6 to +3.4)**"
    none = selecting.gain([0.6, 0.4, 0.6, 0.4], [0.5] * 4)
    assert none["mean"] == 0 and selecting.shown(none).startswith("+0.0 (-")
    strategies = {
        by: {str(count): {"accuracy": [0.8], "gain": found} for count in selecting.COUNTS} for by in selecting.BY
    }
    one = {"pool": 1297, "share": 0.9, "test": 500, "strategies": strategies, "told": selecting.TOLD["digits"]}
    assert "| 10 | 80.0 | **+2.5 (+1.6 to +3.4)** |" in selecting.markdown({"digits": one})


def test_planted_labels_are_summed_with_their_luck() -> None:
    found = {key: planted.summed([0.8, 0.9, 1.0]) for key in ("precision", "recall", "at_planted")}
    assert found["recall"] == {"mean": 0.9, "half": 0.2484}  # 4.303 deviations over the root of three
    held = {
        "steps": 1,
        "samples": 1797,
        "share": 0.05,
        "draws": 3,
        "features": {"trained": {"named": found["recall"], **found}},
    }
    assert "| this run | 1 | 90.0 ± 24.8 |" in planted.markdown(held) and "90 of the 1,797" in planted.markdown(held)


def kinds_row(name: str, method: str, trained: float, seed: int = 0) -> dict[str, Any]:
    accuracies = {"trained": trained, "untrained": 0.4, "pixels": 0.3, "usual": 0.8}
    rows = [
        {"probe": probe, "labels": labels, "features": features, "accuracy": accuracy}
        for probe in ("linear", "knn")
        for labels in ("2 per class", "all labels")
        for features, accuracy in accuracies.items()
    ]
    about = {"set": name, "method": method, "seed": seed, "told": kinds.SETS[name].told}
    return {**about, "samples": 50, "tested": 150, "rows": rows}


def test_the_best_methods_of_the_first_sets_go_on_to_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kinds, "ROWS", tmp_path / "rows.jsonl")
    methods = kinds.OF_SERIES.split(",")
    assert len(methods) == len(set(methods)) == 23 and set(methods) <= set(label_free.registry.places())
    rows = [
        kinds_row(name, method, (0.5 if name == "GunPoint" else 0.9) - place / 100, seed)
        for name in kinds.FIRST
        for place, method in enumerate(reversed(methods))
        for seed in (0, 1)
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert kinds.methods_of("GunPoint") == methods and kinds.methods_of("OSULeaf") == methods[:-6:-1]
    page = kinds.markdown(rows)
    assert f"| 2 per class | {methods[-1]} | 2 | 90.0 (90.0) | 40.0 (40.0) | 30.0 (30.0) | 80.0 (80.0) |" in page
    assert f"With all labels: `{methods[-1]}` stands above all that is beside it, by +10.0 points (linear)." in page
    assert f"`{methods[-1]}` comes nearest to the best beside it, with -30.0 points" in page


def test_photos_that_a_classifier_has_learnt_from_are_no_part_of_what_it_sorts_right(tmp_path: Path) -> None:
    said, labels = tmp_path / "sorted.csv", tmp_path / "labels.csv"
    labels.write_text("path,label\n0.jpg,cat\n1.jpg,dog\n")
    rows = ["0.jpg,cat,0.99", "1.jpg,dog,0.95", "2.jpg,cat,0.9", "3.jpg,dog,0.92", "4.jpg,cat,0.5", "5.jpg,dog,0.89"]
    said.write_text("\n".join(["path,predicted,probability", *rows]) + "\n")
    truth = {f"{number}.jpg": kind for number, kind in enumerate(("cat", "dog", "dog", "dog", "cat", "cat"))}
    found = journey.sorted_right(said, labels, truth)
    assert found == {"unlabelled": 4, "rest": 0.5, "sure": 2, "sure_right": 0.5}

    held = json.loads(journey.RESULT.read_text())
    page = journey.markdown({**held, **found})
    assert "Of the 4 photos without a label 50.0 % are sorted right, and of the 2 of which it is at least 90 %" in page
    assert "sorted right" not in journey.markdown({key: held[key] for key in held if key != "unlabelled"})
