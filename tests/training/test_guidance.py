"""Metadata in pre-training: who is related to whom, what is hidden and told, and that labels are none."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import selftaught
from selftaught.commands.cli import run_command
from selftaught.contracts.method import Data, Method
from selftaught.data.images.samples import open_samples
from selftaught.judging.told import leaks_of
from selftaught.methods.guided import Asked, Heads, guided
from selftaught.methods.objectives.guidance import of_known_classes, of_known_numbers, share_explained, share_right
from selftaught.reporting.check_page import lines
from selftaught.run.codes import read_codes
from selftaught.run.recipes import Pretrain
from selftaught.run.relations import Relation, relations, weighed
from selftaught.system import randomness
from selftaught.system.errors import DataError, UsageError
from selftaught.training.guidance import guidance_of, partners_of
from selftaught.training.job import arranged, build
from selftaught.training.resolve import open_data, resolve
from tests.methods.making import made
from tests.networks import HALVED

COUNT = 48
PIXELS = np.random.default_rng(0).integers(0, 256, (COUNT, 8, 8, 3), dtype=np.uint8)
CLASSES = np.array(["ant", "bee", "cat"])[np.random.default_rng(1).integers(3, size=COUNT)]
FACTS: dict[str, Any] = {
    "scanner": [f"s{row % 3}" if row > 4 else "" for row in range(COUNT)],
    "patient": [row // 4 for row in range(COUNT)],
    "time": [0.37 * row if row != 7 else float("nan") for row in range(COUNT)],
}
ASKED = {"groups": "patient", "positives": "same:patient", "suppress": "scanner:0.5", "predict": "time"}
FAST: dict[str, Any] = {
    **{"method": "simclr", "encoder": HALVED, "steps": 5, "batch_size": 8, "map": 0, "log_every": 1},
    **{"precision": "32-true", "layout": "contiguous", "checkpoint_every": "2"},
}


class NoStop:
    def poll(self) -> None:
        """Nothing stops it."""


def drawn(partners: Any, count: int, step: int = 0) -> np.ndarray:
    with randomness.at(0, step, slice(0, count)):
        return partners(np.arange(count))


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images with their metadata, and their classes, in one file."""
    file = tmp_path_factory.mktemp("data") / "images.npz"
    np.savez(file, x=PIXELS, y=CLASSES, **{name: np.array(cells) for name, cells in FACTS.items()})
    return file


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, stored: Path) -> selftaught.Run:
    return selftaught.pretrain(stored, out=tmp_path_factory.mktemp("whole") / "run", **ASKED, **FAST)


def weights(run: selftaught.Run) -> dict[str, torch.Tensor]:
    last = run.checkpoints / (run.checkpoints / "last").read_text().strip()
    return {f"{file.stem}/{k}": v for file in last.glob("*.safetensors") for k, v in load_file(file).items()}


def prepared(data: Any, **asked: Any) -> Any:
    """The samples of a recipe, and all that training makes of it."""
    recipe = Pretrain.parse({"data": str(data), **FAST, **asked})
    samples = open_data(recipe, NoStop())  # type: ignore[arg-type]
    plan = resolve(recipe, samples)
    return arranged(*build(plan, samples, None), plan, samples)


def test_a_partner_is_another_of_the_same_value_and_each_comes() -> None:
    codes = np.array([0, 1, 0, -1, 0, 1, -1], np.int32)
    partners = partners_of([codes], None, None)
    shown = np.stack([drawn(partners, 7, step) for step in range(60)])
    assert [sorted({*shown[:, row].tolist()}) for row in range(7)] == [[2, 4], [5], [0, 4], [3], [0, 2], [1], [6]]
    assert (partners.alone, partners.largest) == (2, 3)
    assert (shown == np.stack([drawn(partners, 7, step) for step in range(60)])).all()  # numbers have addresses
    with randomness.at(0, 3, slice(2, 5), 7):  # of another process
        assert (partners(np.arange(2, 5)) == shown[3][2:5]).all()


def test_a_partner_is_near_and_of_the_same_group() -> None:
    times = np.array([0.0, 5.0, 5.1, 10.0, 0.0, 100.0, np.nan, 4.9])
    near = partners_of([], times, 5.0)
    others = [sorted({int(drawn(near, 8, step)[row]) for step in range(60)}) for row in range(8)]
    assert others == [[1, 4, 7], [0, 2, 3, 4, 7], [1, 3, 7], [1, 2], [0, 1, 7], [5], [6], [0, 1, 2, 4]]
    group = np.array([0, 0, 1, 1, 0, 0, 0, 1], np.int32)
    both = partners_of([group], times, 5.0)
    assert [sorted({int(drawn(both, 8, s)[row]) for s in range(60)}) for row in (0, 2, 3, 7)] == [
        [1, 4],
        [3, 7],
        [2],
        [2],
    ]


def test_how_relations_and_columns_are_written() -> None:
    assert relations("same:patient,near:taken at:5") == [Relation("patient"), Relation("taken at", 5.0)]
    assert [tuple(one) for one in weighed("scanner:0.5,site")] == [("scanner", 0.5), ("site", 1.0)]
    for field, value in (
        ("positives", "tile"),
        ("positives", "near:time"),
        ("positives", "near:a:1,near:b:2"),
        ("suppress", "a:0"),
    ):
        with pytest.raises(UsageError, match=f"--{field} cannot be"):
            Pretrain.parse({"data": "x", field: value})
    with pytest.raises(UsageError, match="--metadata needs --groups, --positives, --suppress or --predict"):
        Pretrain.parse({"data": "x", "metadata": "facts.csv"}).refuse_idle()
    assert Pretrain.parse({"data": "x", **ASKED}).columns == ("patient", "scanner", "time")


def test_every_second_view_is_the_partners() -> None:
    levels = np.repeat(np.arange(COUNT, dtype=np.uint8)[:, None, None, None] * 5, 8, 1).repeat(8, 2).repeat(3, 3)
    with selftaught.data.sources.handed.handed(levels) as name:
        flat = {"jitter": 0.0, "grey": 0.0, "flip": 0.0, "crop": [1.0, 1.0]}
        views = {"global": {**flat, "scale": 1.0}, "local": flat}
        table = {"patient": FACTS["patient"]}
        with selftaught.data.sources.handed.handed(table, facts=True) as facts:
            job = prepared(name, method="dino", positives="same:patient", metadata=facts, views=views)
    rows = job.batches.rows(3)
    shown = [view.mean(dim=(1, 2, 3)) for view in job.batches(3)]
    own = [job.samples.views(("plain",))(torch.from_numpy(rows), *job.samples.batch(rows))[0].mean(dim=(1, 2, 3))]
    for place, view in enumerate(shown):
        gap = (view - own[0]) / (5 / 255 / job.samples.preparation.std[0])  # in samples
        assert (gap.round().abs() < 1).all() if place % 2 == 0 else ((gap.round().abs() >= 1) & (gap.abs() < 3.5)).all()
    patients = rows // 4
    assert len({*patients.tolist()}) == len(patients)  # and no batch holds two of one


def test_batches_of_few_are_those_of_one_process(stored: Path) -> None:
    job = prepared(stored, **ASKED)
    views = job.batches(4)
    assert [view.shape[1:] for view in views] == [(3, 8, 8)] * 3 + [(2,)]
    truth = views[-1]
    rows = job.batches.rows(4)
    assert truth[:, 0].isnan().tolist() == [not FACTS["scanner"][row] for row in rows]
    assert torch.equal(job.batches(4)[1], views[1])


def test_what_heads_are_asked_and_what_is_missing(stored: Path) -> None:
    samples = open_samples(stored)
    guidance = guidance_of(Pretrain.parse({"data": str(stored), **ASKED}), samples)
    assert guidance is not None and guidance.columns == ("patient", "scanner", "time")
    scanner, time = guidance.asked
    assert (scanner.classes, scanner.weight, time.classes) == (3, 0.5, 0)
    shares = np.bincount([row % 3 for row in range(5, COUNT)]) / (COUNT - 5)
    assert scanner.chance == pytest.approx(-(shares * np.log(shares)).sum())
    assert any("5 of 48 have none and are not asked" in line for line in guidance.lines)
    assert guidance.so is not None and guidance.so[:, 1].isnan().sum() == 1
    assert guidance.so[:, 1].nanmean().abs() < 1e-6


def test_what_is_unknown_counts_for_nothing() -> None:
    scores, classes = torch.randn(6, 3, requires_grad=True), torch.tensor([0, 2, -1, 1, -1, 0])
    known = classes >= 0
    wanted = torch.nn.functional.cross_entropy(scores[known], classes[known])
    torch.testing.assert_close(of_known_classes(scores, classes), wanted)
    assert share_right(scores, classes) == (scores[known].argmax(1) == classes[known]).float().mean()
    numbers = torch.tensor([1.0, float("nan"), -1.0])
    told = torch.tensor([1.0, 9.0, 0.0], requires_grad=True)
    loss = of_known_numbers(told, numbers)
    loss.backward()
    assert loss == 0.5 and told.grad is not None and told.grad.tolist() == [0.0, 0.0, 1.0]
    assert share_explained(told, numbers) == 0.5
    assert share_explained(told, numbers * float("nan")) == share_right(scores, torch.full((6,), -1)) == 0
    assert of_known_classes(scores, torch.full((6,), -1)) == of_known_numbers(told, numbers * float("nan")) == 0


def with_heads(asked: Asked) -> tuple[Method, Heads]:
    """A method with one head, and its heads alone."""
    method = guided(made("simclr"), [asked], Data(COUNT, (3, 32, 32), (0.5,) * 3, (0.25,) * 3))
    assert isinstance(method.helper, Heads)
    return method, method.helper


def test_the_gradient_is_turned_round_and_grows() -> None:
    slopes = []
    for purpose in ("predict", "suppress"):
        method, heads = with_heads(Asked("a", purpose, 2, 0.5, 9.0))  # type: ignore[arg-type]
        assert method.views == ("strong", "strong", "light") and heads.strength == 0
        method.after_step(1.0)
        features = torch.randn(8, 4 * heads.encoder.dim, generator=torch.Generator().manual_seed(0))
        z = features[:, : heads.encoder.dim].clone().requires_grad_()
        torch.manual_seed(5)
        for layer in heads.heads[0]:
            if isinstance(layer, torch.nn.Linear):
                layer.reset_parameters()
        terms = heads.terms(z, torch.tensor([[0.0], [1.0]]).repeat(4, 1))
        assert list(terms) == [f"{purpose} a"]
        terms[f"{purpose} a"].backward()
        assert z.grad is not None
        slopes.append(z.grad)
    torch.testing.assert_close(slopes[1], -slopes[0], rtol=1e-3, atol=1e-7)
    method.after_step(0.0)
    assert heads.strength == 0


def test_an_encoder_that_has_nothing_left_to_hide_is_left_alone() -> None:
    method, heads = with_heads(Asked("a", "suppress", 2, 1.0, 0.5))  # a chance below what any fresh head says
    method.after_step(1.0)
    z = torch.randn(8, heads.encoder.dim).requires_grad_()
    heads.terms(z, torch.tensor([[0.0], [1.0]]).repeat(4, 1))["suppress a"].backward()
    assert z.grad is not None and not z.grad.any()
    assert all(weight.grad is not None and weight.grad.any() for weight in heads.heads.parameters())


def test_a_run_writes_how_well_heads_do_and_ends_as_one_that_was_cut(
    whole: selftaught.Run, stored: Path, tmp_path: Path
) -> None:
    logged = whole.metrics()
    assert set(logged[-1]["terms"]) == {"nt_xent", "suppress scanner", "predict time"}
    assert (
        set(logged[-1]["measures"]) == {"suppress scanner accuracy", "predict time R2"} == set(whole.status["measures"])
    )

    def cut(step: Any) -> None:
        if step.step == 3:
            raise LookupError("cut")

    with pytest.raises(LookupError):
        selftaught.pretrain(stored, out=tmp_path / "run", on_step=cut, **ASKED, **FAST)
    run = selftaught.pretrain(stored, out=tmp_path / "run", resume=True)
    one, other = weights(whole), weights(run)
    assert one.keys() == other.keys() >= {"model/helper.heads.0.0.weight", "model/helper.strength"}
    assert not [name for name, tensor in one.items() if not torch.equal(tensor, other[name])]
    assert [line["measures"] for line in run.metrics()] == [line["measures"] for line in logged]
    assert not any("heads" in name for name in load_file(run.folder / "encoder/model.safetensors"))
    codes = read_codes(run.folder)
    assert codes is not None and codes.shape == (3, COUNT) and (codes[1] < 0).sum() == 5


def test_other_metadata_do_not_resume_a_run(whole: selftaught.Run, stored: Path) -> None:
    held = np.load(stored)
    other = stored.with_name("other.npz")
    np.savez(other, **{**held, "scanner": np.roll(held["scanner"], 1)})
    with pytest.raises(UsageError, match="cannot resume: the metadata say something else of patient, scanner, time"):
        selftaught.pretrain(other, out=whole.folder, resume=True)


def test_a_preview_of_a_guided_run_has_its_weights(whole: selftaught.Run, stored: Path, tmp_path: Path) -> None:
    assert run_command(["preview", str(stored), "--run", str(whole.folder), "--out", str(tmp_path / "a.png")]) == 0


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"method": "mae", "encoder": "test_vit", "positives": "same:patient"}, "mae does not just pull views"),
        ({"method": "deepcluster", "positives": "same:patient"}, "deepcluster does not just pull views"),
        ({"groups": "patient", "order": "blocks"}, "--groups arranges every epoch as a whole"),
        ({"suppress": "site"}, "no column 'site' .*there are: scanner, patient, time"),
        ({"suppress": "scanner", "predict": "scanner"}, "'scanner' stands twice"),
        ({"suppress": "y"}, "column 'y' of metadata is named as the labels .* labels never reach pre-training"),
        ({"positives": "near:scanner:2"}, "column 'scanner' holds no numbers or times"),
        ({"positives": "same:time"}, "no two samples are so related"),
        ({"suppress": "patient", "limit": 16}, "16 samples say who each is"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(asked: dict[str, Any], said: str, stored: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=said):
        selftaught.pretrain(stored, out=tmp_path / "run", **{**FAST, **asked})
    assert not (tmp_path / "run").exists()


def test_labels_by_another_name_are_refused_until_they_are_said_to_be_none(stored: Path, tmp_path: Path) -> None:
    file = tmp_path / "facts.csv"
    file.write_text("index,kind,half\n" + "".join(f"{row},k{one},{row % 2}\n" for row, one in enumerate(CLASSES)))
    asked = {"suppress": "kind", "metadata": str(file), "steps": 1}
    with pytest.raises(UsageError, match=r"'kind' of metadata parts images as its labels do, .*--label-column none"):
        selftaught.pretrain(stored, out=tmp_path / "run", **{**FAST, **asked})
    run = selftaught.pretrain(stored, out=tmp_path / "run", **{**FAST, **asked}, label_column="none")
    result = run.evaluate(stored, probe="knn", pretrained="none", repeats=1)
    assert result.leaks == ["kind"]
    assert "the labels tell 'kind', which pre-training learnt from" in result.verdict
    assert json.loads((run.folder / "evaluation.json").read_text())["leaks"] == ["kind"]
    assert run.finetune(stored, tmp_path / "classifier", finetune={"epochs": 0.1})["leaks"] == ["kind"]
    inside = {**FAST, "suppress": "kind", "metadata": str(run.folder / "facts.csv"), "label_column": "none"}
    file.rename(run.folder / "facts.csv")
    with pytest.raises(UsageError, match="facts"):  # which it would remove before it could be read
        selftaught.pretrain(stored, out=run.folder, overwrite=True, **inside)


def test_what_labels_do_not_tell_is_no_leak(whole: selftaught.Run, stored: Path) -> None:
    assert whole.evaluate(stored, probe="knn", pretrained="none", repeats=1).leaks == []


def test_each_of_several_labels_is_a_leak_by_its_name(whole: selftaught.Run) -> None:
    other: Any = SimpleNamespace(masks=None, sources=[], classes=[])  # samples that the run has not seen
    assert leaks_of(str(whole.folder), other, "wet, scanner") == ["scanner"]
    assert leaks_of(str(whole.folder), other, "wet,dry") == []


def test_a_file_of_metadata_is_found_out_where_it_is_wrong(stored: Path, tmp_path: Path) -> None:
    file, samples = tmp_path / "facts.csv", open_samples(stored)
    file.write_text("index,site\n" + "".join(f"{row},{'ab'[row % 2]}\n" for row in range(60)) + "3,b\n3,b\n")
    (site,) = samples.metadata(["site"], str(file))
    assert site.cells == ["ab"[row % 2] for row in range(COUNT)] and site.kind == "category"
    assert any("12 of the 62 lines" in note for note in samples.notes)
    for text, said in (
        ("index,site\n3,a\n3,b\n", "contradicts itself about '3'"),
        ("index,site\nx,a\ny,b\n", "names none of the 48 images by its column 'index'"),
        ("index,site\n3\n", "line 2 that is not empty has not as many cells"),
        ("index,site\n", "tells nothing of any sample"),
    ):
        file.write_text(text)
        with pytest.raises(DataError, match=said):
            samples.metadata(["site"], str(file))
    with pytest.raises(DataError, match="does not exist"):
        samples.metadata(["site"], str(tmp_path / "none.csv"))
    with pytest.raises(UsageError, match="metadata cannot be of type list"):
        selftaught.pretrain(stored, metadata=[1, 2], suppress="a", **FAST)


def test_check_shows_columns_with_what_is_missing(stored: Path) -> None:
    facts = {"when": [f"2024-01-{1 + row % 28:02}" for row in range(COUNT)], "site": ["a"] * 3 + [None] * 45}
    found = selftaught.check(stored, metadata=facts)
    told = {column.name: (column.kind, column.distinct, column.missing) for column in found.metadata or []}
    assert told["when"] == ("number", 28, 0) and told["site"] == ("category", 1, 45)
    assert told["scanner"] == ("category", 3, 5) and told["time"] == ("number", 47, 1)
    assert ("metadata", "site: 1 values; 45 missing") in lines(found)
    assert ("metadata", "time: 47 numbers, 0 to 17.39; 1 missing") in lines(found)
    assert selftaught.check(stored).metadata is None
