"""The door for files in text: bounded, held to a schema, and told in one line where it is refused."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from selftaught.run.plan import Way
from selftaught.run.records import BadStep, Line, Status
from selftaught.system.reading import csv_in, json_in, json_lines, json_object, yaml_in


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "Expecting value"),
        (b"\0" * 200, "Expecting value"),
        (b'{"state": "do', "Unterminated"),
        (b"[]", "it is no object"),
        (b"null", "it is no object"),
        (b"[" * 100_000, "nested too deeply"),
        (b"9" * 5000, "Exceeds the limit"),
        (b'{"state": 3}', "state: "),
        (b'{"steps": -1}', "steps: "),
        (b'{"health_at_start": 5}', "health_at_start: "),
        (b'{"health_at_start": {"rankme": 1}}', "no feature_spread"),
        (b'{"health_at_start": {"feature_spread": null}}', "health_at_start.feature_spread: "),
        (b'{"chance": NaN}', "chance: "),
        (b"\xff{}", "codec"),
    ],
)
def test_a_status_that_is_none_is_refused_in_one_line(content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "status.json").write_bytes(content)
    with pytest.raises(ValueError, match=said) as caught:
        json_object(tmp_path / "status.json", Status)
    assert "\n" not in str(caught.value)


def test_what_fits_is_given_as_it_was_written(tmp_path: Path) -> None:
    held = {"state": "done", "health_at_start": {"feature_spread": 1, "other": 2}, "of_a_plug_in": [1, {"a": None}]}
    (tmp_path / "status.json").write_text(json.dumps(held))
    assert json_object(tmp_path / "status.json", Status) == held
    assert json_object(tmp_path / "nowhere.json", Status) == {}
    (tmp_path / "choice.json").write_text('["32-true", "contiguous", "fused"]')
    assert Way(*json_in(tmp_path / "choice.json", Way)) == Way()
    for odd in ("5", "null", '["32-true", "contiguous", "evil"]', '["32-true", "contiguous", "fused", 1]'):
        (tmp_path / "choice.json").write_text(odd)
        with pytest.raises(ValueError):
            json_in(tmp_path / "choice.json", Way)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            "\n".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9 if n else ['1'] * 9)}]" for n in range(9)),
            "beyond measure",
        ),
        ("a: &a [*a]", "it holds itself"),
        ("[" * 5000, "nested too deeply"),
        ("- 1", "it must hold settings"),
        ("steps: 1\nlr: 2\nsteps: 3", "it says 'steps' twice, in lines 1 and 3: keep one"),
        ("views: {strong: {crop: 1,\n crop: 2}}", "it says 'crop' twice, in lines 1 and 2: keep one"),
        ("a: 1 " + "#" * (1 << 20), "more than 1,048,576 bytes"),
    ],
)
def test_settings_that_grow_or_are_none_are_refused_in_one_line(content: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(content)
    with pytest.raises(ValueError, match=said) as caught:
        yaml_in(tmp_path / "recipe.yaml")
    assert "\n" not in str(caught.value)


def test_what_is_brought_in_twice_is_not_said_twice(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text("a: &a {x: 1}\nb: &b {y: 2}\nc: {<<: *a, <<: *b, x: 3}\nd: [*a, *a]\n")
    assert yaml_in(tmp_path / "r.yaml")["c"] == {"x": 3, "y": 2}


def test_nothing_is_read_beyond_its_bound_through_a_link_or_from_a_pipe(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    file.write_text('{"a": "' + "x" * 100 + '"}')
    with pytest.raises(ValueError, match="more than 50 bytes"):
        json_in(file, limit=50)
    (tmp_path / "link.json").symlink_to(file)
    with pytest.raises(OSError, match="link"):
        json_in(tmp_path / "link.json")
    assert json_in(tmp_path / "link.json", links=True)
    os.mkfifo(tmp_path / "pipe.json")
    for reader in (json_in, yaml_in, csv_in):
        with pytest.raises(OSError, match="no regular file"):
            reader(tmp_path / "pipe.json")
    assert json_lines(tmp_path / "pipe.json") == ([], 0)


GOOD = {"step": 1, "loss": 0.5, "terms": {"a": None}, "health": {"feature_spread": 0.1}, "mean_loss": None}


@pytest.mark.parametrize(
    "bad",
    [
        {"a": 1},
        {"step": "x"},
        {"step": None},
        {"step": -1},
        {"step": 1, "loss": "x", "health": 3},
        {"step": 1, "health": {"x": "y"}},
        {"step": 1, "health": {"rankme": 1.0}},
        {"step": 1, "loss": float("nan")},
        {"step": 2**70},
        [],
        "step",
    ],
)
def test_lines_that_the_schema_does_not_allow_are_counted_and_left_out(bad: Any, tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in (GOOD, bad, {**GOOD, "step": 2})))
    lines, lost = json_lines(file, Line)
    assert [line["step"] for line in lines] == [1, 2] and lost == 1
    assert lines[0] == GOOD


def test_what_a_crash_leaves_of_the_last_line_is_no_lost_line(tmp_path: Path) -> None:
    file = tmp_path / "bad_batches.jsonl"
    whole = b'{"step": 1}\n'
    for rest in (b"", b'{"step": 2', b"\0" * 30, b"\0" * 30 + b"\n"):
        file.write_bytes(whole + rest)
        assert json_lines(file, BadStep) == ([{"step": 1}], 0)
    file.write_bytes(whole + b"\0" * 30 + whole)
    assert json_lines(file, BadStep) == ([{"step": 1}], 1)


def test_of_endless_lines_the_last_are_read(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    file.write_text("".join(f'{{"step": {step}}}\n' for step in range(1000)))
    assert [line["step"] for line in json_lines(file, Line, last=60)[0]] == [996, 997, 998, 999]
    assert len(json_lines(file, Line)[0]) == 1000
