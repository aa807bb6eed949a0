"""Plots of the SQL reports' rows as SVG; text stays text, and each plot has an alternative text.

Different shapes repeat the difference between colours, so that a plot can be read in black and white.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from inspector.reports.page.chart_words import (
    describe_agreement,
    describe_latency,
    describe_p_chart,
    describe_pareto,
    describe_trend,
    interval,
    label_of,
)
from inspector.reports.page.period_reports import Row, flagging_tests
from inspector.reports.page.plot_style import (
    COLOURS,
    COLUMN_INCHES,
    FONT_POINTS,
    HALF_COLUMN_INCHES,
    add_axes,
    label_ticks,
    new_figure,
    percent_axis,
    shorten,
    spread_apart,
    text_inches,
    write_beside,
)
from inspector.reports.page.words import Words, printable

_P_CHART_INCHES = 2.75  # width of each of two; the words beside it need 0.95


@dataclass(frozen=True, slots=True)
class Plot:
    """An ``svg`` element for a page, with its alternative text; ``half``: it takes half of the column."""

    svg: str
    alt: str
    half: bool = False
    title: str | None = None


def trend(rows: Sequence[Row], by: str, period: float, before: float | None, words: Words) -> Plot:
    """Plot the PASS share over time, above the number of images.

    Args:
        rows: rows of the report ``trend``, at least one.
        by: the grouping of the rows.
        period: the share over the whole period, from 0 to 1.
        before: the share of the period before, if there is one.
        words: the language of the page.
    """
    shares, labels = [row["pass_share"] for row in rows], [label_of(row, by) for row in rows]
    alt = describe_trend(rows, by, words)
    with new_figure(COLUMN_INCHES, 2.2) as (figure, finish):
        above, below = (
            add_axes(figure, 0.6, 1.1, 1.2, 0.12),
            add_axes(figure, 0.6, 1.1, 0.45, 1.5),
        )
        above.plot(shares, "-o", color=COLOURS["accent"], markersize=2.6)
        lines = [
            (period, "--", "plot.period"),
            *([(before, ":", "plot.before")] if before is not None else []),
        ]
        lowest = min([*shares, *(share for share, _, _ in lines)])
        places = spread_apart([share for share, _, _ in lines], (1 - lowest) * 0.16)
        for (share, style, key), place in zip(lines, places, strict=True):
            above.axhline(share, linestyle=style, color=COLOURS["muted"], linewidth=0.9)
            write_beside(above, place, words(key, value=words.share(share)))
        percent_axis(above, "y", words, low=lowest, high=1)
        above.set_ylabel(words("plot.pass_share"))
        above.set_xticks([])
        below.bar(range(len(rows)), [row["n"] for row in rows], color=COLOURS["fill"], width=0.8)
        below.yaxis.set_major_locator(MaxNLocator(2, integer=True))
        below.yaxis.set_major_formatter(lambda value, _: words.number(value))
        below.set_ylabel(words("plot.images"))
        label_ticks(below, labels)
        above.set_xlim(below.get_xlim())
        return Plot(finish("trend", alt), alt)


def pareto(rows: Sequence[Row], words: Words) -> Plot:
    """Plot the share of each defect with the running sum; at most the first twelve."""
    rows = rows[:12]
    names = [words.cell("class", row["class"]) for row in rows]
    alt = describe_pareto(rows, words)
    left = min(1.9, max(map(text_inches, names)) + 0.12)
    with new_figure(HALF_COLUMN_INCHES, 0.24 * len(rows) + 0.55) as (figure, finish):
        axes = add_axes(figure, left, 0.25, 0.24 * len(rows), 0.08)
        places = range(len(rows))
        axes.barh(places, [row["share"] for row in rows], color=COLOURS["fill"], height=0.72)
        sums = [row["cumulative_share"] for row in rows]
        axes.plot(sums, places, "-o", color=COLOURS["accent"], markersize=3)
        for place, row in enumerate(rows):
            axes.text(0.012, place, words.share(row["share"]), va="center", fontsize=FONT_POINTS - 0.5)
        axes.set_yticks(list(places), [shorten(name, left - 0.12) for name in names], color=COLOURS["ink"])
        axes.invert_yaxis()
        axes.tick_params(axis="y", length=0)
        percent_axis(axes, "x", words, low=0, high=1.03)
        return Plot(finish("pareto", alt), alt, half=True)


def p_charts(charts: Mapping[str, Sequence[Row]], by: str, number: int, words: Words) -> Plot:
    """Plot two p-charts of one station side by side, on one scale: final verdicts and the station's.

    Args:
        charts: for each of :data:`inspector.reports.query.VERDICTS`, in the order of the plot, the station's
            rows of the report ``p_chart``, at least one.
        by: the grouping that makes the subgroups.
        number: the number of the plot on the page, for unique names in it.
        words: the language of the page.
    """
    titles = {verdicts: words(f"verdicts.{verdicts}") for verdicts in charts}
    alt = " ".join(
        f"{titles[verdicts]}: {describe_p_chart(rows, by, words)}" for verdicts, rows in charts.items()
    )
    top = max(map(_top_of_p_chart, charts.values()))
    with new_figure(COLUMN_INCHES, 2.3) as (figure, finish):
        for place, (verdicts, rows) in enumerate(charts.items()):
            left = 0.6 + place * COLUMN_INCHES / 2
            axes = add_axes(figure, left, COLUMN_INCHES - left - _P_CHART_INCHES, 1.5, 0.34)
            axes.set_title(titles[verdicts], loc="left", fontsize=FONT_POINTS, color=COLOURS["ink"])
            _draw_p_chart(axes, rows, by, top, words)
        return Plot(finish(f"p_chart-{number}", alt), alt, title=_station_of(charts))


def _station_of(charts: Mapping[str, Sequence[Row]]) -> str:
    return printable(next(iter(charts.values()))[0]["station"])


def _top_of_p_chart(rows: Sequence[Row]) -> float:
    shares: list[float] = [row["fail_share"] for row in rows]
    limits: list[float] = [row["upper_share"] for row in rows if row["upper_share"] is not None]
    # The wide limits of a few small subgroups would flatten all other points.
    return max([0.01, *shares, *([median(limits) * 1.25] if limits else [])])


def _draw_p_chart(axes: Axes, rows: Sequence[Row], by: str, top: float, words: Words) -> None:
    outside = [place for place, row in enumerate(rows) if row["test_1"]]
    runs = [place for place, row in enumerate(rows) if flagging_tests(row) and not row["test_1"]]
    shares = [row["fail_share"] for row in rows]
    lower, center, upper = (
        [_or_nan(row[f"{key}_share"]) for row in rows] for key in ("lower", "center", "upper")
    )
    places = list(range(len(rows)))
    axes.fill_between(places, lower, upper, step="mid", color=COLOURS["tint"], linewidth=0)
    for line, style in ((lower, "-"), (center, "--"), (upper, "-")):
        axes.step(places, line, style, where="mid", color=COLOURS["muted"], linewidth=0.8)
    axes.plot(places, shares, "-o", color=COLOURS["accent"], markersize=2.4, linewidth=0.9)
    for some, marker, size in ((outside, "D", 5.5), (runs, "s", 4.5)):
        chosen = [shares[place] for place in some]
        axes.plot(some, chosen, marker, markersize=size, color=COLOURS["alarm"])
    limit, middle = rows[-1]["upper_share"], rows[-1]["center_share"]
    if middle is not None:
        low, high = spread_apart([middle, middle if limit is None else min(limit, top)], top * 0.12)
        write_beside(axes, low, words("plot.center", value=words.share(middle)))
        if limit is not None:
            write_beside(axes, high, words("plot.limits"))
    percent_axis(axes, "y", words, low=0, high=top)
    axes.set_ylabel(words("plot.fail_share"))
    label_ticks(axes, [label_of(row, by) for row in rows], most=6)


def agreement(rows: Sequence[Row], words: Words) -> Plot:
    """Plot shares with their intervals, one line per measure that has reviews."""
    names = [words.cell("measure", row["measure"]) for row in rows]
    texts = [interval(row, words) for row in rows]
    alt = describe_agreement(rows, words)
    left = max(0.6, max(map(text_inches, names)) + 0.12)
    with new_figure(COLUMN_INCHES, 0.26 * len(rows) + 0.45) as (figure, finish):
        axes = add_axes(figure, left, 1.8, 0.26 * len(rows), 0.08)
        for place, row in enumerate(rows):
            ends = [row["low_share"], row["high_share"]]
            axes.plot(ends, [place, place], "|-", color=COLOURS["accent"], linewidth=1.6, markersize=7)
            axes.plot(row["share"], place, "o", color=COLOURS["accent"], markersize=5)
            write_beside(axes, place, texts[place])
        axes.set_yticks(range(len(rows)), names, color=COLOURS["ink"])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="y")
        axes.set_axisbelow(True)
        percent_axis(axes, "x", words, low=0, high=1.02)
        return Plot(finish("agreement", alt), alt)


def latency(rows: Sequence[Row], words: Words) -> Plot:
    """Plot median and 95% of the total time per hour, from ``latency_by_hour``, step ``total``."""
    alt = describe_latency(rows, words)
    with new_figure(COLUMN_INCHES, 1.75) as (figure, finish):
        axes = add_axes(figure, 0.6, 1.1, 1.25, 0.12)
        ends = []
        for column, style, key in (("p95_ms", "-", "plot.p95"), ("p50_ms", "--", "plot.median")):
            values = [row[column] for row in rows]
            marker = "o" if len(rows) < 40 else ""
            axes.plot(values, style, marker=marker, markersize=2.4, color=COLOURS["accent"], linewidth=1)
            ends.append((values[-1], words(key)))
        highest = max(row["p95_ms"] for row in rows)
        if highest > 20 * median(row["p50_ms"] for row in rows) > 0:
            axes.set_yscale("log")  # the hours of an outage would flatten all others
        else:
            axes.set_ylim(0, highest * 1.08 or 1)
            for place, (_, text) in zip(
                spread_apart([v for v, _ in ends], highest * 0.14), ends, strict=True
            ):
                write_beside(axes, place, text)
        axes.yaxis.set_major_formatter(lambda value, _: words.number(value))
        axes.grid(axis="y")
        axes.set_ylabel(words("plot.milliseconds"))
        label_ticks(axes, [label_of(row, "hour") for row in rows])
        return Plot(finish("latency", alt), alt)


def confidence(rows: Sequence[Row], words: Words) -> Plot:
    """Plot the model's confidence, now and in the reference period, from the report ``confidence``."""
    most = max(rows, key=lambda row: row["share"] or 0)
    alt = words(
        "plot.drift",
        share=words.share(most["share"] or 0),
        low=words.number(most["confidence_from"], 2),
        high=words.number(most["confidence_to"], 2),
    )
    edges = [row["confidence_from"] for row in rows] + [rows[-1]["confidence_to"]]
    with new_figure(HALF_COLUMN_INCHES, 1.75) as (figure, finish):
        axes = add_axes(figure, 0.5, 0.25, 1.1, 0.12)
        axes.stairs(
            [row["share"] or 0 for row in rows],
            edges,
            fill=True,
            color=COLOURS["fill"],
            label=words("plot.now"),
        )
        if all(row["reference_share"] is not None for row in rows):
            before = [row["reference_share"] for row in rows]
            axes.stairs(before, edges, color=COLOURS["accent"], linewidth=1.2, label=words("plot.reference"))
        axes.legend(loc="upper left", frameon=False, fontsize=FONT_POINTS)
        percent_axis(
            axes,
            "y",
            words,
            low=0,
            high=max(*(r["share"] or 0 for r in rows), *(r["reference_share"] or 0 for r in rows)),
        )
        axes.xaxis.set_major_formatter(lambda value, _: words.number(value, 1))
        axes.set_xlabel(words("plot.probability"))
        return Plot(finish("drift", alt), alt, half=True)


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value
