"""Line and interval charts as inline SVG, which follow the page's colours and need no script."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

WIDTH, HEIGHT = 640, 260
LEFT, RIGHT, TOP, BOTTOM = 68, 12, 12, 40
LETTER = 11  # pixels of a letter at the most, on a phone
POINTS = 600  # drawn of a curve at most
SHADES = 6  # colours that the page defines as --series-0 ...

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Scale:
    """Maps values of an axis to pixels."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers that cover [low, high]."""
    raw = (high - low) / about
    magnitude = 10.0 ** math.floor(math.log10(raw))
    step = next(m * magnitude for m in (1, 2, 2.5, 5, 10) if m * magnitude >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 12) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def line_chart(
    series: Mapping[str, Points], *, title: str, x_label: str, y_label: str, reference: tuple[str, float] | None = None
) -> Markup:
    """Curves by name over a common axis; `reference` is a named level such as chance. Gaps stand for NaN."""
    thinned = {name: _thinned(points) for name, points in series.items()}
    finite = [(x, y) for points in thinned.values() for x, y in points if math.isfinite(y)]
    if not finite:
        told = "no finite value" if any(thinned.values()) else "nothing logged yet"
        return Markup(f"<figure><figcaption>{escape(title)}</figcaption><p class='quiet'>{told}</p></figure>")
    heights = [y for _, y in finite] + ([reference[1]] if reference else [])
    x_scale = Scale(*_range([x for x, _ in finite], pad=0), LEFT, WIDTH - RIGHT)
    y_scale = Scale(*_range(heights), HEIGHT - BOTTOM, TOP)
    parts = [_axes(x_scale, y_scale, x_label, y_label)]
    if reference:
        y = y_scale(reference[1])
        parts.append(f"<line class='reference' x1='{LEFT}' x2='{WIDTH - RIGHT}' y1='{y:.1f}' y2='{y:.1f}'/>")
        parts.append(
            f"<text class='note' x='{WIDTH - RIGHT}' y='{y - 4:.1f}' text-anchor='end'>{escape(reference[0])}</text>"
        )
    for shade, points in enumerate(thinned.values()):
        for run in _runs(points):
            if len(run) == 1:  # a line of one point has no length
                place = f"cx='{x_scale(run[0][0]):.1f}' cy='{y_scale(run[0][1]):.1f}'"
                parts.append(f"<circle style='fill:var(--series-{shade % SHADES})' {place} r='3'/>")
                continue
            path = " ".join(f"{x_scale(x):.1f},{y_scale(y):.1f}" for x, y in run)
            parts.append(f"<polyline class='curve' style='stroke:var(--series-{shade % SHADES})' points='{path}'/>")
    return _figure(parts, title, list(series))


def interval_chart(series: Mapping[str, Sequence[tuple[str, float, float, float]]], *, title: str) -> Markup:
    """Accuracies with 95 % intervals: for each name, (label, accuracy, low, high) in [0, 1] in a common order."""
    labels = list(dict.fromkeys(label for points in series.values() for label, *_ in points))
    values = [v for points in series.values() for _, _, low, high in points for v in (low, high)]
    low, high = _range(values)
    y_scale = Scale(max(0.0, low) * 100, min(1.0, high) * 100, HEIGHT - BOTTOM, TOP)
    slot = (WIDTH - LEFT - RIGHT) / len(labels)
    parts = [_axes(None, y_scale, "", "accuracy, %")]
    for i, label in enumerate(labels):
        place = LEFT + (i + 0.5) * slot
        parts.append(
            f"<text class='tick' x='{place:.1f}' y='{HEIGHT - BOTTOM + 18}' text-anchor='middle'>{escape(label)}</text>"
        )
    for shade, (name, points) in enumerate(series.items()):
        shift = (shade - (len(series) - 1) / 2) * min(24, slot / (len(series) + 1))
        for label, accuracy, bottom, top in points:
            x = LEFT + (labels.index(label) + 0.5) * slot + shift
            colour = f"var(--series-{shade % SHADES})"
            told = f"{name}, {label}: {100 * accuracy:.1f} (95 %: {100 * bottom:.1f} to {100 * top:.1f})"
            ends = f"y1='{y_scale(100 * bottom):.1f}' y2='{y_scale(100 * top):.1f}'"
            parts.append(_whisker(told, colour, x, y_scale(100 * accuracy), ends))
    return _figure(parts, title, list(series))


def interval_curves(
    series: Mapping[str, Sequence[tuple[float, float, float, float]]], *, title: str, x_label: str, y_label: str
) -> Markup:
    """Curves of values with intervals: for each name, (x, value, low, high) by x; grey past the page's colours."""
    points = [point for of_one in series.values() for point in of_one]
    if not points:
        return Markup("<p class='quiet'>nothing finished yet</p>")
    xs, heights = [x for x, *_ in points], [v for _, _, low, high in points for v in (low, high)]
    x_scale = Scale(*_range([0.0, *xs]), LEFT, WIDTH - RIGHT)
    x_scale = Scale(0.0, x_scale.high, LEFT, WIDTH - RIGHT)
    y_scale = Scale(*_range(heights), HEIGHT - BOTTOM, TOP)
    parts = [_axes(x_scale, y_scale, x_label, y_label)]
    for shade, (name, of_one) in enumerate(series.items()):
        colour = f"var(--series-{shade})" if shade < SHADES else "var(--quiet)"
        path = " ".join(f"{x_scale(x):.1f},{y_scale(value):.1f}" for x, value, *_ in of_one)
        parts.append(f"<polyline class='curve' style='stroke:{colour}' points='{path}'/>")
        for x, value, low, high in of_one:
            told = f"{name}: {value:.4g} (95 %: {low:.4g} to {high:.4g}) at {x:.3g}"
            place, ends = x_scale(x), f"y1='{y_scale(low):.1f}' y2='{y_scale(high):.1f}'"
            parts.append(_whisker(told, colour, place, y_scale(value), ends))
    return _figure(parts, title, list(series)[:SHADES])


def bar_chart(counts: Sequence[tuple[str, int]], *, title: str) -> Markup:
    """Bars with a label and a count each, in the order given."""
    _, high = _range([0, *(count for _, count in counts)])
    y_scale = Scale(0, high, HEIGHT - BOTTOM, TOP)
    slot = (WIDTH - LEFT - RIGHT) / len(counts)
    parts = [_axes(None, y_scale, "", "")]
    for place, (label, count) in enumerate(counts):
        x, y = LEFT + (place + 0.1) * slot, y_scale(count)
        parts.append(
            f"<g><title>{escape(label)}: {count:,}</title><rect style='fill:var(--series-0)' x='{x:.1f}' y='{y:.1f}' "
            f"width='{0.8 * slot:.1f}' height='{HEIGHT - BOTTOM - y:.1f}'/></g>"
            f"<text class='tick' x='{x + 0.4 * slot:.1f}' y='{HEIGHT - BOTTOM + 18}' text-anchor='middle'>"
            f"{escape(_shortened(label, slot))}</text>"
        )
    return _figure(parts, title, [])


def _whisker(told: str, colour: str, x: float, y: float, ends: str) -> str:
    """A value with its interval, that says what it is when pointed at."""
    return (
        f"<g><title>{escape(told)}</title>"
        f"<line class='whisker' style='stroke:{colour}' x1='{x:.1f}' x2='{x:.1f}' {ends}/>"
        f"<circle style='fill:{colour}' cx='{x:.1f}' cy='{y:.1f}' r='5'/></g>"
    )


def _shortened(label: str, room: float) -> str:
    """As much of a label as there is room for; whoever points at the bar reads all of it."""
    letters = max(2, int(room / LETTER))
    return label if len(label) <= letters else label[: letters - 1] + "…"


def _number(value: float) -> str:
    """A tick's number, short enough for the margin."""
    return f"{value:g}" if value == 0 or abs(value) >= 0.001 else f"{value:.2g}".replace("e-0", "e-")


def _thinned(points: Points) -> list[tuple[float, float]]:
    step = max(1, math.ceil(len(points) / POINTS))
    return [*points[::step], *([points[-1]] if points and (len(points) - 1) % step else [])]


def _runs(points: Points) -> list[list[tuple[float, float]]]:
    """Stretches of finite points."""
    runs: list[list[tuple[float, float]]] = [[]]
    for point in points:
        if math.isfinite(point[1]):
            runs[-1].append(point)
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _range(values: Sequence[float], pad: float = 0.06) -> tuple[float, float]:
    low, high = min(values), max(values)
    if high == low:
        return low - (abs(low) or 1) * 0.1, high + (abs(high) or 1) * 0.1
    return low - pad * (high - low), high + pad * (high - low)


def _axes(x_scale: Scale | None, y_scale: Scale, x_label: str, y_label: str) -> str:
    parts = []
    for value in ticks(y_scale.low, y_scale.high):
        y = y_scale(value)
        parts.append(f"<line class='grid' x1='{LEFT}' x2='{WIDTH - RIGHT}' y1='{y:.1f}' y2='{y:.1f}'/>")
        parts.append(f"<text class='tick' x='{LEFT - 8}' y='{y + 4:.1f}' text-anchor='end'>{_number(value)}</text>")
    if x_scale:
        for value in ticks(x_scale.low, x_scale.high):
            place = f"x='{x_scale(value):.1f}' y='{HEIGHT - BOTTOM + 18}'"
            parts.append(f"<text class='tick' {place} text-anchor='middle'>{value:g}</text>")
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f"<text class='tick' x='{middle:.0f}' y='{HEIGHT - 4}' text-anchor='middle'>{escape(x_label)}</text>")
    parts.append(
        f"<text class='tick' transform='translate(12 {(TOP + HEIGHT - BOTTOM) / 2:.0f}) rotate(-90)' "
        f"text-anchor='middle'>{escape(y_label)}</text>"
    )
    return "".join(parts)


def _figure(parts: Sequence[str], title: str, names: Sequence[str]) -> Markup:
    legend = "".join(
        f"<li><span class='swatch' style='background:var(--series-{i % SHADES})'></span>{escape(name)}</li>"
        for i, name in enumerate(names)
    )
    return Markup(
        f"<figure><figcaption>{escape(title)}</figcaption>"
        f"<svg viewBox='0 0 {WIDTH} {HEIGHT}' role='img' aria-label='{escape(title)}'>{''.join(parts)}</svg>"
        f"<ul class='legend'>{legend}</ul></figure>"
    )
