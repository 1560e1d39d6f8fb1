"""Rankings: noise from seeds and test samples, the ranks it leaves open, and what is said of them."""

import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from selftaught.judging.accuracy import wilson
from selftaught.judging.comparison import Comparison, Place, Ran, Rung
from selftaught.judging.estimates import Estimate, Measure, estimates, tukey
from selftaught.judging.ranking import notes, ranked, table, verdict, with_interval
from selftaught.judging.result import Row
from selftaught.reporting.charts import BOTTOM, HEIGHT, TOP
from selftaught.reporting.compare_page import write_page
from selftaught.system.components import Part
from tests.reporting.test_run_page import Page

LINEAR, RANKME = Measure("linear", True), Measure("rankme", False)
EVIL = "<img src=x onerror=alert(1)>"


def ran(method: str, accuracy: float, seed: int = 0, rung: int = 1, half: float = 0.0, **more: Any) -> Ran:
    rows = [
        Row(features=kind, probe="linear", labels="all", accuracy=a, low=a - half, high=a + half, repeats=1)
        for kind, a in (("trained", accuracy), ("untrained", 0.3), ("pixels", 0.25))
    ]
    facts = {"encoder": Part(name="resnet18"), "tokens": False, "run": f"runs/{method}", "state": "done"}
    facts |= {"judged": rows, "seconds": 60.0 * rung, "samples": 1000, "health": {"rankme": 100 * accuracy}}
    return Ran(**{**facts, "method": method, "seed": seed, "rung": rung, **more})


def ends(estimate: Estimate) -> tuple[float, float]:
    """How far the interval of an estimate reaches below and above what is shown."""
    low, high = estimate.interval
    return estimate.shown - low, high - estimate.shown


def failure(method: str, reason: str) -> Ran:
    return ran(method, 0, state="failed", reason=reason, exit_code=4, judged=[])


def test_the_interval_joins_test_samples_and_the_spread_of_all_seeds() -> None:
    runs = [ran("simclr", 0.60, 0, half=0.01), ran("simclr", 0.62, 1, half=0.01)]
    runs += [ran("byol", 0.50, 0, half=0.02), ran("byol", 0.54, 1, half=0.02)]
    found = estimates(runs, 1, LINEAR)
    assert list(found) == ["simclr", "byol"] and found["simclr"].value == pytest.approx(0.61)
    pooled = math.sqrt((0.0002 + 0.0008) / 2)  # sums of squares over two degrees of freedom
    seeds = 4.303 * pooled / math.sqrt(2)  # Student's factor for two
    assert ends(found["simclr"]) == pytest.approx((math.hypot(0.01, seeds),) * 2, rel=1e-3)
    assert ends(found["byol"]) == pytest.approx((math.hypot(0.02, seeds),) * 2, rel=1e-3)
    more = [*runs, ran("dino", 0.4, 0, rung=2), ran("dino", 0.4, 1, rung=2)]  # another rung tells of the spread, too
    assert ends(estimates(more, 1, LINEAR)["simclr"]) < ends(found["simclr"])
    assert ends(estimates(runs[::2], 1, LINEAR)["simclr"]) == pytest.approx((0.01, 0.01))  # one seed tells nothing


def of_so_many(method: str, right: int, count: int, seed: int = 0) -> Ran:
    """A run that has so many of the test samples right, with Wilson's interval of that."""
    low, high = wilson(right / count, count)
    single = ran(method, right / count, seed)
    rows = [row.model_copy(update={"low": low, "high": high, "samples": count}) for row in single.judged]
    return single.model_copy(update={"judged": rows})


def test_an_interval_at_the_end_of_what_can_be_lies_on_one_side(tmp_path: Path) -> None:
    alike = [of_so_many(method, 12, 12) for method in ("simclr", "byol")]  # Wilson: 12 of 12 are 75.7 to 100
    places = ranked(alike, LINEAR)
    assert (places[0].point.low, places[0].point.high) == pytest.approx((12 / (12 + 1.96**2), 1), abs=1e-4)
    assert with_interval(places[0].point, LINEAR) == "100.0 (75.7 to 100.0)"
    assert "leads with 100.0 (75.7 to 100.0)" in verdict(places, LINEAR)
    found = comparison(alike, LINEAR)
    assert "100.0 (75.7 to 100.0)" in [*table(found).columns[3].cells]
    write_page(found, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "100.0 (75.7 to 100.0)" in page and "simclr: 100 (95 %: 75.75 to 100)" in page and "87.9" not in page
    none = ranked([of_so_many("simclr", 0, 12)], LINEAR)[0].point
    assert (none.low, none.high) == pytest.approx((0, 1.96**2 / (12 + 1.96**2)), abs=1e-4)
    twice = [of_so_many("simclr", 12, 12, 0), of_so_many("simclr", 11, 12, 1)]  # the luck of seeds may be either way
    luck, down = 12.706 / 12 / 2, ((1 - 0.7575) + (11 / 12 - wilson(11 / 12, 12)[0])) / 2
    assert ends(estimates(twice, 1, LINEAR)["simclr"])[0] == pytest.approx(math.hypot(luck, down), abs=1e-3)


def test_the_ends_of_a_value_that_is_drawn_in_go_along() -> None:
    runs = [of_so_many("simclr", 12, 12), of_so_many("byol", 11, 12), of_so_many("mae", 12, 12)]
    places = {place.method: place.point for place in ranked(runs, LINEAR)}
    assert places["simclr"].measured == 1 and places["simclr"].value == pytest.approx(35 / 36)
    assert places["simclr"] == places["mae"] and places["byol"].low == pytest.approx(places["mae"].low)
    lows, highs = zip(wilson(1, 12), wilson(11 / 12, 12), wilson(1, 12))
    assert (places["mae"].low, places["mae"].high) == pytest.approx((sum(lows) / 3, sum(highs) / 3))


def test_no_share_is_said_to_be_more_than_all() -> None:
    assert with_interval(ranked([of_so_many("simclr", 997, 1000)], LINEAR)[0].point, LINEAR) == "99.7 (99.1 to 99.9)"
    near = ranked([ran("simclr", 0.999, half=0.004)], LINEAR)[0].point
    assert with_interval(near, LINEAR) == "99.9 (99.5 to 100.0)"


def test_who_came_further_is_before_who_was_dropped() -> None:
    runs = [ran("mae", 0.2), ran("byol", 0.6), ran("simclr", 0.5), ran("simclr", 0.55, rung=2), ran("mae", 0.1, rung=2)]
    places = ranked(runs, LINEAR)
    assert [(place.method, place.point.rung, place.rank) for place in places] == [
        ("simclr", 2, 1),
        ("mae", 2, 2),
        ("byol", 1, 3),
    ]
    assert [point.minutes for point in places[0].points] == [1, 2]
    assert places[0].family == "contrastive" and places[0].untrained == 0.3


def twice(method: str, accuracy: float, **more: Any) -> list[Ran]:
    """Two seeds, a point apart."""
    return [ran(method, accuracy + 0.005, 0, **more), ran(method, accuracy - 0.005, 1, **more)]


def test_noise_leaves_ranks_open() -> None:
    runs = [*twice("simclr", 0.6, half=0.03), *twice("byol", 0.58, half=0.03), *twice("mae", 0.4, half=0.03)]
    assert [(place.first, place.last) for place in ranked(runs, LINEAR)] == [(1, 2), (1, 2), (3, 3)]
    said = verdict(ranked(runs, LINEAR), LINEAR)
    how = "linear accuracy, measured 60.0, and drawn to the others by what is luck"
    assert said == f"simclr leads with 59.8 ± 3.4 ({how}); too close to call: byol 57.9 ± 3.4"
    sure = ranked([*twice("simclr", 0.6, half=0.01), *twice("byol", 0.5, half=0.01)], LINEAR)
    assert verdict(sure, LINEAR).endswith("clearly ahead of byol")


def test_all_ranks_hold_together() -> None:
    two = [*twice("simclr", 0.6, half=0.03), *twice("byol", 0.54, half=0.03)]
    assert ranked(two, LINEAR)[1].first == 2
    many = ("mae", "dino", "moco", "swav", "vicreg", "barlow_twins", "rotation", "jigsaw")
    more = [each for name in many for each in twice(name, 0.54, half=0.03)]
    places = ranked([*two, *more], LINEAR)
    assert {place.first for place in places} == {1} and places[0].last == 10  # of ten, one is 6 points ahead by luck
    # Tables of the studentised range have 3.314 for three of whose error all is known, 4.339 for three by 6 degrees.
    assert tukey(3, 0) == pytest.approx(3.314 / 2**0.5, rel=1e-3)
    assert tukey(3, 6) == pytest.approx(4.339 / 2**0.5, rel=1e-3)


def test_a_single_seed_puts_nobody_ahead() -> None:
    places = ranked([ran("simclr", 0.9, half=0.01), ran("byol", 0.5, half=0.01)], LINEAR)
    assert [(place.first, place.last) for place in places] == [(1, 2), (1, 2)]
    said = verdict(places, LINEAR)
    assert "not clearly better than untrained 30.0 and raw pixels 25.0; too close to call: byol" in said


def test_a_leader_that_learnt_nothing_is_not_praised() -> None:
    rows = verdict(ranked(twice("simclr", 0.25), LINEAR), LINEAR, "rows")
    assert "which is lower than untrained 30.0 by what may be luck and not clearly better than raw columns 25.0" in rows
    close = verdict(ranked(twice("simclr", 0.28), LINEAR), LINEAR)
    assert "which is lower than untrained 30.0 by what may be luck and not clearly better than raw pixels" in close
    (worse,) = ranked([ran("simclr", 0.1, seed, half=0.01) for seed in (0, 1)], LINEAR)
    assert "which is clearly worse than untrained 30.0 and raw pixels 25.0" in verdict([worse], LINEAR)
    better = ranked(twice("simclr", 0.6, half=0.01), LINEAR)
    assert verdict(better, LINEAR) == "simclr leads with 60.0 ± 6.4 (linear accuracy)"
    over = {gain.against: gain for gain in better[0].over}
    assert over["untrained"].gain == pytest.approx(0.3) and 0 < over["untrained"].low < over["pixels"].low
    many = [each for name in ("byol", "mae", "dino", "moco") for each in twice(name, 0.6, half=0.01)]
    apart = ranked([*twice("simclr", 0.6, half=0.01), *many], LINEAR)[0].over[0]
    assert apart.high - apart.gain < over["untrained"].high - over["untrained"].gain  # more is known of the seeds


def test_what_is_usual_of_a_kind_of_data_stands_beside_methods(tmp_path: Path) -> None:
    runs = twice("simclr", 0.6, half=0.01)
    assert "usual" not in {over.against for over in ranked(runs, LINEAR)[0].over}
    for run in runs:
        run.judged.append(run.judged[-1].model_copy(update={"features": "usual", "accuracy": 0.7}))
    places = ranked(runs, LINEAR)
    said = verdict(places, LINEAR, "series")
    assert places[0].usual == 0.7 and said.endswith("lower than MiniRocket 70.0 by what may be luck")
    facts: dict[str, Any] = {"out": "o", "data": "d", "things": "series", "measure": "linear", "labelled": True}
    facts |= {"train": "t", "test": None, "labels": "100%", "seeds": 2, "machine": {}, "state": "done", "runs": runs}
    rungs = [Rung(rung=1, budget=None, epochs=3, methods=["a"], kept=[])]
    compared = Comparison(**facts, rungs=rungs, ranking=places, verdict=said)
    heads = [str(column.header) for column in table(compared).columns]
    assert heads[4:7] == ["untrained", "raw values", "MiniRocket"]
    write_page(compared, tmp_path / "page.html")
    text = Page((tmp_path / "page.html").read_text()).text
    assert "Over MiniRocket the first gains -10.0 points" in text and "70.0" in text
    old = compared.model_dump()
    del old["ranking"][0]["usual"]  # as comparisons were written before there was any
    assert "MiniRocket" not in [column.header for column in table(Comparison.model_validate(old)).columns]


def by_both(method: str, chosen: float, told: float) -> list[Ran]:
    """Runs of two seeds, with what the folds and what the test set says of them."""
    by = {run.seed: run.judged for run in twice(method, chosen)}
    return [run.model_copy(update={"held_out": by[run.seed]}) for run in twice(method, told, half=0.01)]


def test_folds_choose_and_the_test_set_tells() -> None:
    runs = [*by_both("simclr", 0.5, 0.52), *by_both("byol", 0.6, 0.51), *by_both("mae", 0.4, 0.56)]
    places = ranked(runs, LINEAR)
    assert [place.method for place in places] == ["byol", "simclr", "mae"]
    assert [place.point.measured for place in places] == pytest.approx([0.51, 0.52, 0.56])  # as the test set has it
    kept = 1 - 0.005**2 / (0.0007 - (0.01 / 1.96) ** 2)  # the luck of training chose, that of the test set did not
    assert places[2].point.value == pytest.approx(0.53 + kept * 0.03, abs=1e-5)
    alone = [run for run in runs if run.seed == 0]
    assert all(place.point.measured is None for place in ranked(alone, LINEAR))  # one seed tells nothing of it


def test_a_leader_of_the_folds_that_the_test_set_decides_against_is_not_said_to_lead() -> None:
    places = ranked([*by_both("simclr", 0.61, 0.5), *by_both("byol", 0.6, 0.6), *by_both("mae", 0.4, 0.51)], LINEAR)
    assert [(place.method, place.first, place.behind) for place in places] == [
        ("simclr", 2, ["byol"]),
        ("byol", 1, []),
        ("mae", 2, ["byol"]),
    ]
    said = verdict(places, LINEAR)
    assert said.startswith("the folds put simclr first, which comes to 50.") and "leads" not in said
    assert said.endswith(f"; clearly better on the test set: {shown(places[1])}; too close to call: {shown(places[2])}")
    told_apart = ranked([*by_both("simclr", 0.61, 0.5), *by_both("byol", 0.6, 0.6)], LINEAR)
    assert verdict(told_apart, LINEAR).endswith(f"; clearly better on the test set: {shown(told_apart[1])}")
    sure = ranked([*by_both("simclr", 0.61, 0.6), *by_both("byol", 0.6, 0.5), *by_both("mae", 0.4, 0.59)], LINEAR)
    assert verdict(sure, LINEAR).endswith(f"; too close to call: {shown(sure[2])}") and sure[0].first == 1


def shown(place: Place) -> str:
    return f"{place.method} {with_interval(place.point, LINEAR)}"


def test_the_value_of_a_winner_is_that_of_one_chosen_by_luck() -> None:
    names = ("simclr", "byol", "mae", "dino")
    alike = [each for i, name in enumerate(names) for each in twice(name, 0.5 + 0.01 * i, half=0.03)]
    lead = ranked(alike, LINEAR)[0]
    assert lead.method == "dino" and lead.point.measured == pytest.approx(0.53)
    assert lead.point.value == pytest.approx(0.515)  # they differ by no more than noise makes them
    apart = [each for i, name in enumerate(names) for each in twice(name, 0.5 + 0.1 * i, half=0.03)]
    assert ranked(apart, LINEAR)[0].point.value == pytest.approx(0.8, abs=0.005)


def test_scores_rank_the_way_their_papers_have_it() -> None:
    runs = [ran("simclr", 0.2, health={"idest": 9.0}), ran("byol", 0.6, health={"idest": 12.0})]
    assert [place.method for place in ranked(runs, Measure("idest", False))] == ["simclr", "byol"]
    assert verdict(ranked([ran("byol", 0.5)], RANKME), RANKME) == "byol leads with 50 (rankme)"
    assert verdict(ranked(runs, Measure("idest", False)), Measure("idest", False)).startswith(
        "simclr leads with 9 (idest, less is better)"
    )
    assert Measure("alpha_req", False).called == "alpha_req, best at 1"


def test_features_that_crowd_together_come_last_however_good_their_score() -> None:
    def run(method: str, score: float, seed: int, said: str = "learning") -> Ran:
        return ran(method, 0.5, seed, health={"alignment": score}, verdict=said)

    said, measure = "collapsing: features crowd together (spread 0.01 of its start)", Measure("alignment", False)
    runs = [run("byol", 0.001, 0, said), run("byol", 0.5, 1), run("simclr", 0.7, 0), run("simclr", 0.72, 1)]
    runs += [run("mae", 0.9, 0), run("mae", 0.94, 1)]
    places = ranked(runs, measure)
    assert [place.method for place in places] == ["simclr", "mae", "byol"]
    assert places[2].point.value == pytest.approx(0.2505) and said in places[2].note
    assert (places[2].first, places[2].last) == (3, 3) and places[0].first == 1
    healthy = [run(one.method, one.health["alignment"], one.seed) for one in runs]
    assert ranked(healthy, measure)[0].method == "byol"


def test_a_seed_that_failed_is_noted_and_the_others_count() -> None:
    runs = [ran("simclr", 0.5), ran("simclr", 0, 1, state="failed", reason="diverged", judged=[])]
    (place,) = ranked(runs, LINEAR)
    assert place.point.value == 0.5 and place.point.seeds == 1 and place.note == "seed 1 failed: diverged"
    assert ranked([failure("mae", "no")], LINEAR) == [] and verdict([], LINEAR) == "nothing to rank yet"


def comparison(runs: list[Ran], measure: Measure, **more: Any) -> Comparison:
    places = ranked(runs, measure)
    rungs = [
        Rung(rung=number, budget=60.0 * number, epochs=None, methods=["simclr", "mae"], kept=["simclr"])
        for number in range(1, 1 + max(ran.rung for ran in runs))
    ]
    facts: dict[str, Any] = {"train": EVIL, "test": None, "labels": "all labels", "seeds": 1, "rungs": rungs}
    facts |= {"out": "x", "data": EVIL, "things": "images", "measure": measure.name, "labelled": measure.labelled}
    facts |= {"machine": {"threads": 2, "platform": "here"}, "state": "done", "runs": runs, "ranking": places}
    return Comparison(**{**facts, "verdict": verdict(places, measure), **more})


def test_the_page_says_all_of_it_and_loads_nothing(tmp_path: Path) -> None:
    tokens = {"encoder": Part(name="vit_tiny"), "tokens": True}
    runs = [ran("simclr", 0.5, half=0.02), ran("mae", 0.45, **tokens), failure("byol", EVIL)]
    found = comparison([*runs, ran("simclr", 0.6, rung=2, half=0.02)], LINEAR)
    write_page(found, tmp_path / "page.html")
    page = Page((tmp_path / "page.html").read_text())
    for tag, attributes in page.tags:
        assert tag not in ("script", "link", "iframe", "img") and not attributes.keys() & {"src", "href"}
        assert not any(name.startswith("on") for name in attributes)
    assert page.text.count(EVIL) >= 3  # the data, the labels and the reason, as text
    assert "60.0 ± 2.0" in page.text and "vit_tiny (tokens)" in page.text and "the same time to train" in page.text
    assert sum(attributes.get("class") == "curve" for _, attributes in page.tags) == 2
    assert notes(found) == [
        "with a single seed the chance of training is not known; --seeds 2 tells something of it",
        f"byol failed: {EVIL}",
        "mae needs tokens, so its encoder is vit_tiny",
    ]


def test_ends_that_nothing_bounds_are_infinite_again_once_they_are_read() -> None:
    single = ran("simclr", 0.5, half=0.02)
    few = [row.model_copy(update={"samples": 3}) for row in single.judged]
    found = comparison([single.model_copy(update={"judged": few})], replace(LINEAR, of="R2"), of="R2")
    assert "-inf" in repr(found.ranking[0].over[0]) and found.ranking[0].point.low == -math.inf
    assert Comparison.model_validate_json(found.model_dump_json()) == found


def test_numbers_of_fewer_samples_than_prove_anything_have_a_page(tmp_path: Path) -> None:
    measure = replace(LINEAR, of="R2")
    of_few = ran("simclr", 0.5, half=0.1)
    of_few.judged[0].samples = 3
    for runs in ([of_few], [of_few, ran("mae", 0.4, half=0.1)], [of_few, ran("mae", 0.4, rung=2, half=0.1)]):
        write_page(comparison(runs, measure, of="R2"), tmp_path / "page.html")
        page = (tmp_path / "page.html").read_text()
        assert re.search(r"simclr: 0\.\d+ \(too few to say\)", page) and re.search(r"<td>0\.\d+ \(too few to say", page)
        assert not re.search(r"\b(inf|nan)\b", page)
        heights = [float(end) for end in re.findall(r"y[12]='([-\d.]+)'", page)]
        assert all(TOP - 0.1 <= height <= HEIGHT - BOTTOM + 0.1 for height in heights)


def test_the_gain_on_the_page_is_told_of_the_value_it_is_taken_from(tmp_path: Path) -> None:
    write_page(comparison([ran("simclr", 0.9, half=0.01)], LINEAR), tmp_path / "page.html")
    text = Page((tmp_path / "page.html").read_text()).text
    assert "Over untrained the first gains +60.0 points (no interval is known, with a single seed)." in text
    runs = [each for name, value in (("simclr", 0.9), ("mae", 0.5)) for each in twice(name, value, half=0.05)]
    found = comparison(runs, LINEAR, seeds=2)
    first = found.ranking[0].point
    assert first.measured == pytest.approx(0.9) and first.value < 0.899
    write_page(found, tmp_path / "page.html")
    text = Page((tmp_path / "page.html").read_text()).text
    assert "Over untrained the first, measured 90.0, gains +60.0 points (+" in text
    assert "of whichever of 2 methods comes first)." in text


def test_the_page_of_a_score_says_that_it_is_a_weak_guide(tmp_path: Path) -> None:
    write_page(comparison([ran("simclr", 0.5)], RANKME, train=None), tmp_path / "page.html")
    text = Page((tmp_path / "page.html").read_text()).text
    assert "a weak guide" in text and "raw pixels" not in text
    write_page(comparison([failure("mae", "no")], LINEAR, state="running"), tmp_path / "page.html")
    assert "nothing finished yet" in (tmp_path / "page.html").read_text()
