"""What a check has found, for people: bars as high as their counts, and long lists cut short aloud."""

import io
import re
from pathlib import Path

from rich.console import Console

from selftaught.contracts.findings import (
    Bin,
    ChannelValues,
    ColumnFacts,
    File,
    Findings,
    ImageFacts,
    SeriesFacts,
    Spread,
    Values,
)
from selftaught.reporting.charts import bar_chart
from selftaught.reporting.check_page import SHOWN, SHOWN_ON_PAGE, lines, show, write_page
from tests.reporting.test_run_page import EVIL, Page

SIDES = Spread(min=10, median=64, max=300)
FACTS = ImageFacts(
    bytes=5_000_000,
    formats={"PNG": 2, "JPEG": 1},
    modes={"RGB": 3},
    channels={"3": 3},
    bits={"8": 3},
    orientations={"1": 2, "6": 1},
    animated=0,
    width=SIDES,
    height=SIDES,
    distinct_sizes=3,
    sizes=[Bin(start=64, end=127, count=3), Bin(start=128, end=255, count=1)],
)


def findings(broken: int) -> Findings:
    files = [File(path=f"{EVIL}{number}", reason="empty file") for number in range(broken)]
    return Findings(data=EVIL, things="images", count=9, checked=9, usable=True, broken=files, images=FACTS)


def test_bars_are_as_high_as_their_counts() -> None:
    svg = str(bar_chart([("a", 40), (EVIL, 10), ("c", 0)], title=EVIL))
    heights = [float(height) for height in re.findall(r"height='([\d.]+)'/>", svg)]
    assert heights[0] > 150 and abs(heights[0] / heights[1] - 4) < 0.05 and heights[2] == 0
    assert EVIL not in svg and "a: 40" in svg


def test_bars_that_would_be_called_alike_are_called_by_their_ends() -> None:
    names = [f"holidays of {year}" for year in range(2010, 2022)]
    svg = str(bar_chart([(name, 1) for name in names], title=""))
    assert re.findall(r">([^<]*…[^<]*)<", svg) == [f"…{year % 1000:03d}" for year in range(2010, 2022)]
    svg = str(bar_chart([(f"{year} at home", 1) for year in range(2010, 2022)], title=""))
    assert ">201…<" in svg and "…ome" not in svg


def test_look_alikes_are_counted_as_copies_are() -> None:
    known = findings(0).model_copy(
        update={"duplicates": [["a", "b"]], "near_duplicates": [["a", "c", "d"], ["e", "f"]]}
    )
    told = dict(lines(known))
    assert told["copies"].startswith("1 in 1 group ") and told["look-alikes"] == "3 in 2 groups"


def test_a_terminal_gets_a_few_of_many_and_is_told_so() -> None:
    console = Console(record=True, width=100, file=io.StringIO())
    show(findings(SHOWN + 3), console)
    told = console.export_text()
    assert told.count(": empty file") == SHOWN and "... and 3 more" in told
    assert "PNG 2, JPEG 1, 5 MB" in told and "10 to 300 px, median 64" in told and "1 2, 6 1" in told


def test_a_page_gets_more_of_many_and_says_so(tmp_path: Path) -> None:
    write_page(findings(SHOWN_ON_PAGE + 7), tmp_path / "page.html")
    page = Page((tmp_path / "page.html").read_text())
    assert page.text.count("empty file") == SHOWN_ON_PAGE and "... and 7 more" in page.text
    assert page.text.count(EVIL) >= SHOWN_ON_PAGE + 1 and sum(tag == "rect" for tag, _ in page.tags) == 2


def test_channels_of_series_are_told_one_by_one(tmp_path: Path) -> None:
    def channel(name: str, missing: int = 0, distinct: int = 9, **ends: float) -> ColumnFacts:
        return ColumnFacts(name=name, kind="number", missing=missing, distinct=distinct, **ends)

    known = [channel("temp", 1020, min=-1.5, max=80), channel("dead", distinct=1, min=7, max=7), channel("lost", 30, 0)]
    facts = SeriesFacts(channels=known, lengths=SIDES, recordings=3, rate=None, units=[])
    found = Findings(data=EVIL, things="series", count=9, checked=9, usable=True, series=facts)

    def told(series: SeriesFacts) -> str:
        console = Console(record=True, width=100, file=io.StringIO())
        show(found.model_copy(update={"series": series}), console)
        return console.export_text()

    shown = told(facts)
    assert "temp: -1.5 to 80; 1,020 missing" in shown and "more channels" not in shown
    assert "dead: holds one value only, 7" in shown and "lost: nothing is known of it; 30 missing" in shown
    assert "dead: holds one value only, 7 bar" in told(facts.model_copy(update={"units": ["°C", "bar", ""]}))
    many = told(facts.model_copy(update={"channels": known * 7}))
    assert many.count("temp:") == 6 and "... and 5 more channels (--json has all)" in many
    write_page(found, tmp_path / "page.html")
    text = Page((tmp_path / "page.html").read_text()).text
    assert "temp: -1.5 to 80; 1,020 missing" in text and "dead: holds one value only, 7" in text


def test_values_are_drawn_a_channel_a_line_and_as_curves(tmp_path: Path) -> None:
    one = ChannelValues(min=1, p1=2, median=90, p99=200, max=254, counts=[0, 1, 400, 800])
    known = {"images": 7, "type": "uint8", "range": (0, 255), "inside": (1, 254), "used": 0.99}
    facts = FACTS.model_copy(update={"values": Values(channels=[one] * 18, **known)})
    found = findings(0).model_copy(update={"images": facts})
    console = Console(record=True, width=120, file=io.StringIO())
    show(found, console)
    told = console.export_text()
    assert "uint8, of 7 images" in told and "channel 16" in told and "channel 17" not in told
    assert "0  \u2581\u2584\u2588 255, min 1, 1 % 2, median 90, 99 % 200, max 254" in told
    assert "... and 2 more channels" in told
    write_page(found, tmp_path / "page.html")
    page = Page((tmp_path / "page.html").read_text())
    assert "Values of 7 images" in page.text and sum(tag == "polyline" for tag, _ in page.tags) == 16
