"""Line and interval charts as inline SVG, which follow the page's colours and need no script."""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby

from markupsafe import Markup, escape

from selftaught.judging.units import TOO_FEW

WIDTH, HEIGHT = 640, 260
LEFT, RIGHT, TOP, BOTTOM = 68, 12, 12, 40  # on the left at least: long numbers take more
LETTER, DIGIT = 11, 10  # pixels of a letter at the most, and of a digit, on a phone
ASIDE = 20  # pixels for what stands along the axis on the left
POINTS = 600  # drawn of a curve at most
WORDS, WORDS_OF_NUMBERS = "{:.1f} (95 %: {:.1f} to {:.1f})", "{:.3f} (95 %: {:.3f} to {:.3f})"
SHADES = 6  # colours that the page defines as --series-0 ...

Points = Sequence[tuple[float, float]]


def scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    """From values of an axis to pixels: `low` lies at `start`, `high` at `end`."""
    return lambda value: start + (value - low) / (high - low) * (end - start)


def ticks(low: float, high: float, whole: bool = False) -> list[float]:
    """Round numbers that cover [low, high], about five; of what is counted, whole ones."""
    raw = max((high - low) / 5, 1.0 if whole else 0.0)
    magnitude = 10.0 ** math.floor(math.log10(raw))
    steps = (m * magnitude for m in (1, 2, 2.5, 5, 10) if m * magnitude >= raw * 0.999)
    step = next(step for step in steps if not whole or step % 1 == 0)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 12) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def line_chart(
    series: Mapping[str, Points], *, title: str, x_label: str, y_label: str, reference: tuple[str, float] | None = None
) -> Markup:
    """Curves by name over a common axis; `reference` is a named level such as chance. Gaps stand for NaN."""
    thinned = {name: _thinned(points) for name, points in series.items()}
    finite = [(x, y) for points in thinned.values() for x, y in points if math.isfinite(y)]
    if not finite:
        reason = "no finite value" if any(thinned.values()) else "nothing logged yet"
        return Markup(f"<figure><figcaption>{escape(title)}</figcaption><p class='quiet'>{reason}</p></figure>")
    heights = [y for _, y in finite] + ([reference[1]] if reference else [])
    plot = _Plot(_range([x for x, _ in finite], pad=0), _range(heights), x_label, y_label, x_label == "step")
    if reference:
        plot.level(*reference)
    for shade, points in enumerate(thinned.values()):
        for run in _runs(points):
            if len(run) > 1:
                plot.curve(run, _colour(shade))
            else:  # a line of one point has no length
                plot.dot(*run[0], _colour(shade))
    return plot.figure(title, list(series))


def interval_chart(
    series: Mapping[str, Sequence[tuple[str, float, float, float]]],
    *,
    title: str,
    called: str = "accuracy, %",
    percent: bool = True,
) -> Markup:
    """Values with 95 % intervals: for each name, (label, value, low, high) in a common order.

    percent: whether they are shares in [0, 1], such as accuracies; others may be as large as they like.
    """
    labels = list(dict.fromkeys(label for points in series.values() for label, *_ in points))
    low, high = _range([v for points in series.values() for _, *ends in points for v in ends[1:]])
    ends = (max(0.0, low) * 100, min(1.0, high) * 100) if percent else (low, high)
    plot = _Plot(len(labels), ends, "", called)
    for place, label in enumerate(labels):
        plot.label(place, label)
    for shade, (name, points) in enumerate(series.items()):
        # Side by side about the middle of their place, as far apart as there is room, but never far.
        shift = (shade - (len(series) - 1) / 2) * min(24 / plot.slot, 1 / (len(series) + 1))
        for label, *values in points:
            value, low, high = (100 * v if percent else v for v in values)
            words = f"{name}, {label}: " + (WORDS if percent else WORDS_OF_NUMBERS).format(value, low, high)
            plot.interval(words, labels.index(label) + 0.5 + shift, value, (low, high), _colour(shade))
    return plot.figure(title, list(series))


def interval_curves(
    series: Mapping[str, Sequence[tuple[float, float, float, float]]], *, title: str, x_label: str, y_label: str
) -> Markup:
    """Curves of values with intervals: for each name, (x, value, low, high) by x; grey past the page's colours."""
    points = [point for of_one in series.values() for point in of_one]
    if not points:
        return Markup("<p class='quiet'>nothing finished yet</p>")
    widest = _range([0.0, *(x for x, *_ in points)])[1]
    heights = [v for _, *values in points for v in values if math.isfinite(v)]
    plot = _Plot((0.0, widest), _range(heights), x_label, y_label)
    for shade, (name, of_one) in enumerate(series.items()):
        colour = _colour(shade) if shade < SHADES else "var(--quiet)"
        plot.curve([(x, value) for x, value, *_ in of_one], colour)
        for x, value, low, high in of_one:
            known = math.isfinite(low) and math.isfinite(high)
            ends = f"95 %: {low:.4g} to {high:.4g}" if known else TOO_FEW
            words = f"{name}: {value:.4g} ({ends}) at {x:.3g}"
            plot.interval(words, x, value, (low, high), colour)
    return plot.figure(title, list(series)[:SHADES])


def bar_chart(counts: Sequence[tuple[str, int]], *, title: str) -> Markup:
    """Bars with a label and a count each, in the order given."""
    plot = _Plot(len(counts), (0, _range([0, *(count for _, count in counts)])[1]), "", "", counted=True)
    short = _shortened([label for label, _ in counts], plot.slot)
    for place, (label, count) in enumerate(counts):
        plot.bar(f"{label}: {count:,}", place, count)
        plot.label(place, short[place])
    return plot.figure(title, [])


class _Plot:
    """Shapes in a frame with axes, placed by what the axes measure."""

    def __init__(
        self, x: tuple[float, float] | int, y: tuple[float, float], x_label: str, y_label: str, counted: bool = False
    ) -> None:
        """Axes over these ranges; along x there may be so many slots for things with a label instead of a range.

        counted: whether x is a count, such as steps, or y where x has slots, and so has whole numbers alone.
        """
        slots = isinstance(x, int)
        heights = _numbers(ticks(*y, whole=counted and slots))
        longest = max(map(len, heights.values()), default=0)
        self.left = max(LEFT, 8 + DIGIT * longest + ASIDE * bool(y_label))
        first, last = x if isinstance(x, tuple) else (0, x)
        self.x = scale(first, last, self.left, WIDTH - RIGHT)
        self.y, self.ends = scale(*y, HEIGHT - BOTTOM, TOP), y
        self.slot = self.x(1) - self.x(0)  # pixels
        self.parts: list[str] = []
        for value, number in heights.items():
            height = self.y(value)
            self._level("grid", height)
            self._text("tick", self.left - 8, height + 4, "end", number)
        for value, number in _numbers(ticks(*x, whole=counted)).items() if isinstance(x, tuple) else ():
            self._text("tick", self.x(value), HEIGHT - BOTTOM + 18, "middle", number)
        middle = (self.left + WIDTH - RIGHT) / 2
        self.parts.append(
            f"<text class='tick' x='{middle:.0f}' y='{HEIGHT - 4}' text-anchor='middle'>{escape(x_label)}</text>"
            f"<text class='tick' transform='translate(12 {(TOP + HEIGHT - BOTTOM) / 2:.0f}) rotate(-90)' "
            f"text-anchor='middle'>{escape(y_label)}</text>"
        )

    def level(self, name: str, value: float) -> None:
        """A named level across the whole."""
        self._level("reference", self.y(value))
        self._text("note", WIDTH - RIGHT, self.y(value) - 4, "end", name)

    def curve(self, points: Points, colour: str) -> None:
        path = " ".join(f"{self.x(x):.1f},{self.y(y):.1f}" for x, y in points)
        self.parts.append(f"<polyline class='curve' style='stroke:{colour}' points='{path}'/>")

    def dot(self, x: float, y: float, colour: str, radius: int = 3) -> None:
        place = f"cx='{self.x(x):.1f}' cy='{self.y(y):.1f}'"
        self.parts.append(f"<circle style='fill:{colour}' {place} r='{radius}'/>")

    def interval(self, words: str, x: float, value: float, ends: tuple[float, float], colour: str) -> None:
        """A value with its interval, that says what it is when pointed at; no end is drawn beyond the frame."""
        least, most = self.ends
        place, (low, high) = self.x(x), (self.y(min(max(end, least), most)) for end in ends)
        self.parts.append(
            f"<g><title>{escape(words)}</title><line class='whisker' style='stroke:{colour}' "
            f"x1='{place:.1f}' x2='{place:.1f}' y1='{low:.1f}' y2='{high:.1f}'/>"
        )
        self.dot(x, value, colour, radius=5)
        self.parts.append("</g>")

    def bar(self, words: str, slot: int, value: float) -> None:
        """A bar in a slot, that says what it is when pointed at."""
        left, top = self.x(slot + 0.1), self.y(value)
        self.parts.append(
            f"<g><title>{escape(words)}</title><rect style='fill:{_colour(0)}' x='{left:.1f}' y='{top:.1f}' "
            f"width='{0.8 * self.slot:.1f}' height='{HEIGHT - BOTTOM - top:.1f}'/></g>"
        )

    def label(self, slot: int, text: str) -> None:
        """What stands under a slot."""
        self._text("tick", self.x(slot + 0.5), HEIGHT - BOTTOM + 18, "middle", text)

    def figure(self, title: str, names: Sequence[str]) -> Markup:
        """All of it, with a legend of the names in the order of their colours."""
        legend = "".join(
            f"<li><span class='swatch' style='background:{_colour(shade)}'></span>{escape(name)}</li>"
            for shade, name in enumerate(names)
        )
        return Markup(
            f"<figure><figcaption>{escape(title)}</figcaption>"
            f"<svg viewBox='0 0 {WIDTH} {HEIGHT}' role='img' aria-label='{escape(title)}'>{''.join(self.parts)}</svg>"
            f"<ul class='legend'>{legend}</ul></figure>"
        )

    def _level(self, kind: str, height: float) -> None:
        self.parts.append(
            f"<line class='{kind}' x1='{self.left}' x2='{WIDTH - RIGHT}' y1='{height:.1f}' y2='{height:.1f}'/>"
        )

    def _text(self, kind: str, x: float, y: float, anchor: str, text: str) -> None:
        left, top = (v if isinstance(v, int) else f"{v:.1f}" for v in (x, y))
        place = f"x='{left}' y='{top}' text-anchor='{anchor}'"
        self.parts.append(f"<text class='{kind}' {place}>{escape(text)}</text>")


def _colour(shade: int) -> str:
    return f"var(--series-{shade % SHADES})"


def _shortened(labels: Sequence[str], room: float) -> list[str]:
    """As much of each label as there is room for, of its start or of its end, by which fewer look alike.

    Whoever points at a bar reads all of it.
    """
    most = max(2, int(room / LETTER)) - 1
    heads = [label if len(label) <= most + 1 else label[:most] + "…" for label in labels]
    tails = [label if len(label) <= most + 1 else "…" + label[-most:] for label in labels]
    return tails if len({*tails}) > len({*heads}) else heads


def _numbers(ticks: Sequence[float]) -> dict[float, str]:
    """What is written at each tick: short, but with as many digits as tell it from the next."""
    told = {value: _number(value, 0) for value in ticks}
    more = 0
    while len(set(told.values())) < len(told) and (more := more + 1) <= 12:
        told = {value: _number(value, more) for value in ticks}
    return told


def _number(value: float, more: int) -> str:
    """A tick's number, with so many digits more than is usual."""
    if value == 0 or abs(value) >= 0.001:
        return f"{value:.{6 + more}g}"
    return f"{value:.{2 + more}g}".replace("e-0", "e-")


def _thinned(points: Points) -> list[tuple[float, float]]:
    """No more points than can be told apart, the last among them: a long run's page would grow by megabytes."""
    step = max(1, math.ceil(len(points) / POINTS))
    return [*points[::step], *([points[-1]] if points and (len(points) - 1) % step else [])]


def _runs(points: Points) -> list[list[tuple[float, float]]]:
    """Stretches of finite points."""
    return [list(run) for finite, run in groupby(points, lambda point: math.isfinite(point[1])) if finite]


def _range(values: Sequence[float], pad: float = 0.06) -> tuple[float, float]:
    low, high = min(values), max(values)
    if high == low:
        return low - (abs(low) or 1) * 0.1, high + (abs(high) or 1) * 0.1
    return low - pad * (high - low), high + pad * (high - low)
