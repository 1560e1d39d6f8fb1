"""Pages of results, and what is told before a run, are what their rows make of them: nobody has written in them."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import continued
import false_claims
import few_labels
import journey
import kinds
import label_free
import learnt
import lecture
import metadata
import planted
import records
import scale
import segment
import selecting
import small
import tables
import warm
import warm_trials
from kept_rows import read_rows
from selftaught.system.measured import FILE

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "docs/results"
OTHERS = {"card_waits", "compared"}  # no pages of rows: a stand-in card's counts, a comparison whose runs nobody keeps


def of_json(name: str) -> Any:
    return json.loads((RESULTS / f"{name}.json").read_text())


def of_claims() -> dict[str, Any]:
    held = of_json("false_claims")
    return {"found": held["cells"], "trials": held["trials"]}


def of_records() -> str:
    older = (json.loads(file.read_text()) for file in (records.HOUR, records.PATCHES))
    return records.page(records.PAGE.read_text(), read_rows(records.ROWS), *older)


def of_scores() -> str:
    sets = {name: learnt.judged_today(read_rows(file)) for name, file in label_free.SETS.items()}
    return label_free.markdown(label_free.groups(sets, learnt.judged_today(read_rows(label_free.ROWS))))


MADE: dict[str, Callable[[], str]] = {
    "results/continued.md": lambda: continued.markdown(of_json("continued")),
    "results/false_claims.md": lambda: false_claims.table(**of_claims()),
    "results/journey.md": lambda: journey.markdown(of_json("journey")),
    "results/kinds.md": lambda: kinds.markdown(read_rows(kinds.ROWS)),
    "results/label_free.md": of_scores,
    "results/learns.md": lambda: learnt.markdown(read_rows(learnt.ROWS), read_rows(learnt.ON_FASHION)),
    "results/lecture.md": lambda: lecture.markdown(lecture.told(read_rows(lecture.ROWS))),
    "results/metadata.md": lambda: metadata.markdown(read_rows(RESULTS / "metadata.jsonl")),
    "results/planted.md": lambda: planted.markdown(of_json("planted")),
    "results/scale.md": lambda: scale.markdown(of_json("scale")),
    "results/segment.md": lambda: segment.markdown(of_json("segment")),
    "results/selecting.md": lambda: selecting.markdown(of_json("selecting")),
    "results/small.md": lambda: small.markdown(read_rows(small.ROWS)),
    "results/tables.md": lambda: tables.markdown(of_json("tables"), tables.EPOCHS),
    "results/warm.md": lambda: warm.markdown(read_rows(warm.ROWS), read_rows(warm.TUNED)),
    "results/warm_trials.md": lambda: warm_trials.markdown(read_rows(warm_trials.ROWS)),
    "lecture.svg": lambda: lecture.picture(lecture.told(read_rows(lecture.ROWS))),
    "records.md": of_records,
    "warm.svg": lambda: warm.picture(read_rows(warm.ROWS)),
}


@pytest.mark.parametrize("page", MADE)
def test_a_page_is_what_its_rows_make(page: str) -> None:
    assert (ROOT / "docs" / page).read_text() == MADE[page]()


def test_every_page_of_results_is_looked_at() -> None:
    assert {file.stem for file in RESULTS.glob("*.md")} == {Path(page).stem for page in MADE if "/" in page} | OTHERS


def test_what_is_told_before_a_run_is_what_the_rows_say(tmp_path: Path) -> None:
    small.tell_all(read_rows(small.ROWS), tmp_path / "measured.json")
    assert (tmp_path / "measured.json").read_text() == FILE.read_text()


def test_pages_say_in_how_many_circumstances_verdicts_were_drawn() -> None:
    told = f"in {len(of_json('false_claims')['cells'])} circumstances"
    assert all(told in (ROOT / "docs" / page).read_text() for page in ("judging.md", "design.md"))


def test_judging_says_of_few_labels_what_the_rows_come_to() -> None:
    page = " ".join((ROOT / "docs/judging.md").read_text().split())
    assert few_labels.lines(of_json("few_labels"))[-1] in page


def test_what_methods_keep_of_each_sample_is_the_same_number_on_each_page() -> None:
    reckoned = dict(scale.banked())
    assert all(reckoned.items() <= rows.items() for rows in of_json("scale").values())
    told = re.findall(r"`(\w+)_paper` \|.*? keeps (\d+) numbers", (RESULTS.parent / "scale.md").read_text())
    assert len(told) >= 4 and all(scale.kept(name) == int(numbers) for name, numbers in told)


@pytest.mark.parametrize("script", sorted((ROOT / "bench").glob("*.py")), ids=lambda script: script.stem)
def test_what_a_script_says_that_it_writes_is_there(script: Path) -> None:
    named = re.findall(r"docs/[\w/.-]+\.(?:jsonl?|md|svg|png)\b", script.read_text())
    assert [name for name in named if not (ROOT / name).exists()] == []
