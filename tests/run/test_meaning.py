"""What a classifier's scores mean, and how sure they are, in its page, its tables and other libraries' files."""

import csv
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from selftaught.data.images.encoders import build_encoder
from selftaught.data.images.preparation import Preparation
from selftaught.judging.predict import Predictions
from selftaught.run import agreeing
from selftaught.run.classifier import Calibrated, load_classifier, meaning_of, save_classifier
from selftaught.run.meaning import RANGE, Meaning
from selftaught.run.onnx import to_onnx
from selftaught.system.components import Part
from selftaught.system.errors import UsageError

SECONDS: dict[str, Any] = {"task": "number", "mean": 1.7e9, "deviation": 3.0, "margin": 2.5}  # since 1970


def classifier(**meaning: Any) -> Calibrated:
    torch.manual_seed(1)
    how: dict[str, Any] = {"low": 0, "high": 255, "mean": (0.4,) * 3, "std": (0.2,) * 3}
    preparation, part = Preparation(channels=3, size=(32, 32), **how), Part(name="test_resnet", options={})
    encoder = build_encoder(part, preparation).eval()
    encoder.preparation, encoder.part = preparation, part
    number = meaning.get("task") == "number"
    head = nn.Linear(encoder.dim, 1 if number else 2)
    return Calibrated(encoder, head, Meaning(**meaning), [] if number else ["a", "b"]).eval()


def page_of(folder: Path, **meaning: Any) -> str:
    save_classifier(classifier(**meaning), folder, {})
    assert meaning_of(folder) == Meaning(**meaning)
    return " ".join((folder / "README.md").read_text().split())


@torch.no_grad()
@pytest.mark.parametrize(("mean", "kind"), [(1.7e9, np.float64), (40.0, np.float32)])
def test_onnx_says_numbers_as_finely_as_the_network_and_how_far_off_they_are(
    mean: float, kind: type, tmp_path: Path
) -> None:
    import onnxruntime

    network = classifier(**{**SECONDS, "mean": mean, "chosen_by": 40})
    assert to_onnx(network, tmp_path / "m.onnx", "values") < 1e-5
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    about = session.get_modelmeta().custom_metadata_map
    assert [json.loads(about[name]) for name in ("margin", "task", "mean")] == [2.5, "number", [0.4] * 3]
    x = torch.randn(64, 3, 32, 32)
    (found,) = session.run(["values"], {"images": x.numpy()})
    exact = network.scores(x)[:, 0].double().numpy() * 3.0 + mean
    assert found.dtype == kind and np.abs(found - exact).max() < 1e-3 and np.ptp(exact) > 0.01
    assert np.abs(network(x).numpy() - exact).max() < 1e-3


@torch.no_grad()
def test_the_lines_of_a_page_say_large_numbers_as_finely(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = classifier(**SECONDS)
    save_classifier(network, tmp_path, {})
    block = re.search(r"```python\n(.*?)```", (tmp_path / "README.md").read_text(), re.DOTALL)
    assert block
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(block[1], names)
    x = torch.randn(8, 3, 32, 32)
    exact = network.scores(x)[:, 0].double() * 3.0 + 1.7e9
    for said in (names["values"](x), load_classifier(tmp_path)(x)):
        assert torch.allclose(said, exact, rtol=0, atol=1e-3)


@torch.no_grad()
@pytest.mark.parametrize(("off", "apart"), [(0.0, 0.0), (1e-5, 1e-5), (6.0, None)])
def test_a_file_whose_numbers_are_off_is_not_written_however_large_they_are(
    off: float, apart: float | None, tmp_path: Path
) -> None:
    network, file = classifier(**SECONDS), tmp_path / "m.bin"

    def read(made: Path) -> Any:
        return lambda samples: network(samples) + off

    def write(network: nn.Module, drawn: Any, made: Path) -> None:
        made.write_bytes(b"some")

    if apart is None:
        with pytest.raises(UsageError, match=r"outputs differ by .* of their range; not written"):
            agreeing.written(network, file, write, read, (2,), "other")
        assert not file.exists()
    else:
        assert agreeing.written(network, file, write, read, (2,), "other") == pytest.approx(apart / 3, abs=1e-6)
        assert file.exists()


@pytest.mark.parametrize(
    ("meaning", "number", "said"),
    [
        (SECONDS, 1_700_000_000.5, "1700000000.5"),
        (SECONDS, 1_700_000_003.0, "1700000003"),
        ({**SECONDS, "mean": 40.0, "deviation": 2.5}, 41.23456789, "41.23457"),
        ({**SECONDS, "mean": 0.0, "deviation": 2.5}, 0.0, "0"),
        ({**SECONDS, "mean": 5000.0, "deviation": 1e-3}, -5000.00012345, "-5000.0001234"),
        ({**SECONDS, "mean": 0.0, "deviation": 1e9}, 1.7e9, "1.7e+09"),
    ],
)
def test_a_number_shows_a_ten_thousandth_of_the_deviation(meaning: dict[str, Any], number: float, said: str) -> None:
    own = Meaning(**meaning)
    assert own.written(number) == said
    assert abs(float(own.written(number)) - number) <= 1e-4 * own.deviation


def test_numbers_of_a_table_and_their_intervals_stay_apart(tmp_path: Path) -> None:
    values = 1.7e9 + np.array([0.5, 1.25, 2.0])
    meaning = Meaning(**SECONDS)
    said = Predictions(["a", "b", "c"], [], np.empty((3, 0)), [], meaning=meaning, values=values)
    said.write(tmp_path / "p.csv")
    with (tmp_path / "p.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [float(row["predicted"]) for row in rows] == values.tolist()
    assert [float(row["low"]) for row in rows] == (values - 2.5).tolist()
    assert [float(row["high"]) for row in rows] == (values + 2.5).tolist()


def test_a_page_claims_calibrated_probabilities_only_where_enough_samples_chose_how_sure_they_are(
    tmp_path: Path,
) -> None:
    sound = "so that one says how often the answer is right"
    assert sound in page_of(tmp_path / "old", temperature=1.7)  # of which nobody knows
    assert sound in page_of(tmp_path / "many", temperature=1.7, chosen_by=20)
    few = page_of(tmp_path / "few", temperature=1.7, chosen_by=19)
    assert "the temperature, 1.7, was chosen by 19 samples alone: trust no probability of its" in few
    end = page_of(tmp_path / "end", temperature=math.exp(RANGE[1]), chosen_by=500)
    assert "stands at the end of its range: trust no probability of its" in end
    none = page_of(tmp_path / "none", chosen_by=0)
    assert "No labels were held out: its probabilities are not calibrated." in none
    assert all(sound not in page and "divided" not in none for page in (few, end, none))
    labels = page_of(tmp_path / "several", task="several", thresholds=(0.5, 0.5), chosen_by=0)
    assert "its probabilities are not calibrated" in labels and "`selftaught.thresholds` there" in labels


def test_a_page_says_which_share_of_numbers_the_margin_holds(tmp_path: Path) -> None:
    assert "about 95 % are no further off than 2.5" in page_of(tmp_path / "old", **SECONDS)
    assert "about 95 % are no further off than 2.5" in page_of(tmp_path / "many", **SECONDS, chosen_by=19)
    few = page_of(tmp_path / "few", **SECONDS, chosen_by=3)
    assert "about 75 % are no further off than 2.5, `selftaught.margin` there: 3 samples alone chose it." in few
    none = page_of(tmp_path / "none", **{**SECONDS, "margin": None}, chosen_by=0)
    assert "It is not known how far off it is." in none
