"""The findings of a check, for people: on a terminal, or on a page of its own."""

from collections.abc import Sequence
from itertools import repeat
from pathlib import Path

from markupsafe import Markup
from rich.console import Console
from rich.table import Table
from rich.text import Text

from selftaught.contracts.findings import (
    ChannelValues,
    ClipFacts,
    ColumnFacts,
    File,
    Findings,
    Forecast,
    ImageFacts,
    SeriesFacts,
    Spread,
    Suggested,
    TextFacts,
    Values,
)
from selftaught.reporting.charts import bar_chart, line_chart
from selftaught.reporting.page import rendered
from selftaught.system.files import write_atomically
from selftaught.system.printing import printer
from selftaught.system.text import duration, filesize, number_of, printable

SHOWN, SHOWN_ON_PAGE = 5, 100  # files or groups
WIDEST = 76  # characters of a name on a terminal
CHANNELS = 16  # that are told one by one
BARS = " \u2581\u2582\u2583\u2584\u2585\u2586\u2587\u2588"  # eighths of a character

Line = tuple[str, str]  # a name and what is said of it


def show(findings: Findings, console: Console | None = None) -> None:
    """Print the findings to standard output."""
    console = console or printer()
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
    return [
        ("data", f"{findings.data}: {findings.count:,} {findings.things}"),
        *(_image_lines(images) if images else []),
        *(_column_lines(columns) if columns is not None else []),
        *(_series_lines(findings.series) if findings.series else []),
        *(_text_lines(findings.texts) if findings.texts else []),
        *(_clip_lines(findings.clips) if findings.clips else []),
        *(("metadata", _of_metadata(column)) for column in findings.metadata or []),
        *([("labels", f"{len(labels):,} classes, never used in pre-training")] if labels else []),
        ("broken", f"{len(findings.broken):,}"),
        ("copies", f"{findings.surplus:,} in {number_of(len(findings.duplicates), 'group')} of the same content"),
        *(
            [("look-alikes", f"{findings.alike:,} in {number_of(len(findings.near_duplicates), 'group')}")]
            if images
            else []
        ),
        *([("passed over", f"{findings.passed_over:,}")] if images or findings.clips else []),
        *(_suggested_lines(findings.suggested, " px" if images else "") if findings.suggested else []),
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
        *(_value_lines(images.values) if images.values else []),
    ]


def _value_lines(values: Values) -> list[Line]:
    """A histogram of each channel in a line."""
    low, high = (f"{end:.5g}" for end in values.range)
    return [
        ("values", f"{values.type}, of {values.images:,} images"),
        *(
            (f"channel {number}", f"{low} {_bars(one.counts)} {high}, {_where(one)}")
            for number, one in enumerate(values.channels[:CHANNELS], 1)
        ),
        *_left_out(len(values.channels)),
    ]


def _where(channel: ChannelValues) -> str:
    told = (channel.min, channel.p1, channel.median, channel.p99, channel.max)
    return "min {:.5g}, 1 % {:.5g}, median {:.5g}, 99 % {:.5g}, max {:.5g}".format(*told)


def _bars(counts: Sequence[int]) -> str:
    """Bars of a character each, as high as their counts; what is there at all can be seen."""
    most = max(*counts, 1)
    return "".join(BARS[-(-count * (len(BARS) - 1) // most)] for count in counts)


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
        *([("groups", f"{series.groups:,}")] if series.groups is not None else []),
        ("channels", f"{len(series.channels):,}"),
        *(("", _of_channel(*one)) for one in zip(series.channels[:CHANNELS], series.units or repeat(""))),
        *_left_out(len(series.channels)),
        ("points", f"{points.min:g} to {points.max:g}, median {points.median:g}{rate}"),
        ("missing", f"{cells:,} values"),
    ]


def _of_channel(channel: ColumnFacts, unit: str) -> str:
    behind = f" {unit}" if unit else ""
    values = "nothing is known of it"
    if channel.min is not None and channel.max is not None:
        values = f"{channel.min:.5g} to {channel.max:.5g}{behind}"
        if channel.distinct == 1:
            values = f"holds one value only, {channel.min:.5g}{behind}"
    return f"{channel.name}: {values}" + (f"; {channel.missing:,} missing" if channel.missing else "")


def _left_out(channels: int) -> list[Line]:
    left = channels - CHANNELS
    return [("", f"... and {left:,} more channels (--json has all)")] if left > 0 else []


def _text_lines(texts: TextFacts) -> list[Line]:
    def spread(of: Spread) -> str:
        return f"{of.min:g} to {of.max:g}, median {of.median:g}"

    return [
        *([("column", texts.column)] if texts.column is not None else []),
        ("letters", spread(texts.letters)),
        ("words", f"{spread(texts.words)}; {texts.distinct_words:,} different ones"),
    ]


def _clip_lines(clips: ClipFacts) -> list[Line]:
    seconds = clips.seconds
    return [
        ("formats", f"{_counts(clips.formats)}, {filesize(clips.bytes)}"),
        ("rates", ", ".join(f"{int(rate):,} Hz {count:,}" for rate, count in clips.rates.items())),
        ("channels", _counts(clips.channels)),
        ("length", f"{seconds.min:.3g} to {seconds.max:.3g} s, median {seconds.median:.3g} s"),
        ("together", duration(clips.total_seconds)),
    ]


def _of_metadata(column: ColumnFacts) -> str:
    ends = "" if column.min is None else f", {column.min:g} to {column.max:g}"
    kind = "numbers" if column.kind == "number" else "values"
    return f"{column.name}: {column.distinct:,} {kind}{ends}; {column.missing:,} missing"


def _suggested_lines(run: Suggested, unit: str) -> list[Line]:
    at = f" at {run.size[0]} x {run.size[1]}{unit}" if run.size else ""
    chosen = f"{run.method} on {run.encoder}{at}, {run.epochs:g} epochs in batches of {run.batch_size}"
    return [("a run", chosen), *(("", line) for line in run.by_device), *(("so far", line) for line in run.advice)]


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


def _value_chart(values: Values) -> Markup:
    """Shares of values over values, a curve a channel."""
    low, high = values.range
    shown = enumerate(values.channels[:CHANNELS], 1)
    curves = {f"channel {number}": _shares(one.counts, low, high) for number, one in shown}
    title = f"Values of {values.images:,} images"
    return line_chart(curves, title=title, x_label=f"value ({values.type})", y_label="% of a channel")


def _shares(counts: Sequence[int], low: float, high: float) -> list[tuple[float, float]]:
    """The middle of each bin, and its part of all in percent."""
    width, total = (high - low) / len(counts), max(sum(counts), 1)
    return [(low + (place + 0.5) * width, 100 * count / total) for place, count in enumerate(counts)]


def write_page(findings: Findings, out: Path) -> None:
    """Write one self-contained HTML page."""
    sizes = [(f"{b.start}+", b.count) for b in findings.images.sizes] if findings.images else []
    chart = bar_chart(sizes, title="Images by longer side, in pixels") if findings.images else None
    page = rendered(
        "findings.html",
        findings=findings,
        values=_value_chart(findings.images.values) if findings.images and findings.images.values else None,
        lines=lines(findings),
        chart=chart,
        sections=sections(findings),
        shown=SHOWN_ON_PAGE,
    )
    write_atomically(out, page)
