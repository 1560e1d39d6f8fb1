"""Each notebook runs from its first cell to its last, shortened: fewer samples, one pass, a small network."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from sklearn.datasets import load_digits

from tests.networks import HALVED

FOLDER = Path(__file__).parents[1] / "docs/notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.py"))
SMALL = {"epochs": 1, "encoder": HALVED.model_dump()}
SERIES = {"epochs": 1, "spells": 120, "encoder": {"name": "dilated_conv", "options": {"width": 8, "depth": 2}}}


def few_digits() -> dict[str, Any]:
    """What the cells that open the digits define, of some of them."""
    digits = load_digits()
    images, labels = (digits.images * 15).astype("uint8"), digits.target
    parts = {"pictures": images[:300], "labels": labels[:300], "unseen": images[300:400], "truth": labels[300:400]}
    return {"digits": digits, "images": images, **parts}


def changes(name: str) -> dict[str, Any]:
    if name == "sensors":
        return SERIES
    if name == "odd_and_alike":  # its labels are made wrong in the same cell
        return SMALL
    return {**SMALL, **({"draws": 1} if name == "which_to_label" else {}), **few_digits()}


def test_there_are_eight() -> None:
    assert len(NOTEBOOKS) == 8


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_it_runs_to_its_end(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("marimo", reason="needs marimo: pip install 'selftaught[notebooks]'")
    monkeypatch.chdir(tmp_path)
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    outputs, defined = module.app.run(defs=changes(file.stem))
    assert len(outputs) >= 5 and defined["epochs"] == 1
    assert any((tmp_path / "runs" / file.stem).iterdir())
