"""What is done with runs of images is done with those of every other kind: compared, and watched as they go."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import selftaught
from selftaught.contracts import modality
from selftaught.judging import predict
from selftaught.judging.watching import refuse_other
from selftaught.reporting.run_page import page_of
from selftaught.reporting.watch import HERE, SCRIPT, Live
from selftaught.run.export import load_encoder
from selftaught.run.recipes import Pretrain
from selftaught.system.components import Part
from selftaught.system.errors import UsageError
from tests.commands.finding import run_of
from tests.data.audio.tones import folder
from tests.data.series.rockets import with_aeon
from tests.data.series.writing import waves
from tests.data.text.writing import lines
from tests.methods.making import OF_SERIES, OF_TEXTS


def tones(place: Path) -> str:
    return str(folder(place / "tones"))


def sentences(place: Path) -> str:
    return str(lines(place))


KINDS: dict[str, tuple[Callable[[Path], str], Any, dict[str, Any], str]] = {
    "series": (waves, OF_SERIES, {}, "MiniRocket"),
    "text": (sentences, OF_TEXTS, {}, "TF-IDF"),
    "audio": (tones, {"name": "test_resnet"}, {"size": [16, 24]}, "MFCC"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_methods_are_compared_and_a_run_is_watched(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_aeon(monkeypatch)
    written, encoder, more, baseline = KINDS[kind]
    if kind == "audio":
        pytest.importorskip("soundfile")
    data = written(tmp_path)
    found = selftaught.compare(
        data,
        ["simclr", "vicreg"],
        encoder=encoder if isinstance(encoder, dict) else encoder.model_dump(),
        epochs=1,
        seeds=1,
        rungs=1,
        train=data,
        out=str(tmp_path / "compared"),
        **more,
    )
    assert {place.method for place in found.ranking} == {"simclr", "vicreg"} and baseline in found.verdict
    assert {place.usual is not None for place in found.ranking} == {kind == "series"}
    assert "vicreg" in (tmp_path / "compared" / "comparison.html").read_text()
    run = next((tmp_path / "compared" / "runs").iterdir())
    shown = page_of([run], live=Live("1", 1.0, HERE, SCRIPT))
    assert 'id="live"' in shown and run.name in shown


def test_a_name_that_does_not_say_its_kind_is_told_how_it_would(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("logs").mkdir()
    rng = np.random.default_rng(0)
    for number in range(4):
        cells = "\n".join(f"{a:.3f},{b:.3f}" for a, b in rng.normal(size=(20, 2)))
        Path(f"logs/{number}.csv").write_text(f"u,v\n{cells}\n")
    run = run_of(tmp_path / "run", "series:logs", Part(name="dilated_conv", options={"width": 8, "depth": 2}))
    encoder = load_encoder(run)
    classifier = SimpleNamespace(preparation=encoder.preparation, classes=["a", "b"], task="classes")
    classifier.to = lambda device: classifier
    monkeypatch.setattr(predict, "load_classifier", lambda *args: classifier)
    way = "; if it holds series, name it series:logs$"
    takes = "takes series, and logs is taken for images" + way
    with pytest.raises(UsageError, match="^the encoder of .*run " + takes):
        selftaught.odd(run, "logs")
    with pytest.raises(UsageError, match="^the encoder of .*run " + takes):
        selftaught.evaluate(run, train="logs")
    with pytest.raises(UsageError, match="^the classifier " + takes):
        selftaught.predict("classifier", "logs")
    with pytest.raises(
        UsageError, match=r"takes series, and logs/0\.csv holds rows; if .*, name it series:logs/0\.csv$"
    ):
        selftaught.odd(run, "logs/0.csv")
    with pytest.raises(UsageError, match=r"takes series, and sklearn:wine holds rows$"):  # which no name makes series
        selftaught.odd(run, "sklearn:wine")
    with pytest.raises(UsageError, match="takes series, and audio:logs holds clips" + way):
        selftaught.embed(run, "audio:logs", "f.npz")
    assert len(np.load(selftaught.embed(run, "logs", "f.npz"))["keys"]) == 4  # as the encoder's kind, as ever
    with pytest.raises(UsageError, match=r"logs is taken for images, and the run learns from series; if .*:logs; name"):
        refuse_other(Pretrain.parse({"data": "series:logs", "watch_labels": "logs"}), modality.named("series"))
