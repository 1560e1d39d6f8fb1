"""Probes that learn a head on tokens or layers: what they compute, what they can read, and what they leave alone."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import selftaught
from selftaught.commands.python import Run
from selftaught.contracts.encoder import PADDING
from selftaught.data.images.encoders import build_encoder
from selftaught.data.images.samples import open_samples
from selftaught.data.text import MODALITY as TEXTS
from selftaught.judging import coarse, heads, inside
from selftaught.judging.heads import head_predict
from selftaught.judging.inside import as_one, scaled
from selftaught.judging.labelled import Labelled, Split
from selftaught.judging.probe import Exam
from selftaught.judging.probes.attentive import Attentive
from selftaught.judging.probes.layers import Weighted
from selftaught.judging.targets import targets_of
from selftaught.run.export import save_encoder
from selftaught.system.components import Part
from selftaught.system.errors import UsageError
from tests.data.text.writing import lines
from tests.judging.test_evaluate import stripes
from tests.judging.test_shown import run  # noqa: F401


def exam_of(y: np.ndarray, train: int) -> Exam:
    alone = np.arange(len(y))
    data = Labelled(None, None, y, ["0", "1"], alone, alone)  # type: ignore[arg-type]
    split = Split(0, alone[:train], alone[train:])
    return Exam(data=data, split=split, seed=0, tuning=None)  # type: ignore[arg-type]


def accuracy(make: type[nn.Module], values: torch.Tensor, y: np.ndarray, train: int, each: bool) -> float:
    exam = exam_of(y, train)
    said = head_predict(make, scaled(values, exam.split.train, each), exam)
    assert exam.chosen[0].keys() == {"lr", "weight_decay", "steps"}
    return float((said == y[exam.split.test]).mean())


def test_a_query_of_tokens_is_attention_as_it_is_usually_written() -> None:
    torch.manual_seed(0)
    head, x = Attentive(9, 128, 3), torch.randn(4, 9, 128)
    with torch.no_grad():
        head.query.normal_()
    usual = nn.MultiheadAttention(128, head.heads, batch_first=True)
    with torch.no_grad():
        usual.in_proj_weight.copy_(torch.cat([torch.eye(128), head.key.weight, head.value.weight]))
        usual.in_proj_bias.copy_(torch.cat([torch.zeros(256), head.value.bias]))
        usual.out_proj.load_state_dict(head.out.state_dict())
        gathered, _ = usual(head.query.expand(4, 1, 128), x, x)
        expected = head.classes(head.norm(head.query + gathered[:, 0]))
        assert head.heads == 2 and torch.allclose(head(x), expected, atol=1e-5)
        assert torch.allclose(head.attention(x).sum(dim=2), torch.ones(4, 2))


def test_the_attentive_probe_reads_what_a_mean_hides() -> None:
    """One token of sixteen is marked and has the class; the others say anything."""
    rng = np.random.default_rng(0)
    y, count = rng.integers(0, 2, 1500), np.arange(1500)
    x = rng.normal(size=(1500, 16, 8)).astype(np.float32)
    x[:, :, 0] = rng.choice([-1, 1], (1500, 16))
    marked = rng.integers(0, 16, 1500)
    x[count, marked, 0], x[count, marked, 1] = 2 * y - 1, 8
    values = torch.from_numpy(x)
    assert accuracy(Attentive, values, y, 1000, each=False) > 0.95
    assert accuracy(Weighted, values.mean(dim=1, keepdim=True), y, 1000, each=True) < 0.75


def test_the_probe_of_layers_finds_the_one_that_knows() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 900)
    x = rng.normal(size=(900, 4, 60)).astype(np.float32)
    x[:, 1, 0] += 3 * (2 * y - 1)
    x[:, 2] *= 100  # which are scaled by themselves, so that they drown nothing
    made: list[Weighted] = []

    class Seen(Weighted):
        def __init__(self, *shape: int) -> None:
            super().__init__(*shape)
            made.append(self)

    assert accuracy(Seen, torch.from_numpy(x), y, 600, each=True) > 0.85, "with all of them alike no more than 0.70"
    assert all(int(head.weights.argmax()) == 1 for head in made) and len(made) == len(heads.GRID)


@pytest.mark.parametrize("task", ["several", "number"])
def test_a_head_says_labels_and_numbers(task: str) -> None:
    """Two labels, or a number made of both, that one of three layers knows."""
    rng = np.random.default_rng(0)
    on = rng.random((600, 2)) < 0.5
    x = rng.normal(size=(600, 3, 8)).astype(np.float32)
    x[:, 2, 0] += 12.0 * on[:, 0]
    x[:, 2, 1] += 12.0 * on[:, 1]
    labels = [";".join(n for n, own in zip("ab", row) if own) or ";" for row in on]
    if task == "number":
        labels = [f"{500.5 + 10 * row[0] + 20 * row[1]}" for row in on]
    targets, alone = targets_of([labels], task), np.arange(600)
    data = Labelled(None, None, targets.strata, targets.names, alone, alone, targets=targets)  # type: ignore[arg-type]
    exam = Exam(data=data, split=Split(0, alone[:400], alone[400:]), seed=0, tuning=None)  # type: ignore[arg-type]
    said = head_predict(Weighted, scaled(torch.from_numpy(x), alone[:400], each=True), exam)
    if task == "several":
        assert said.shape == (200, 2) and ((said > 0.5) == on[400:]).mean() > 0.9
    else:
        assert said.shape == (200,) and np.abs(said - data.truth[400:]).mean() < 4


def test_a_head_sees_no_test_sample_uses_no_others_chance_and_says_the_same_again() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 120)
    x = torch.from_numpy(rng.normal(size=(120, 5, 6)).astype(np.float32)) + torch.from_numpy(y)[:, None, None]

    def said(values: torch.Tensor) -> tuple[list[int], list[dict]]:
        exam = exam_of(y, 80)
        return head_predict(Attentive, scaled(values, exam.split.train, False), exam).tolist(), exam.chosen

    state = torch.random.get_rng_state()
    first = said(x)
    assert torch.equal(state, torch.random.get_rng_state()) and said(x) == first
    other = x.clone()
    other[100:] = 7.0
    answers, chosen = said(other)
    assert answers[:20] == first[0][:20] and chosen == first[1]


def test_one_label_a_class_leaves_nothing_to_choose_by() -> None:
    y = np.array([0, 1, 0, 1])
    x = torch.from_numpy(2.0 * y - 1).float()[:, None, None].expand(4, 3, 4)
    exam = exam_of(y, 2)
    assert head_predict(Attentive, scaled(x, exam.split.train, False), exam).tolist() == [0, 1] and not exam.chosen


def test_parts_are_scaled_by_the_training_part() -> None:
    x = torch.randn(50, 3, 4) * torch.tensor([1.0, 10.0, 100.0])[:, None] + 5
    part = np.arange(40)
    whole, each = scaled(x, part, False).rows(part), scaled(x, part, True).rows(part)
    assert torch.allclose(whole.mean(dim=(0, 1)), torch.zeros(4), atol=1e-4)
    assert torch.allclose(each.mean(dim=0), torch.zeros(3, 4), atol=1e-4)
    assert torch.allclose(each.std(dim=0, correction=0), torch.ones(3, 4), atol=1e-4)
    pixels = as_one(np.array([[3.0, 0.0], [0.0, 4.0], [9.0, 9.0]], dtype=np.float32), np.arange(2)).rows(np.arange(2))
    assert pixels.shape == (2, 1, 2) and pixels.square().mean() == pytest.approx(1)


def test_what_holds_nothing_is_neither_looked_at_nor_scaled_by() -> None:
    rng, y = np.random.default_rng(0), np.arange(120) % 2
    there = torch.from_numpy(np.arange(6) < rng.integers(1, 7, 120)[:, None])
    x = torch.from_numpy(rng.normal(size=(120, 6, 4)).astype(np.float32)) + torch.from_numpy(y)[:, None, None]

    def made(padding: float, more: int) -> tuple[torch.Tensor, torch.Tensor]:
        values = x.masked_fill(~there[..., None], padding)
        return nn.functional.pad(values, (0, 0, 0, more), value=padding), nn.functional.pad(there, (0, more))

    def said(padding: float, more: int) -> np.ndarray:
        values, held = made(padding, more)
        return head_predict(Attentive, scaled(values, np.arange(80), False, held), exam_of(y, 80))

    assert (said(0.0, 0) == said(300.0, 40)).all() and (said(0.0, 0) == y[80:]).mean() > 0.7
    torch.manual_seed(0)
    head = Attentive(6, 4, 2)
    parts = [scaled(values, np.arange(80), False, held) for values, held in (made(0.0, 0), made(300.0, 40))]
    with torch.no_grad():
        few, more = (head(*own.shown(np.arange(120))) for own in parts)
        assert torch.allclose(few, more, atol=1e-5)
        looked = head.attention(*parts[1].shown(np.arange(120)))
    assert looked[:, :, 6:].max() == 0 and torch.allclose(looked.sum(dim=2), torch.ones(120, 1))


def test_the_tokens_of_texts_are_their_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = TEXTS.open_samples(f"text:{lines(tmp_path, 20)}")
    torch.manual_seed(0)
    encoder = TEXTS.build_encoder(Part(name=TEXTS.TOKEN_ENCODERS[0]), samples.preparation).eval()
    alone = np.arange(20)
    data = Labelled(samples, None, alone % 2, ["0", "1"], alone, alone)
    values, there = inside.tokens("trained", encoder, data)
    words = samples.batch(alone)[0][:, 0] != PADDING
    assert there is not None and torch.equal(there, words) and not there.all()
    monkeypatch.setattr(coarse, "MOST", values.numel() * 3)
    halved, held = inside.tokens("trained", encoder, data)
    assert held is not None and torch.equal(held, nn.functional.max_pool1d(words.float(), 2, ceil_mode=True) > 0)
    first = values[0][there[0]]
    assert torch.allclose(halved[0, 0], first[:2].mean(dim=0), atol=1e-5)
    if len(first) % 2:
        assert torch.allclose(halved[0, len(first) // 2], first[-1], atol=1e-5)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """One setting and a few steps: enough to see that all is wired."""
    monkeypatch.setattr(heads, "GRID", ((1e-2, 0.01),))
    monkeypatch.setattr(heads, "STEPS", 40)


def test_every_probe_judges_every_kind(run: Run, hasty: None, tmp_path: Path) -> None:  # noqa: F811
    train, test = stripes(tmp_path / "a.npz", 80, 1), stripes(tmp_path / "b.npz", 60, 2)
    result = run.evaluate(train, test, probe="attentive,layers", repeats=1)
    rows = {(row.probe, row.features): row.accuracy for row in result.rows}
    assert rows.keys() == {(p, f) for p in ("attentive", "layers") for f in ("trained", "untrained", "pixels")}
    assert rows["attentive", "trained"] > 0.8 and result.verdict.startswith("attentive, all labels")
    assert all(detail.chosen[0]["steps"] > 0 for detail in result.details)
    assert run.evaluate(train, test, probe="attentive,layers", repeats=1).rows == result.rows


def test_networks_without_tokens_have_places_and_no_layers(hasty: None, tmp_path: Path) -> None:
    train = stripes(tmp_path / "a.npz", 40, 1)
    images, part = open_samples(train), Part(name="test_resnet")
    save_encoder(build_encoder(part, images.preparation), part, images.preparation, tmp_path / "run/encoder", {})
    (tmp_path / "run/recipe.yaml").write_text("data: some\n")
    convolutional = Run(tmp_path / "run")
    assert len(convolutional.evaluate(train, probe="attentive", repeats=1).rows) == 3
    with pytest.raises(UsageError, match="--probe layers reads the blocks of a transformer, and the trained encoder"):
        convolutional.evaluate(train, probe="layers")
    wanted = {"data": str(train), "train": str(train), "encoder": "test_resnet", "out": tmp_path / "out"}
    with pytest.raises(UsageError, match="which test_resnet is not"):
        selftaught.compare(**wanted, methods="rotation", probe="layers")
    assert not (tmp_path / "out").exists()


def test_tokens_that_are_too_many_are_averaged_aloud(
    run: Run,  # noqa: F811
    hasty: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    train = stripes(tmp_path / "a.npz", 40, 1)
    seen: list[tuple[int, ...]] = []
    inner = inside.scaled
    monkeypatch.setattr("selftaught.judging.sources.scaled", lambda x, *how: seen.append(x.shape) or inner(x, *how))
    run.evaluate(train, probe="attentive", repeats=1)
    assert set(seen) == {(40, 17, 32)} and "averaged" not in capsys.readouterr().err
    seen.clear()
    monkeypatch.setattr(coarse, "MOST", 4 * 40 * 10 * 32)
    run.evaluate(train, probe="attentive", repeats=1)
    assert set(seen) == {(40, 5, 32)}, "a class token and four squares"
    assert "note: the tokens of 40 samples are averaged over 2 x 2, to fit in memory" in capsys.readouterr().err
