"""A kind of data that nothing else knows of comes out right wherever it is asked what it is."""

import json
from pathlib import Path

import numpy as np
import pytest
from torch import nn

import selftaught
from selftaught.commands import flags, listing
from selftaught.commands.cli import run_command
from selftaught.contracts import modality
from selftaught.contracts.modality import DATA, NAMES
from selftaught.data import opening
from selftaught.judging.printed import table
from selftaught.judging.result import Evaluation
from selftaught.reporting.preview import preview
from selftaught.run.recipes import Encoders, Preview
from selftaught.system.errors import DataError, UsageError
from tests.data import signals

FAST = {"encoder": "spectrum", "steps": 2, "batch_size": 16, "precision": "32-true", "layout": "contiguous", "map": 48}


@pytest.fixture
def recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    signals.register(monkeypatch)
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    phase = np.where(np.arange(48)[:, None] % 2 == 0, 1, 3) * np.linspace(0, 6, 12)
    with (tmp_path / "some.signal").open("wb") as file:
        np.save(file, (np.sin(phase) + 0.1 * rng.normal(size=(48, 12))).astype(np.float32))
    return "some.signal"


def test_a_kind_of_data_is_a_folder() -> None:
    assert NAMES[0] == "images" and {"images", "tables"} <= set(NAMES)
    assert all((DATA / name / "preparation.py").is_file() for name in NAMES) and "sources" not in NAMES
    with pytest.raises(ValueError, match="there is no modality 'sources'"):
        modality.named("sources")


def test_it_is_trained_judged_and_handed_on_as_what_it_is(recording: str, capsys: pytest.CaptureFixture[str]) -> None:
    run = selftaught.pretrain(recording, method="simclr", out="run", **FAST)
    assert "48 signals of 12 values" in capsys.readouterr().err
    assert run.recipe.size is None and not (run.folder / "pictures.png").exists()
    assert (run.folder / "map/end.json").exists() and not (run.folder / "map/sheet.webp").exists()
    card, config = (run.folder / "encoder" / name for name in ("README.md", "config.json"))
    assert "- feature-extraction\n" in card.read_text() and "unlabelled signals" in card.read_text()
    told = json.loads(config.read_text())
    assert told["selftaught"]["modality"] == "signals" and "interpolation" not in told["pretrained_cfg"]
    found = run.evaluate(recording, probe="linear,knn", labels="100%", repeats=1)
    assert found.things == "signals" and "raw values" in found.verdict and "pixels" not in found.verdict
    assert "raw values" in [column.header for column in table(found).columns]
    assert run_command(["report", "run"]) == 0
    page = (run.folder / "report.html").read_text()
    assert "raw values" in page and "raw pixels" not in page and "raw columns" not in page
    assert run_command(["embed", "run", recording, "--out", "features.npz"]) == 0
    assert np.load("features.npz")["features"].shape == (48, 16)


def test_its_classifier_says_of_what_it_is(recording: str) -> None:
    run = selftaught.pretrain(recording, method="simclr", out="run", **FAST)
    assert run_command(["finetune", "run", recording, "--out", "clf", "--finetune.epochs", "1"]) == 0
    card = Path("clf/classifier/README.md").read_text()
    assert "- classification\n" in card and "# A classifier of signals" in card
    assert run_command(["predict", "clf", recording, "--out", "said.csv"]) == 0
    assert run.status["state"] == "done"


def test_what_is_for_images_refuses_it_by_its_name(recording: str) -> None:
    with pytest.raises(UsageError, match=r"rotation asks about images, and some\.signal holds signals"):
        selftaught.pretrain(recording, method="rotation", out="a")
    run = selftaught.pretrain(recording, method="simclr", out="run", **FAST)
    with pytest.raises(UsageError, match="no pre-trained encoders of signals are known"):
        run.evaluate(recording, pretrained="x.safetensors")
    with pytest.raises(UsageError, match="there is nothing to see in signals"):
        preview(Preview.parse({"data": recording, "encoder": "spectrum", "method": "simclr", "out": "p.png"}))


def test_it_is_listed_and_checked(recording: str) -> None:
    assert "spectrum" in listing.encoders(Encoders()) and listing.encoders(Encoders(pattern="spectr")) == ["spectrum"]
    assert {"finetune.light.noise", "finetune.light.crop", "finetune.light.corrupt"} <= set(flags.of_tuning({}))
    assert "views.strong.noise" in flags.of_parts({"data": recording})
    found = selftaught.check(recording)
    assert found.things == "signals" and found.labels == {"even": 24, "odd": 24}
    assert found.suggested and found.suggested.size is None and found.suggested.encoder == "spectrum"
    assert found.forecast and found.forecast.cache_bytes == 0


def test_scikit_learn_is_told_of_no_columns(recording: str) -> None:
    fitted = selftaught.SelfTaughtEncoder("simclr", encoder="spectrum", batch_size=16, epochs=1).fit(recording)
    assert not hasattr(fitted, "n_features_in_") and fitted.transform(recording).shape == (48, 16)


def test_a_network_of_ones_own_is_taken(recording: str) -> None:
    own = nn.Sequential(nn.Flatten(), nn.Linear(12, 8))
    run = selftaught.pretrain(recording, method="simclr", out="run", **{**FAST, "encoder": own})
    assert run.status["state"] == "done"
    with pytest.raises(UsageError, match=r"gives \(2, 1, 8\); of signals it must give \(B, D\)"):
        selftaught.pretrain(recording, method="simclr", out="b", **{**FAST, "encoder": nn.Linear(12, 8)})


def test_labels_limits_and_keys_are_one_and_the_same_for_all_kinds(recording: str) -> None:
    some = signals.open_samples(recording, labelled=True, limit=10)
    assert some.count == 10 and sorted(some.labels or []) == ["even"] * 5 + ["odd"] * 5
    part = some.subset(np.array([3, 1]))
    assert part.keys == [some.keys[3], some.keys[1]] and part.count == 2 and some.count == 10
    assert (part.batch(np.arange(2))[0] == some.batch(np.array([3, 1]))[0]).all()
    assert signals.open_samples(recording, limit=10).fingerprint != signals.open_samples(recording).fingerprint
    file = Path("labels.csv")
    file.write_text("signal,kind\nat 0,a\nat 1,b\n")  # a first line that names no sample holds the names of columns
    assert signals.open_samples(recording, labels=file, labelled=True).labels == ["a", "b"]
    file.write_text("at O,a\nat 1,a\n")  # but not where its label is a class: then it is a mistake
    with pytest.raises(DataError, match=r"1 of 2 lines in labels\.csv name none of the signals, such as 'at O'"):
        signals.open_samples(recording, labels=file)
    file.write_text("at 0,\n")
    with pytest.raises(DataError, match="recording has labels for none of its signals"):
        signals.open_samples(recording, labels=file, labelled=True)
    assert opening.labels_by_key(signals.Recording, recording)["at 2"] == "even"


def test_a_kind_of_somebody_elses_is_known_by_its_entry_point(
    recording: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.undo()  # it is not one of ours
    monkeypatch.chdir(tmp_path)
    facts = tmp_path / "site" / "theirs-1.0.dist-info"
    facts.mkdir(parents=True)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    points = [
        "tables = selftaught.data.tables:MODALITY",
        "signals = tests.data.signals:MODALITY",
        "series = tests.data.signals:MODALITY",
        "gone = nowhere:MODALITY",
    ]
    (facts / "entry_points.txt").write_text("\n".join(["[selftaught.modalities]", *points]))
    assert modality.of(recording).THINGS == "images"
    monkeypatch.syspath_prepend(tmp_path / "site")
    modality._plugins.cache_clear()
    try:
        assert modality.names() == (*NAMES, "signals") and modality.of(recording) is signals.MODALITY
        run = selftaught.pretrain(recording, method="simclr", out="run", **FAST)
        assert selftaught.load_encoder(run.folder).preparation.modality == "signals"
        assert "spectrum" in listing.encoders(Encoders())
    finally:
        modality._plugins.cache_clear()
    said = capsys.readouterr().err
    assert said.count("warning: the kind of data") == 3  # a plug-in takes no name away, and one that is broken no run
    assert "series is left out: ValueError: it must be called" in said and "gone is left out: ModuleNotFound" in said


def test_an_evaluation_of_no_known_kind_can_be_read() -> None:
    assert modality.raw_of("images") == "raw pixels" and modality.raw_of("rows") == "raw columns"
    assert modality.raw_of("melodies") == "raw values" and Evaluation.model_fields["things"].default == "images"
