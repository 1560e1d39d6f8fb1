"""What is done with runs of images is done with those of every other kind: compared, and watched as they go."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import selftaught
from selftaught.reporting.run_page import page_of
from selftaught.reporting.watch import HERE, SCRIPT, Live
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
