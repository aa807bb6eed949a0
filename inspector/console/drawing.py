"""Charts of a report's rows as shapes that a template turns into SVG: each point and bar can be a link.

The report's own plots are pictures with fixed colours. These take their colours from the style sheet, dark or
light, and a policy without inline styles allows them. Lengths are units of the view box.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Final

from inspector.reports.page.chart_words import (
    Row,
    describe_agreement,
    describe_latency,
    describe_p_chart,
    describe_pareto,
    describe_trend,
    interval,
    label_of,
)
from inspector.reports.page.period_reports import flagging_tests
from inspector.reports.page.words import Words, printable

Link = Callable[[Row], str | None]

WIDTH: Final = 960
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 110, 14, 40  # margins: numbers, words beside, half a point, labels
_HEIGHT: Final = 260
_BAR: Final = 26  # from one bar to the next
_MAX_BARS: Final = 20
_MAX_LABELS: Final = 12
_POINT: Final = 3.2  # radius


@dataclass(frozen=True, slots=True)
class Label:
    """A text at a place; ``anchor`` is start, middle or end."""

    x: float
    y: float
    text: str
    anchor: str = "middle"


@dataclass(frozen=True, slots=True)
class Mark:
    """A point, as a path, with its words and the page that it opens."""

    path: str
    kind: str  # the class in the style sheet
    text: str
    href: str | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """A polyline, or an area if ``kind`` is ``band``."""

    points: str
    kind: str


@dataclass(frozen=True, slots=True)
class Drawing:
    """A chart with its alternative text."""

    title: str
    alt: str
    height: float
    lines: list[Line] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)
    width: float = WIDTH


def p_chart(rows: Sequence[Row], by: str, words: Words, link: Link) -> Drawing:
    """Draw the p-chart of one station: its points, centre line, limits and signals."""
    labels, last = [label_of(row, by) for row in rows], rows[-1]
    limits = [row["upper_share"] for row in rows if row["upper_share"] is not None]
    # The wide limits of a few small subgroups would flatten all other points.
    top = max([0.01, *(row["fail_share"] for row in rows), *([median(limits) * 1.25] if limits else [])])
    place = _Places(len(rows), 0, min(1, top))
    drawing = Drawing(printable(last["station"]), describe_p_chart(rows, by, words), _HEIGHT)
    _percent_axis(drawing, place, words)
    _label_places(drawing, place, labels)
    known = [number for number, row in enumerate(rows) if row["lower_share"] is not None]
    if known:
        upper = [step for n in known for step in place.step(n, rows[n]["upper_share"])]
        lower = [step for n in known for step in place.step(n, rows[n]["lower_share"])]
        drawing.lines.append(Line(_points([*upper, *lower[::-1]]), "band"))
    centred = [number for number, row in enumerate(rows) if row["center_share"] is not None]
    if centred:
        middle = [step for n in centred for step in place.step(n, rows[n]["center_share"])]
        drawing.lines.append(Line(_points(middle), "centre"))
        text = words("plot.center", value=words.share(last["center_share"] or 0))
        drawing.labels.append(Label(WIDTH - _RIGHT + 8, middle[-1][1] + 4, text, "start"))
    _series(drawing, place, [row["fail_share"] for row in rows])
    for number, row in enumerate(rows):
        kind = "outside" if row["test_1"] else "run" if flagging_tests(row) else "point"
        figures = (
            f"{words.share(row['fail_share'])} ({words.number(row['failed'])} / {words.number(row['n'])})"
        )
        path = _SHAPES[kind](place.x(number), place.y(row["fail_share"]))
        drawing.marks.append(Mark(path, kind, f"{labels[number]}: {figures}", link(row)))
    return drawing


def trend(rows: Sequence[Row], by: str, words: Words, link: Link) -> Drawing:
    """Draw the PASS share over time."""
    shares, labels = [row["pass_share"] for row in rows], [label_of(row, by) for row in rows]
    low = min(shares)
    place = _Places(len(rows), max(0, low - (1 - low) * 0.1), 1)
    drawing = Drawing(words("plot.pass_share"), describe_trend(rows, by, words), _HEIGHT)
    _percent_axis(drawing, place, words)
    _label_places(drawing, place, labels)
    _series(drawing, place, shares)
    for number, row in enumerate(rows):
        images = f"{words('plot.images')} {words.number(row['n'])}"
        text = f"{labels[number]}: {words.share(row['pass_share'])}, {images}"
        path = _dot(place.x(number), place.y(row["pass_share"]))
        drawing.marks.append(Mark(path, "point", text, link(row)))
    return drawing


def pareto(rows: Sequence[Row], words: Words, link: Link) -> Drawing:
    """Draw the share of each defect as a bar."""
    rows = rows[:_MAX_BARS]
    names = [words.cell("class", row["class"]) for row in rows]
    left, right = 240, 150
    longest = max(row["share"] for row in rows)
    drawing = Drawing("", describe_pareto(rows, words), _BAR * len(rows) + 8)
    for number, (name, row) in enumerate(zip(names, rows, strict=True)):
        y, length = _BAR * number + 4, max(1, row["share"] / longest * (WIDTH - left - right))
        figures = f"{words.number(row['n'])} · {words.share(row['share'])}"
        drawing.labels.append(Label(left - 10, y + 15, _cut(name), "end"))
        drawing.labels.append(Label(left + length + 10, y + 15, figures, "start"))
        path = f"M{left} {y}h{length:.1f}v{_BAR - 6}h{-length:.1f}z"
        drawing.marks.append(Mark(path, "bar", f"{name}: {figures}", link(row)))
    return drawing


def agreement(rows: Sequence[Row], words: Words) -> Drawing:
    """Draw shares with their intervals, one line for each measure that has reviews."""
    names = [words.cell("measure", row["measure"]) for row in rows]
    texts = [interval(row, words) for row in rows]
    left, right = 200, 240
    wide = WIDTH - left - right
    drawing = Drawing("", describe_agreement(rows, words), _BAR * len(rows) + 8)
    for number, row in enumerate(rows):
        y = _BAR * number + 16
        low, share, high = (left + wide * row[key] for key in ("low_share", "share", "high_share"))
        drawing.labels.append(Label(left - 10, y + 4, names[number], "end"))
        drawing.labels.append(Label(WIDTH - right + 14, y + 4, texts[number], "start"))
        drawing.lines.append(Line(_points([(low, y), (high, y)]), "interval"))
        drawing.marks.append(Mark(_dot(share, y), "point", f"{names[number]}: {texts[number]}"))
    return drawing


def latency(rows: Sequence[Row], words: Words) -> Drawing:
    """Draw median and 95% of the total time per hour, from ``latency_by_hour``, step ``total``."""
    place = _Places(len(rows), 0, max(row["p95_ms"] for row in rows) or 1)
    drawing = Drawing(words("plot.milliseconds"), describe_latency(rows, words), _HEIGHT)
    for value in _ticks(0, place.high):
        drawing.labels.append(Label(_LEFT - 8, place.y(value) + 4, words.number(value), "end"))
    _label_places(drawing, place, [label_of(row, "hour") for row in rows])
    for column, kind, key in (("p95_ms", "series", "plot.p95"), ("p50_ms", "centre", "plot.median")):
        ends = [(place.x(number), place.y(row[column])) for number, row in enumerate(rows)]
        drawing.lines.append(Line(_points(ends), kind))
        drawing.labels.append(Label(WIDTH - _RIGHT + 8, ends[-1][1] + 4, words(key), "start"))
    return drawing


class _Places:
    """The places of numbered points, and of values from ``low`` to ``high``."""

    def __init__(self, n: int, low: float, high: float) -> None:
        self.n, self.low, self.high = n, low, high
        self._wide = (WIDTH - _LEFT - _RIGHT) / n
        self._span = (high - low) or 1

    def x(self, number: float) -> float:
        return _LEFT + (number + 0.5) * self._wide

    def y(self, value: float) -> float:
        inside = min(self.high, max(self.low, value))
        return _TOP + (self.high - inside) / self._span * (_HEIGHT - _TOP - _BOTTOM)

    def step(self, number: int, value: float) -> list[tuple[float, float]]:
        """Both ends of a horizontal step at a point."""
        y = self.y(value)
        return [(self.x(number - 0.5), y), (self.x(number + 0.5), y)]


def _percent_axis(drawing: Drawing, place: _Places, words: Words) -> None:
    digits = 0 if place.high - place.low > 0.04 else 1
    for value in _ticks(place.low, place.high):
        y = place.y(value)
        drawing.lines.append(Line(_points([(_LEFT, y), (WIDTH - _RIGHT, y)]), "grid"))
        drawing.labels.append(Label(_LEFT - 8, y + 4, words.share(value, digits), "end"))


def _ticks(low: float, high: float) -> list[float]:
    """About five round numbers from ``low`` to ``high``: multiples of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / 5 or 1
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    return [
        number * step for number in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)
    ]


def _label_places(drawing: Drawing, place: _Places, labels: Sequence[str]) -> None:
    """Write about a dozen of the labels below the points."""
    for number in range(0, place.n, -(-place.n // _MAX_LABELS)):
        first, _, second = labels[number].partition(" ")
        drawing.labels.append(Label(place.x(number), _HEIGHT - _BOTTOM + 18, first))
        if second:
            drawing.labels.append(Label(place.x(number), _HEIGHT - _BOTTOM + 33, _cut(second)))


def _series(drawing: Drawing, place: _Places, shares: Sequence[float]) -> None:
    ends = [(place.x(number), place.y(share)) for number, share in enumerate(shares)]
    drawing.lines.append(Line(_points(ends), "series"))


def _points(places: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)


def _dot(x: float, y: float) -> str:
    r = _POINT
    return f"M{x - r:.1f} {y:.1f}a{r} {r} 0 1 0 {2 * r} 0a{r} {r} 0 1 0 {-2 * r} 0z"


def _diamond(x: float, y: float) -> str:
    r = 2 * _POINT
    return f"M{x:.1f} {y - r:.1f}l{r} {r}l{-r} {r}l{-r} {-r}z"


def _square(x: float, y: float) -> str:
    r = 1.5 * _POINT
    return f"M{x - r:.1f} {y - r:.1f}h{2 * r}v{2 * r}h{-2 * r}z"


_SHAPES: Final = {"point": _dot, "outside": _diamond, "run": _square}


def _cut(text: str) -> str:
    return text if len(text) <= 30 else text[:29] + "…"
