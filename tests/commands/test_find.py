"""`find`: the nearest by exact cosines, of any kind of data, with features that are kept and known to be stale."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import selftaught
from selftaught.commands.cli import run_command
from selftaught.contracts.encoder import Encoder
from selftaught.judging.search import nearest
from selftaught.run.export import load_encoder, save_encoder
from selftaught.run.features import About, kept
from selftaught.run.graph import met
from selftaught.system.components import Part
from selftaught.system.errors import DataError, UsageError
from tests.commands.finding import lines, run_of
from tests.data.audio.tones import folder as tones
from tests.data.text.writing import lines as lines_of_text


def test_neighbours_are_those_of_all_pairs_in_whatever_parts_they_come() -> None:
    rng = np.random.default_rng(0)
    x, asked = (
        one / np.linalg.norm(one, axis=1, keepdims=True) for one in (rng.normal(size=(50, 6)), rng.normal(size=(3, 6)))
    )
    alike = x @ asked.T
    expected = [row for row in np.argsort(-alike.max(axis=1), kind="stable").tolist() if row not in (4, 7)][:8]
    for size in (1, 7, 50):
        near = nearest(asked, [x[start : start + size] for start in range(0, 50, size)], 8, [7, 4])
        assert near.rows.tolist() == expected and near.asked.tolist() == alike.argmax(axis=1)[expected].tolist()
        assert np.allclose(near.cosines, alike.max(axis=1)[expected])
    assert len(nearest(asked, [x], 80).rows) == 50


def test_a_sample_a_file_and_a_folder_can_be_asked_about(
    looking: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["find", str(looking), str(pictures), "--count", "7"]
    out, page = tmp_path / "near.csv", tmp_path / "near.html"
    assert run_command([*asked, "--like", "a/3.png", "--out", str(out), "--page", str(page), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["found"]
    assert {row["path"] for row in told} == {f"a/{n}.png" for n in range(8) if n != 3}  # and not itself
    assert [row["similarity"] for row in told] == sorted((row["similarity"] for row in told), reverse=True)
    assert [row["path"] for row in lines(out)] == [row["path"] for row in told]
    assert lines(out)[0]["like"] == "a/3.png" and page.read_text().count("data:image") == 8
    assert run_command([*asked, "--like", str(pictures / "a" / "3.png"), "--json"]) == 0  # where it lies
    assert json.loads(capsys.readouterr().out)["found"] == told
    shutil.copy(pictures / "b" / "0.png", tmp_path / "mine.png")
    assert run_command([*asked, "--like", str(tmp_path / "mine.png")]) == 0
    first, *more = capsys.readouterr().out.splitlines()
    assert first == "1.000  b/0.png" and all("  b/" in line for line in more)
    both = selftaught.find(looking, pictures, [tmp_path / "mine.png", "c/1.png"], count=15)
    assert {fact["like"] for fact in both.facts()} == {"mine.png", "c/1.png"} and "c/1.png" not in both.keys
    pixels = np.asarray(Image.open(pictures / "c" / "2.png"))[None]
    assert selftaught.find(looking, pictures, pixels, count=1).keys == ["c/2.png"]


def test_what_is_no_sample_is_told(
    looking: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(DataError, match=r"--like d/1\.png is no sample of pictures, whose first is a/0\.png"):
        selftaught.find(looking, pictures, "d/1.png")
    with pytest.raises(UsageError, match=r"--like cannot be .*: at least 1 is needed$"):
        selftaught.find(looking, pictures, [])
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(DataError, match=r"notes\.txt"):
        selftaught.find(looking, pictures, tmp_path / "notes.txt")
    assert run_command(["find", str(looking), str(pictures)]) == 2
    assert "--like is missing: selftaught find [OPTIONS] RUN DATA --like ..." in capsys.readouterr().err


def test_features_are_kept_and_known_to_be_stale(
    looking: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, index, run = tmp_path / "data", tmp_path / "index", tmp_path / "run"
    shutil.copytree(pictures, data)
    shutil.copytree(looking, run)
    first = selftaught.find(run, data, "a/0.png", count=5)
    assert selftaught.find(run, data, "a/0.png", count=5, index=index).facts() == first.facts()
    kept = np.load(index / "features.npy")
    assert kept.shape[0] == 24 and np.allclose(np.linalg.norm(kept, axis=1), 1, atol=1e-5)
    seen, before = [], Encoder.__call__
    monkeypatch.setattr(Encoder, "__call__", lambda self, x: (seen.append(len(x)), before(self, x))[1])
    assert selftaught.find(run, data, "a/0.png", count=5, index=index).facts() == first.facts()
    assert sum(seen) == 1  # the one that is asked about
    (data / "a" / "7.png").unlink()
    with pytest.raises(UsageError, match=r"is stale: .*data does not hold the 24 samples that it is of; --overwrite"):
        selftaught.find(run, data, "a/0.png", index=index)
    assert len(selftaught.find(run, data, "a/0.png", count=30, index=index, overwrite=True).keys) == 22
    encoder = load_encoder(run)
    next(encoder.parameters()).data.mul_(-1)
    save_encoder(encoder, encoder.part, encoder.preparation, run / "encoder", {})
    with pytest.raises(UsageError, match="is stale: its features are of another encoder"):
        selftaught.find(run, data, "a/0.png", index=index)
    again = selftaught.find(run, data, "a/0.png", index=index, overwrite=True)
    assert again.facts() == selftaught.find(run, data, "a/0.png").facts()


def test_a_graph_over_kept_features_finds_what_looking_at_all_does(
    looking: Path, pictures: Path, tmp_path: Path
) -> None:
    pytest.importorskip("usearch")
    index, like = tmp_path / "index", ["a/0.png", "b/3.png"]
    with pytest.raises(UsageError, match="--approximate follows a graph that --index keeps: name a folder"):
        selftaught.find(looking, pictures, like, approximate=True)
    exact = selftaught.find(looking, pictures, like, count=5, index=index).facts()
    assert not (index / "graph.usearch").exists()
    found = [selftaught.find(looking, pictures, like, count=5, index=index, approximate=True).facts() for _ in range(2)]
    assert found == [exact, exact]
    made = (index / "graph.usearch").stat().st_mtime_ns
    selftaught.find(looking, pictures, like, index=index, approximate=True)
    assert (index / "graph.usearch").stat().st_mtime_ns == made
    whole = (index / "graph.usearch").read_bytes()
    for content in (whole[:-40], b"no graph"):
        (index / "graph.usearch").write_bytes(content)
        with pytest.raises(DataError, match=r"graph\.usearch is damaged; --overwrite makes it anew"):
            selftaught.find(looking, pictures, like, index=index, approximate=True)
    again = selftaught.find(looking, pictures, like, count=5, index=index, approximate=True, overwrite=True)
    assert again.facts() == exact


def test_of_many_it_meets_few_and_misses_hardly_any(tmp_path: Path) -> None:
    pytest.importorskip("usearch")
    rng = np.random.default_rng(0)
    z = (rng.normal(size=(40, 32))[rng.integers(0, 40, 6000)] + rng.normal(size=(6000, 32))).astype(np.float32)
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    about = About(encoder="e", data="d", samples=len(z), dim=32)
    made = kept(tmp_path / "index", about, lambda: iter([z[:4000], z[4000:]]), False)
    told: list[int] = []
    found = 0
    for row in range(0, 6000, 300):
        rows = met(tmp_path / "index", about, made, z[row : row + 1], 20, lambda done, total: told.append(done))
        assert len(rows) == 80 and (np.diff(rows) > 0).all()
        found += int(np.isin(np.argsort(-(z @ z[row]))[:20], rows).sum())
    assert found >= 0.98 * 20 * 20 and told[-1] == 6000  # made once
    other = About(encoder="e", data="other", samples=len(z), dim=32)
    met(tmp_path / "index", other, made, z[:1], 5, lambda done, total: told.append(-done))
    assert told[-1] == -6000  # of other samples it is made anew


def test_an_index_that_is_damaged_or_somebodys_is_told(looking: Path, pictures: Path, tmp_path: Path) -> None:
    index = tmp_path / "index"
    index.mkdir()
    (index / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"holds other files, and no index of selftaught's; choose another --index"):
        selftaught.find(looking, pictures, "a/0.png", index=index, overwrite=True)
    assert [file.name for file in index.iterdir()] == ["mine.txt"]
    index = tmp_path / "own"
    selftaught.find(looking, pictures, "a/0.png", index=index)
    whole = (index / "features.npy").read_bytes()
    for content in (whole[:-40], b"no array", np.full(100, np.nan, "<f4").tobytes().join([whole[:128], whole[528:]])):
        (index / "features.npy").write_bytes(content)
        with pytest.raises(DataError, match=r"features\.npy is damaged; --overwrite makes it anew"):
            selftaught.find(looking, pictures, "a/0.png", index=index)
    (index / "index.json").write_text('{"encoder": 3}')
    with pytest.raises(UsageError, match=r"index\.json cannot be read"):
        selftaught.find(looking, pictures, "a/0.png", index=index)


def test_rows_and_series_are_found_likewise(tmp_path: Path) -> None:
    run = run_of(tmp_path / "rows", "sklearn:wine", Part(name="mlp"))
    found = selftaught.find(run, "sklearn:wine", "5", count=3)
    assert len(found.keys) == 3 and "5" not in found.keys and found.facts()[0]["similarity"] > 0.5
    t = np.linspace(0, 1, 22)
    waves = np.stack([np.sin(2 * np.pi * (2 + 3 * (n % 2)) * t + n) for n in range(20)])
    np.savez(tmp_path / "waves.npz", x=waves[:, None])
    np.savez(tmp_path / "mine.npz", x=waves[3:4, None])
    data, mine = (f"series:{tmp_path / name}.npz" for name in ("waves", "mine"))
    run = run_of(tmp_path / "series", data, Part(name="dilated_conv", options={"depth": 2, "width": 8, "dim": 16}))
    found = selftaught.find(run, data, mine, count=1)
    assert found.facts()[0]["similarity"] == pytest.approx(1, abs=1e-4) and found.near.rows[0] == 3


def test_a_name_that_is_nothing_is_told_of_any_kind(pictures: Path, looking: Path, tmp_path: Path) -> None:
    small = {"depth": 1, "width": 8, "dim": 16}
    np.savez(tmp_path / "waves.npz", x=np.random.default_rng(0).normal(size=(20, 1, 24)))
    series = f"series:{tmp_path / 'waves.npz'}"
    text = str(lines_of_text(tmp_path))
    sound = str(tones(tmp_path / "sound", 4))
    runs = {
        str(pictures): looking,
        "sklearn:wine": run_of(tmp_path / "rows", "sklearn:wine", Part(name="mlp")),
        series: run_of(tmp_path / "series", series, Part(name="dilated_conv", options=small)),
        text: run_of(tmp_path / "text", text, Part(name="text_tiny")),
        sound: run_of(tmp_path / "heard", sound, Part(name="resnet10t")),
    }
    for data, run in runs.items():
        for name in ("999", "d/1.png"):
            with pytest.raises(DataError, match=rf"^--like {name} is no sample of .*, whose first is .*, and no file$"):
                selftaught.find(run, data, name)
    for name in ("sklearn:digits", str(pictures), "train-{0..3}.tar", str(pictures / "a" / "0.png")):
        with pytest.raises(UsageError, match=r"takes rows, and .* is taken for images$"):
            selftaught.find(runs["sklearn:wine"], "sklearn:wine", name)


def test_the_name_of_a_whole_stands_for_its_parts(tmp_path: Path) -> None:
    t = np.arange(96.0)
    made = [np.sin(t / (2 + number)) for number in range(4)]
    for number, wave in enumerate(made):
        (tmp_path / "logs").mkdir(exist_ok=True)
        np.save(tmp_path / "logs" / f"{number}.npy", wave[None])
    data = f"series:{tmp_path / 'logs'}"
    options = {"depth": 1, "width": 8, "dim": 16}
    run = run_of(tmp_path / "run", data, Part(name="dilated_conv", options=options), window=24)
    for name in ("2.npy", str(tmp_path / "logs" / "2.npy")):
        found = selftaught.find(run, data, name, count=30)
        assert found.asked[0].keys == [f"2.npy[{start}:{start + 24}]" for start in range(0, 96, 24)]
        assert len(found.keys) == 12 and not any(key.startswith("2.npy") for key in found.keys)
