"""The findings of a check, for people: on a terminal, or on a page of its own."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from selftaught.contracts.findings import (
    ColumnFacts,
    File,
    Findings,
    Forecast,
    ImageFacts,
    SeriesFacts,
    Spread,
    Suggested,
)
from selftaught.reporting.charts import bar_chart
from selftaught.reporting.page import rendered
from selftaught.system.files import write_atomically
from selftaught.system.text import duration, filesize, printable

SHOWN, SHOWN_ON_PAGE = 5, 100  # files or groups
WIDEST = 76  # characters of a name on a terminal

Line = tuple[str, str]  # a name and what is said of it


def show(findings: Findings, console: Console | None = None) -> None:
    """Print the findings to standard output."""
    console = console or Console(highlight=False)
    table = Table(box=None, show_header=False, pad_edge=False)
    notes = [("note", note) for note in findings.notes]
    problems = [("problem", problem) for problem in findings.problems]
    for name, text in lines(findings) + notes + problems:
        table.add_row(Text(name), Text(text))  # no markup: names of files may look like some
    console.print(table)
    for title, files in sections(findings):
        console.print(Text(f"\n{title}", style="bold"))
        for file in files[:SHOWN]:
            console.print(Text(f"  {_short(file.path)}: {file.reason}"), soft_wrap=True)
        if len(files) > SHOWN:
            console.print(Text(f"  ... and {len(files) - SHOWN:,} more (--files FILE.csv lists all)"))
    if findings.suggested:
        console.print(Text(f"\n{findings.suggested.command}", style="bold"), soft_wrap=True)


def lines(findings: Findings) -> list[Line]:
    """What the terminal and the page say of the data, in the order in which it matters."""
    images, columns, labels = findings.images, findings.columns, findings.labels
    near = findings.near_duplicates
    return [
        ("data", f"{findings.data}: {findings.count:,} {findings.things}"),
        *(_image_lines(images) if images else []),
        *(_column_lines(columns) if columns is not None else []),
        *(_series_lines(findings.series) if findings.series else []),
        *([("labels", f"{len(labels):,} classes, never used in pre-training")] if labels else []),
        ("broken", f"{len(findings.broken):,}"),
        ("copies", f"{findings.surplus:,} in {len(findings.duplicates):,} groups of the same content"),
        *([("look-alikes", f"{sum(map(len, near)):,} in {len(near):,} groups")] if images else []),
        *([("passed over", f"{len(findings.ignored):,}")] if images else []),
        *(_suggested_lines(findings.suggested) if findings.suggested else []),
        *(_forecast_lines(findings.forecast) if findings.forecast else []),
    ]


def _image_lines(images: ImageFacts) -> list[Line]:
    def sides(pixels: Spread) -> str:
        return f"{pixels.min:g} to {pixels.max:g} px, median {pixels.median:g}"

    turned = set(images.orientations) != {"1"}  # EXIF's for upright
    return [
        ("formats", f"{_counts(images.formats)}, {filesize(images.bytes)}"),
        ("modes", _counts(images.modes)),
        ("width", sides(images.width)),
        ("height", sides(images.height)),
        ("longer side", ", ".join(f"{b.start}-{b.end} px {b.count:,}" for b in images.sizes if b.count)),
        *([("orientations", _counts(images.orientations))] if turned else []),
    ]


def _column_lines(columns: Sequence[ColumnFacts]) -> list[Line]:
    kinds = [column.kind for column in columns]
    return [
        ("columns", f"{kinds.count('number')} of numbers, {kinds.count('category')} of categories"),
        ("missing", f"{sum(column.missing for column in columns):,} cells"),
    ]


def _series_lines(series: SeriesFacts) -> list[Line]:
    points, cells = series.lengths, sum(channel.missing for channel in series.channels)
    rate = f", {series.rate:g} in a unit of time" if series.rate else ""
    return [
        ("recordings", f"{series.recordings:,}"),
        ("channels", f"{len(series.channels):,}"),
        ("points", f"{points.min:g} to {points.max:g}, median {points.median:g}{rate}"),
        ("missing", f"{cells:,} values"),
    ]


def _suggested_lines(run: Suggested) -> list[Line]:
    at = f" at {run.size[0]} x {run.size[1]} px" if run.size else ""
    chosen = f"{run.method} on {run.encoder}{at}, {run.epochs:g} epochs in batches of {run.batch_size}"
    return [("a run", chosen), *(("so far", line) for line in run.advice)]


def _forecast_lines(forecast: Forecast) -> list[Line]:
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
    titled = [
        ("Broken", findings.broken),
        ("The same content", _groups(findings.duplicates)),
        ("Look alike", _groups(findings.near_duplicates)),
        ("Passed over", findings.ignored),
    ]
    return [(title, [_shown(file) for file in files]) for title, files in titled if files]


def _shown(file: File) -> File:
    return File(path=printable(file.path), reason=printable(file.reason))


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
    sizes = [(f"{b.start}+", b.count) for b in findings.images.sizes] if findings.images else []
    chart = bar_chart(sizes, title="Images by longer side, in pixels") if findings.images else None
    page = rendered(
        "findings.html",
        findings=findings,
        lines=lines(findings),
        chart=chart,
        sections=sections(findings),
        shown=SHOWN_ON_PAGE,
    )
    write_atomically(out, page)
