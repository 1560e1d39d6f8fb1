"""Rows of measurements: lines of JSON in a file below docs/results. More are added, and no value in one is changed."""

import json
from pathlib import Path
from typing import Any

from selftaught.judging.result import Evaluation
from selftaught.system.files import write_atomically

TOLD = {"features", "probe", "labels", "accuracy", "low", "high"}
GAINED = {"probe", "labels", "gain", "low", "high"}


def read_rows(file: Path) -> list[dict[str, Any]]:
    """Every row so far."""
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def as_kept(values: dict[str, Any]) -> dict[str, Any]:
    """Values as a row that is read again has them: what was a tuple is a list, and equal to no tuple."""
    kept: dict[str, Any] = json.loads(json.dumps(values))
    return kept


def find_row(file: Path, identity: dict[str, Any]) -> dict[str, Any] | None:
    """The first row with these values, if there is one."""
    identity = as_kept(identity)
    return next((row for row in read_rows(file) if _is(row, identity)), None)


def has_row(file: Path, identity: dict[str, Any]) -> bool:
    """Whether there is a row with these values."""
    return find_row(file, identity) is not None


def add_row(file: Path, row: dict[str, Any]) -> None:
    """One more row."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as stream:
        stream.write(json.dumps(row) + "\n")


def widen_row(file: Path, identity: dict[str, Any], more: dict[str, Any]) -> None:
    """What was measured later of the row with these values, which has none of it."""
    identity = as_kept(identity)
    rows = [row | more if _is(row, identity) else row for row in read_rows(file)]
    write_atomically(file, "".join(json.dumps(row) + "\n" for row in rows))


def _is(row: dict[str, Any], identity: dict[str, Any]) -> bool:
    return {name: row.get(name) for name in identity} == identity


def accuracies(result: Evaluation) -> list[dict[str, Any]]:
    """What each probe told of each kind of features, by so many labels, with intervals."""
    return [row.model_dump(include=TOLD) for row in result.rows]


def gains(result: Evaluation) -> list[dict[str, Any]]:
    """What each probe gained over the frozen weights."""
    return [gain.model_dump(include=GAINED) for gain in result.gains if gain.against == "pretrained"]
