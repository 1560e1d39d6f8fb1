"""What a check has found, for people: on a terminal, or on a page of its own."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from selftaught.contracts.findings import File, Findings, Forecast, ImageFacts
from selftaught.reporting.charts import bar_chart
from selftaught.reporting.page import rendered
from selftaught.system.files import write_atomically
from selftaught.system.text import duration, filesize

SHOWN, SHOWN_ON_PAGE = 5, 100  # files or groups
WIDEST = 76  # characters of a name on a terminal


def show(findings: Findings, console: Console | None = None) -> None:
    """Print what was found to standard output."""
    console = console or Console(highlight=False)
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, told in lines(findings):
        table.add_row(Text(name), Text(told))  # no markup: names of files may look like some
    console.print(table)
    for title, files in sections(findings):
        console.print(Text(f"\n{title}", style="bold"))
        for file in files[:SHOWN]:
            console.print(Text(f"  {_short(file.path)}: {file.reason}"), soft_wrap=True)
        if len(files) > SHOWN:
            console.print(Text(f"  ... and {len(files) - SHOWN:,} more (--files FILE.csv lists all)"))
    if findings.suggested:
        console.print(Text(f"\n{findings.suggested.command}", style="bold"), soft_wrap=True)


def lines(findings: Findings) -> list[tuple[str, str]]:
    """Facts as name and value, in the order in which they matter."""
    told = [("data", f"{findings.data}: {findings.count:,} {findings.things}")]
    if findings.images:
        told += _image_lines(findings.images)
    if findings.columns is not None:
        kinds = [column.kind for column in findings.columns]
        told.append(("columns", f"{kinds.count('number')} of numbers, {kinds.count('category')} of categories"))
        told.append(("missing", f"{sum(column.missing for column in findings.columns):,} cells"))
    if findings.labels:
        told.append(("labels", f"{len(findings.labels):,} classes, never used in pre-training"))
    told.append(("broken", f"{len(findings.broken):,}"))
    told.append(("copies", f"{findings.surplus:,} in {len(findings.duplicates):,} groups of the same content"))
    if findings.images:
        alike = sum(len(group) for group in findings.near_duplicates)
        told.append(("look-alikes", f"{alike:,} in {len(findings.near_duplicates):,} groups"))
        told.append(("passed over", f"{len(findings.ignored):,}"))
    if findings.suggested:
        s = findings.suggested
        at = f" at {s.size[0]} x {s.size[1]} px" if s.size else ""
        told.append(("a run", f"{s.method} on {s.encoder}{at}, {s.epochs:g} epochs in batches of {s.batch_size}"))
    if findings.forecast:
        told += _forecast_lines(findings.forecast)
    told += [("note", note) for note in findings.notes]
    return told + [("problem", problem) for problem in findings.problems]


def _image_lines(facts: ImageFacts) -> list[tuple[str, str]]:
    width, height = facts.width, facts.height
    told = [
        ("formats", _counts(facts.formats) + f", {filesize(facts.bytes)}"),
        ("modes", _counts(facts.modes)),
        ("width", f"{width.min:g} to {width.max:g} px, median {width.median:g}"),
        ("height", f"{height.min:g} to {height.max:g} px, median {height.median:g}"),
        ("longer side", ", ".join(f"{b.start}-{b.end} px {b.count:,}" for b in facts.sizes if b.count)),
    ]
    if set(facts.orientations) != {"1"}:
        told.append(("orientations", _counts(facts.orientations)))
    return told


def _forecast_lines(forecast: Forecast) -> list[tuple[str, str]]:
    kept = f"{filesize(forecast.run_bytes)} for the run folder ({filesize(forecast.checkpoint_bytes)} a checkpoint)"
    cached = f", {filesize(forecast.cache_bytes)} for the cache of decoded images" if forecast.cache_bytes else ""
    return [
        ("time", f"about {duration(forecast.seconds)}, at {forecast.samples_per_second:,.0f} samples/s"),
        ("measured on", forecast.measured_on),
        ("disk", f"{kept}{cached}; {filesize(forecast.free_bytes)} are free"),
    ]


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())


def sections(findings: Findings) -> list[tuple[str, list[File]]]:
    """Titles with the files they are about; those that would be empty are left out."""
    found = [
        ("Broken", findings.broken),
        ("The same content", _groups(findings.duplicates)),
        ("Look alike", _groups(findings.near_duplicates)),
        ("Passed over", findings.ignored),
    ]
    return [(title, files) for title, files in found if files]


def _groups(groups: Sequence[Sequence[str]]) -> list[File]:
    """Each group as its first file and the others."""
    return [
        File(path=group[0], reason=", ".join(group[1 : SHOWN + 1]) + (" ..." if len(group) > SHOWN + 1 else ""))
        for group in groups
    ]


def _short(name: str) -> str:
    return name if len(name) <= WIDEST else f"{name[: WIDEST // 2]}...{name[-WIDEST // 2 :]}"


def write_page(findings: Findings, out: Path) -> None:
    """Write one self-contained HTML page."""
    facts = findings.images
    chart = facts and bar_chart(
        [(f"{b.start}+", b.count) for b in facts.sizes],
        title="Images by longer side, in pixels",
    )
    page = rendered(
        "findings.html",
        findings=findings,
        lines=[line for line in lines(findings) if line[0] not in ("note", "problem")],
        chart=chart,
        sections=sections(findings),
        shown=SHOWN_ON_PAGE,
    )
    write_atomically(out, page)
