"""Rows from end to end: the same methods and commands as for images, unchanged."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import selftaught
from selftaught.commands.cli import run_command
from selftaught.data.tables.encoders import build_encoder
from selftaught.data.tables.samples import open_samples
from selftaught.system import randomness
from selftaught.system.components import Part
from selftaught.system.errors import UsageError
from selftaught.system.saying import say_once
from tests.methods.making import KINDS

PREPARATION = KINDS["tables"].preparation


def test_corrupted_cells_take_the_value_of_the_same_column_of_other_rows() -> None:
    samples = open_samples("sklearn:wine")
    rows = np.arange(64)
    views = samples.views(("plain", "strong", "strong", "index"), options={"strong": {"corrupt": 0.4}})
    with randomness.at(0, 0, slice(0, 64)):
        plain, a, b, index = views(torch.from_numpy(rows), *samples.batch(rows))
    changed = (a != plain).float().mean().item()
    assert 0.33 < changed <= 0.42 and not torch.equal(a, b) and index.tolist() == rows.tolist()
    for column in range(plain.shape[2]):
        assert np.isin(a[:, 0, column].numpy(), samples.values[:, 0, column]).all()
    with randomness.at(0, 0, slice(16, 32), 64):  # another process's share of the same batch
        part = views(torch.from_numpy(rows[16:32]), *samples.batch(rows[16:32]))
    assert torch.equal(part[1], a[16:32])


def test_a_size_does_nothing_and_that_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    say_once.cache_clear()
    how = {"size": 32, "steps": 1, "out": str(tmp_path / "run"), "resume": True}
    selftaught.pretrain("sklearn:wine", **how)
    assert "note: --size is for images and sound: rows are taken as long as they are\n" in capsys.readouterr().err
    again = selftaught.pretrain("sklearn:wine", **how)  # the same command goes on
    assert again.status["state"] == "done"


@pytest.mark.filterwarnings("error")
def test_a_number_too_far_off_for_the_network_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "first.csv").write_text("a,b\n1,5\n2,6\n3,8\n")
    (tmp_path / "later.csv").write_text("a,b\n1e300,5\n-1e300,6\n2,8\n")
    like = open_samples(tmp_path / "first.csv").preparation
    assert open_samples(tmp_path / "later.csv", like=like).values[:, 0, 0].tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"corrupt": 1.1}, "view strong option 'corrupt' cannot be 1.1: it is a share of the cells"),
        ({"noise": -1}, "view strong option 'noise' cannot be -1: it is a deviation, 0 or more"),
        ({"crop": 1}, "view strong has no option 'crop'"),
    ],
)
def test_bad_options_of_views_are_refused_by_name(options: dict[str, float], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        open_samples("sklearn:iris").views(("strong",), options={"strong": options})


def test_hidden_columns_do_not_reach_the_network_and_their_names_do() -> None:
    encoder = build_encoder(Part(name="ft_transformer", options={"width": 32}), PREPARATION).eval()
    x, other = torch.randn(2, 4, *PREPARATION.shape)
    keep = torch.tensor([[0, 2, 5]]).expand(4, -1)
    hidden = torch.ones(4, 6, dtype=torch.bool).scatter_(1, keep, False)
    mixed = torch.where(hidden[:, None], other, x)
    hole = torch.zeros(32)
    for chosen in ({"keep": keep}, {"hidden": hidden, "hole": hole}):
        a, b = encoder.tokens(x, **chosen), encoder.tokens(mixed, **chosen)
        assert torch.equal(a.patches, b.patches)
    blind = encoder.tokens(x, hidden=torch.ones(4, 6, dtype=torch.bool), hole=hole).patches[0]
    assert (blind[0] - blind[1]).abs().max() > 1e-3
    attend = torch.eye(6, dtype=torch.bool)
    alone = encoder.tokens(x, attend=attend).patches[:, 0]
    assert torch.allclose(
        alone, encoder.tokens(torch.where(torch.arange(6) == 0, x, other), attend=attend).patches[:, 0]
    )


def test_from_a_table_to_a_verdict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "run")
    command = ["pretrain", "sklearn:wine", "--method", "mae", "--steps", "4", "--encoder", "ft_transformer"]
    command += ["--encoder.width", "16", "--encoder.depth", "1", "--batch-size", "32", "--precision", "32-true"]
    assert run_command([*command, "--layout", "contiguous", "--out", out, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert set(told["health"]) >= {"feature_spread", "rankme", "alignment", "uniformity"}
    judge = ["evaluate", out, "--train", "sklearn:wine", "--probe", "knn,linear,finetune", "--labels", "5"]
    assert run_command([*judge, "--finetune.epochs", "2", "--repeats", "1", "--json"]) == 0
    judged = json.loads(capsys.readouterr().out)
    assert {row["features"] for row in judged["rows"]} == {"trained", "untrained", "pixels", "scratch"}
    assert "raw columns" in judged["verdict"]
    assert run_command(["embed", out, "sklearn:wine", "--out", str(tmp_path / "f.npz")]) == 0
    assert np.load(tmp_path / "f.npz")["features"].shape == (178, 16)
    assert run_command(["export", out]) == 0 and run_command(["report", out]) == 0
    encoder = selftaught.load_encoder(out)
    samples = open_samples("sklearn:wine", like=encoder.preparation)
    with torch.no_grad():
        again = encoder(samples.batch(np.arange(178))[0]).numpy()
    assert np.allclose(again, np.load(tmp_path / "f.npz")["features"], atol=1e-5)
    assert "selftaught.load_encoder" in (tmp_path / "run/encoder/README.md").read_text()


def test_image_methods_and_encoders_refuse_rows_with_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="rotation asks about images, and sklearn:wine holds rows"):
        selftaught.pretrain("sklearn:wine", method="rotation", out=str(tmp_path / "a"))
    with pytest.raises(UsageError, match="no encoder of rows named 'resnet18'"):
        selftaught.pretrain("sklearn:wine", encoder="resnet18", out=str(tmp_path / "b"))
    with pytest.raises(
        UsageError, match="mae needs an encoder that works on tokens, which mlp does not; try --encoder ft_"
    ):
        selftaught.pretrain("sklearn:wine", method="mae", encoder="mlp", out=str(tmp_path / "c"))
