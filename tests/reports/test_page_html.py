"""The page of the quality report: correct figures, valid HTML, safe with any name, and accepted by a browser.

One file of more than 350 lines: all of these tests share one written history and its parsed page.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import html5lib
import pytest
import sqlalchemy as sa
from histories import BERLIN
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_samples import inspected, quarantined
from programs import program
from sqlalchemy.engine import URL

from inspector.errors import UsageError
from inspector.ledger import database, schema
from inspector.ledger.store import Store, migrate
from inspector.records import Verdict
from inspector.reports import definitions
from inspector.reports.page import html
from inspector.reports.page.period import Period
from inspector.reports.page.period_reports import Source
from inspector.reports.page.pictures import LocalArchive
from inspector.reports.page.plot_style import (
    BACKGROUND_COLOURS,
    COLOURS,
    DARK_COLOURS,
    TEXT_COLOURS,
)
from inspector.reports.page.plots import pareto
from inspector.reports.page.words import INSTANT_COLUMNS, LANGUAGES, Words, printable
from inspector.reports.query import DEFAULT_VERDICTS, VERDICTS, Query, run
from inspector.reports.rendering import words_of

NOW = datetime(2026, 4, 4, 6, tzinfo=UTC)
SINCE, UNTIL = "2026-03-27", "2026-04-04"  # of history 2: the rate shifts on the second of April
SECTIONS = ["summary", "reconcile", "trend", "pareto", "p_chart", "seams", "agreement", "latency", "drift"]
SECTIONS += ["downtime", "quarantine", "images", "definitions"]


@pytest.fixture(scope="module")
def history(history_url: Callable[..., URL]) -> str:
    """A shop of twelve days; tests only read it."""
    return str(history_url(2))


def page_of(url: str | URL, language: str = "en", **asked: Any) -> html.Page:
    """The report of the history's second week, or of the period that is given."""
    source = Source(url, BERLIN, asked.get("station"), asked.get("part"))
    source = dataclasses.replace(source, verdicts=asked.get("verdicts", DEFAULT_VERDICTS))
    which = Period.from_options(asked.get("since", SINCE), asked.get("until", UNTIL), None, BERLIN, NOW)
    return html.quality_report(source, which, LocalArchive("cell-1", Path("nowhere")), language, NOW)


@pytest.fixture(scope="module")
def shown(history: str) -> html.Page:
    """The page of the history in English."""
    return page_of(history)


def parsed(page: str) -> ET.Element:
    """The page as parsed by the HTML standard; any mistake in it is an error."""
    parser = html5lib.HTMLParser(html5lib.getTreeBuilder("etree"), strict=True, namespaceHTMLElements=False)
    root = parser.parse(page)
    for element in root.iter():
        if isinstance(element.tag, str):
            element.tag = element.tag.rpartition("}")[2]
    return root


def text_of(element: ET.Element) -> str:
    """All text below an element."""
    return "".join(element.itertext())


# --- figures ---------------------------------------------------------------------------------------------


def cell_value(cell: ET.Element) -> Any:
    """The exact value behind the text of a table's cell."""
    data, moment = cell.find(".//data"), cell.find(".//time")
    if data is not None:
        return float(data.get("value", ""))
    if moment is not None:
        return moment.get("datetime")
    text = text_of(cell).strip()
    return None if text == "–" else text


def tables(page: html.Page) -> Iterator[tuple[str, str | None, list[str], list[tuple[Any, ...]]]]:
    """Report, grouping, columns and rows of each table of the page."""
    for table in parsed(page.html).iter("table"):
        columns = [head.get("data-column", "") for head in table.iter("th")]
        rows = [tuple(map(cell_value, row.iter("td"))) for row in table.iter("tr")]
        yield table.get("data-report", ""), table.get("data-by"), columns, [row for row in rows if row]


@pytest.mark.parametrize(
    "asked", [{}, {"station": "cell-1"}, {"part": "P-0042"}], ids=["all", "station", "part"]
)
def test_every_figure_equals_the_sql_report_s(history: str, asked: dict[str, str]):
    """Each row of each table is a row of its report, and in its order if the table shows all of it."""
    counted = Counter[str]()
    for name, by, columns, rows in tables(page_of(history, **asked)):
        report = run(
            history,
            Query(
                name,
                since=SINCE,
                until=UNTIL,
                by=by,
                zone=BERLIN,
                station=asked.get("station"),
                part=asked.get("part") if definitions.takes(name, "part") else None,
            ),
        )
        if not set(columns) <= set(report.columns):
            continue  # derived columns: below
        places = [report.columns.index(column) for column in columns]
        expected = [
            tuple(_shown(report.columns[place], row[place]) for place in places) for row in report.rows
        ]
        counted[name] += len(rows)
        if len(rows) == len(expected):
            assert rows == expected, name
        else:
            assert not Counter(rows) - Counter(expected), name
    assert set(counted) >= {
        "summary",
        "reconcile",
        "pareto",
        "agreement",
        "latency",
        "drift",
        "downtime",
        "gaps",
    }
    assert all(counted.values())


def _shown(column: str, value: Any) -> Any:
    """A value of a report as the page's cells show it."""
    return Words().cell(column, value) if isinstance(value, str) and column not in INSTANT_COLUMNS else value


def test_seams_and_signals_are_those_of_their_reports(history: str, shown: html.Page):
    """The passes by verdict are counted from the report's rows, and every signal of the p-chart is listed."""
    rows = run(history, Query("seams", since=SINCE, until=UNTIL, zone=BERLIN)).rows
    verdicts = Counter(row[4] for row in rows)
    chart = run(history, Query("p_chart", since=SINCE, until=UNTIL, by="shift", zone=BERLIN))
    first = chart.columns.index("test_1")
    signals = [row for row in chart.rows if any(row[first : first + 4])]
    assert signals
    listed = {(name, tuple(columns)): rows for name, _, columns, rows in tables(shown)}
    assert listed["seams", ("verdict", "n", "of_n", "share")] == [
        (verdict, n, len(rows), n / len(rows)) for verdict, n in sorted(verdicts.items())
    ]
    (found,) = (rows for (name, _), rows in listed.items() if name == "p_chart")
    newest = [row[:3] for row in found]
    assert len(newest) == min(12, len(signals))
    assert [day for _, day, _ in newest] == sorted((row[2] for row in signals), reverse=True)[:12]
    assert set(newest) <= {(row[0], row[2], row[3]) for row in signals}


@pytest.mark.parametrize("verdicts", VERDICTS)
def test_both_verdicts_have_their_p_chart_side_by_side(history: str, verdicts: str):
    """Whatever the page counts, a station's plot has the centre line of final verdicts and of its own."""
    section = parsed(page_of(history, verdicts=verdicts).html).find(".//section[@id='p_chart']")
    labels = [svg.get("aria-label", "") for svg in section.iter("svg")]
    asked = {"since": SINCE, "until": UNTIL, "by": "shift", "zone": BERLIN}
    for kind, words in VERDICTS.items():
        report = run(history, Query("p_chart", verdicts=kind, **asked))
        columns = [report.columns.index(name) for name in ("station", "center_share")]
        centers = dict(tuple(row[column] for column in columns) for row in report.rows)
        for label, (station, center) in zip(labels, centers.items(), strict=True):
            text = label.partition(f"{words}: ")[2]
            assert text.startswith(f"p-chart of {station}, ")
            assert (
                f"centre line {Words().cell('center_share', center)};" in text.partition(" the station's")[0]
            )


def test_limits_come_from_the_reference(history: str):
    """With a reference period, the limits and signals of the p-chart come from it."""
    which = Period.from_options(SINCE, UNTIL, None, BERLIN, NOW)
    source = Source(history, BERLIN, "cell-1", reference=which.before)
    page = html.quality_report(source, which, LocalArchive("cell-1", Path("nowhere")), "en", NOW)
    asked: dict[str, Any] = {"since": SINCE, "until": UNTIL, "station": "cell-1", "zone": BERLIN}
    own = run(history, Query("p_chart", **asked))
    report = run(history, Query("p_chart", **asked, reference_since="2026-03-19", reference_until=SINCE))
    center = report.columns.index("center_share")
    ((columns, rows),) = ((columns, rows) for name, _, columns, rows in tables(page) if name == "p_chart")
    shown = {row[columns.index("center_share")] for row in rows}
    assert shown == {row[center] for row in report.rows} != {row[center] for row in own.rows}
    assert "2026-03-19 to 2026-03-26" in text_of(next(parsed(page.html).iter("dl")))


def test_headline_figures_are_sums_over_the_stations(history: str, shown: html.Page):
    """Each card shows its report's figure over all stations, and the change since the period before."""

    def rows(name: str, **more: Any) -> list[dict[str, Any]]:
        report = run(history, Query(name, **({"since": SINCE, "until": UNTIL, "zone": BERLIN} | more)))
        return [dict(zip(report.columns, row, strict=True)) for row in report.rows]

    def total(some: list[dict[str, Any]], column: str) -> int:
        return sum(row[column] for row in some)

    summary, first = rows("summary"), rows("first_pass_yield", by="station")
    seams, before = rows("seams"), rows("summary", since="2026-03-19", until=SINCE)
    (escape,) = (row for row in rows("agreement") if row["measure"] == "escape")
    (latency,) = (row for row in rows("latency") if row["step"] == "total")
    n = total(summary, "n")
    expected = {
        "images": n,
        "first_pass": total(first, "passed") / total(first, "n"),
        "fail": total(summary, "failed") / n,
        "review": total(summary, "review") / n,
        "seams": sum(row["verdict"] == "FAIL" for row in seams) / len(seams),
        "escape": escape["share"],
        "latency": latency["p95_ms"],
        "quarantined": total(summary, "quarantined"),
    }
    assert len(summary) == 2
    cards = {c.get("id", "")[5:]: c for c in parsed(shown.html).iter("li") if "card-" in c.get("id", "")}
    assert {key: cell_value(card) for key, card in cards.items()} == expected
    words, was = Words(), total(before, "failed") / total(before, "n")
    change = f"▲ {words.number((expected['fail'] - was) * 100, 1)} points before {words.share(was)} of"
    assert change in text_of(cards["fail"])


@pytest.mark.parametrize("verdicts", VERDICTS)
def test_the_headline_has_both_verdicts_and_every_section_names_its_own(history: str, verdicts: str):
    """A card has the share by the page's verdicts and by the others; a section names its own."""
    page = page_of(history, verdicts=verdicts)
    root = parsed(page.html)

    def shares(counted: str) -> dict[str, str]:
        asked = {"since": SINCE, "until": UNTIL, "zone": BERLIN, "verdicts": counted}
        report, seams = run(history, Query("summary", **asked)), run(history, Query("seams", **asked))
        n, failed, review = (
            sum(row[report.columns.index(column)] for row in report.rows)
            for column in ("n", "failed", "review")
        )
        bad = sum(row[seams.columns.index("verdict")] == "FAIL" for row in seams.rows)
        figures = {"fail": failed / n, "review": review / n, "seams": bad / len(seams.rows)}
        return {key: Words().share(value) for key, value in figures.items()}

    [other] = set(VERDICTS) - {verdicts}
    named = {"final": "final {}", "station": "the station's {}"}[other]
    assert shares(verdicts) != shares(other)
    for key, share in shares(verdicts).items():
        assert page.figures["cards"][key] == share
        [card] = (c for c in root.iter("li") if c.get("id") == f"card-{key}")
        assert named.format(shares(other)[key]) in text_of(card)
    heads = {section.get("id"): text_of(section.find("header")) for section in root.iter("section")}
    for key in ("summary", "trend", "pareto", "p_chart", "seams"):
        assert VERDICTS[verdicts] in heads[key]
    assert VERDICTS["station"] in heads["images"], "they are chosen by the station's verdicts"
    for key in ("reconcile", "agreement", "latency", "drift", "downtime", "quarantine"):
        assert "verdicts" not in heads[key]
    assert page.figures["verdicts"] == verdicts


def test_the_agreement_section_says_what_the_audits_prove(history: str, shown: html.Page):
    """The sentences of both commands are in the section, in the page's language; an alarm is a notice."""
    period = {"since": SINCE, "until": UNTIL, "zone": BERLIN}
    agreement, escapes = (run(history, Query(name, **period)) for name in ("agreement", "escapes"))
    [section] = (s for s in parsed(shown.html).iter("section") if s.get("id") == "agreement")
    for report in (agreement, escapes):
        assert str(words_of(report)) in [text_of(paragraph) for paragraph in section.iter("p")]
    alarms = [row[0] for row in escapes.rows if row[-1] == "more"]
    notices = [text_of(item) for item in parsed(shown.html).findall(".//div[@class='notices']/ul/li")]
    assert sum("More defects escape than the confidences of" in each for each in notices) == len(alarms) > 0
    [section] = (s for s in parsed(page_of(history, "de").html).iter("section") if s.get("id") == "agreement")
    assert "audited" not in text_of(section)


# --- the page --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_section_says_its_period_n_and_definition(history: str, language: str):
    """In each language, each section has a heading, its period, its n and its definition."""
    root = parsed(page_of(history, language).html)
    assert root.get("lang") == LANGUAGES[language]
    found = {section.get("id"): section for section in root.iter("section")}
    assert list(found) == SECTIONS
    for key, section in found.items():
        assert text_of(section.find(".//h2")).strip() == Words(language)(f"section.{key}")
        assert len(text_of(section.find("p[@class='definition']")).strip()) > 10
        if key != "definitions":
            n = text_of(section.find(".//div[@class='n']"))
            assert "2026-03-27" in n
            assert "2026-04-03" in n
            assert "n" in n.partition("·")[2]
            assert not section.findall(".//p[@class='empty']"), key


def test_the_page_loads_nothing_else(shown: html.Page):
    """The page loads nothing from the network and runs nothing; its links stay inside; each id is unique."""
    root = parsed(shown.html)
    names = [element.get("id") for element in root.iter() if element.get("id")]
    assert len(names) == len(set(names))
    assert not {"script", "link", "iframe", "object", "embed", "form", "base"} & {e.tag for e in root.iter()}
    for element in root.iter():
        assert not [name for name in element.keys() if name.startswith("on")]  # noqa: SIM118 - no dict
        for name in ("href", "{http://www.w3.org/1999/xlink}href", "src"):
            link = element.get(name, "#h-summary")
            assert link.startswith("data:image/jpeg;base64,") or link[1:] in names, link
    assert set(re.findall(r"url\(#([^)]+)\)", shown.html)) <= set(names)
    assert "http" not in re.sub(r'(xmlns="|http-equiv)[^"]*"?', "", shown.html)


def test_every_picture_has_its_text(shown: html.Page):
    """Each plot and each image has a text that says what it shows."""
    root = parsed(shown.html)
    plots = [svg for svg in root.iter("svg") if svg.get("class") == "plot"]
    assert len(plots) == 7  # trend, Pareto, two stations' p-charts, agreement, latency, drift
    for svg in root.iter("svg"):
        assert svg.get("role") == "img"
        assert re.search(r"\d", svg.get("aria-label", ""))
    assert all(image.get("alt") for image in root.iter("img"))


def luminance(colour: str) -> float:
    """Relative luminance of ``#rrggbb`` (WCAG 2.2)."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_text_has_enough_contrast(shown: html.Page):
    """Each text colour has a contrast of at least 4.5 on each background, light or dark; no other is used."""
    for colours in (COLOURS, DARK_COLOURS):
        for ink in TEXT_COLOURS:
            for ground in BACKGROUND_COLOURS:
                light, dark = sorted((luminance(colours[ground]), luminance(colours[ink])), reverse=True)
                assert (light + 0.05) / (dark + 0.05) >= 4.5, (ink, ground)
    style = text_of(next(parsed(shown.html).iter("style")))
    ours = {f"var(--{name})" for name in TEXT_COLOURS}
    assert set(re.findall(r"(?<![\w-])color: ([^;}]+)", style)) <= ours | {COLOURS["muted"], "inherit"}
    assert set(re.findall(r"background: ([^;}]+)", style)) <= {
        f"var(--{name})" for name in BACKGROUND_COLOURS
    }
    used = {text.get("style", "") for text in parsed(shown.html).iter("text")}
    assert used
    assert {re.search(r"fill: ([^;]+)", each)[1] for each in used if "fill" in each} <= ours  # type: ignore[index]
    assert all("fill" in each for each in used)


def test_an_empty_database_makes_a_sensible_page(tmp_path: Path):
    """Without any row, the page has every section and each says that there are no data."""
    url = f"sqlite:///{tmp_path / 'quality.db'}"
    migrate(url)
    for since in (SINCE, None):
        root = parsed(page_of(url, since=since, until=None).html)
        assert [section.get("id") for section in root.iter("section")] == SECTIONS
        assert len(root.findall(".//p[@class='empty']")) == len(SECTIONS) - 1
        assert root.find(".//div[@class='notices quiet']") is None
        assert "No image was judged in this period" in text_of(root.find(".//div[@class='notices']"))


def test_missing_images_and_reviews_come_first(url: URL):
    """A silent week, a silent station and images that wait for a person are the first notices of the page."""
    for station, verdict in (("cell-1", Verdict.REVIEW), ("cell-2", Verdict.PASS)):
        with Store.open(url, station, seam_gap_s=300) as store:
            store.record([inspected(verdict=verdict)], force_of(store))
    with database.reading(url) as engine, database.transaction(engine) as connection:
        opened = connection.scalar(sa.select(sa.func.max(schema.station.c.first_opened_us)))
    later = datetime.fromtimestamp(opened / 1e6, UTC) + timedelta(days=7)

    def notices(since: str | None, until: str, station: str | None = None) -> list[str]:
        page = page_of(url, since=since, until=until, station=station)
        return [text_of(item) for item in parsed(page.html).findall(".//div[@class='notices']/ul/li")]

    assert notices(f"{later:%Y-%m-%d}", f"{later + timedelta(days=7):%Y-%m-%d}")[:4] == [
        "No image was judged in this period",
        "No image came from cell-1",
        "No image came from cell-2",
        "1 image waits for a person",
    ]
    assert notices(None, f"{later:%Y-%m-%d}")[0] == "1 image waits for a person"
    assert "No image came from cell-2" in notices(
        f"{later:%Y-%m-%d}", f"{later + timedelta(days=7):%Y-%m-%d}", station="cell-2"
    )


def test_a_single_row_makes_a_sensible_page(url: URL):
    """With one image, on either back end, the page has its figures and leaves the others empty."""
    with Store.open(url, "cell-1", seam_gap_s=300) as store:
        store.record([inspected(verdict=Verdict.FAIL, label="crack")], force_of(store))
    page = page_of(url, since="2026-01-01")
    root = parsed(page.html)
    assert page.figures["cards"]["images"] == "1"
    assert page.figures["cards"]["fail"] == "100.0%"
    assert page.figures["cards"]["escape"] == "–"
    assert not root.find(".//section[@id='pareto']").findall(".//p[@class='empty']")  # type: ignore[union-attr]


def force_of(store: Store, name: str = "good", model: str = "weldnet") -> Any:
    """The model in force, with classes like those in an artifact's metadata."""
    classes = [{"name": name, "role": "accept"}, {"name": "crack", "role": "defect"}]
    return store.in_force(
        metadata=json.dumps({"classes": classes}),
        artifact_sha256="0" * 64,
        name=model,
        version="1",
        settings_json="{}",
    )


def test_a_wrong_language_or_station_is_one_line(history: str):
    """An unknown language and an unknown station are refused by name."""
    with pytest.raises(UsageError, match="en, de, zh"):
        page_of(history, "fr")
    with pytest.raises(UsageError, match="no station 'cell-9'"):
        page_of(history, station="cell-9")


# --- hostile names ---------------------------------------------------------------------------------------

HOSTILE = [
    "<script>alert(1)</script>",
    "</title></style><img src=x onerror=alert(1)>",
    '"><svg/onload=alert(1)>',
    "' onmouseover='alert(1)",
    "]]><!--<b>",
    "&lt;b&gt; &amp; &#60;",
    "{{ 7 * 7 }}{% raw %}",
    "$\\frac{a}{$ $x^2$",
    "} * { display: none } @import 'x';",
    '\\"; } body { color: red',
    "javascript:alert(1)",
    "bell\x07 tab\t line\n \x85 \u2028 \ufffe",
    "\u202egnp.exe\u2066",
    "焊缝 Träger % {name}",
    "x" * 300,
]


@pytest.fixture
def shapes(tmp_path: Path) -> Callable[[list[str]], tuple[ET.Element, Counter[Any]]]:
    """Make the page of a shop where everything has these names; count its elements with their attributes."""

    def page(names: list[str]) -> tuple[ET.Element, Counter[Any]]:
        url = f"sqlite:///{tmp_path / f'{len(names[0])}.db'}"
        migrate(url)
        with Store.open(url, names[0], seam_gap_s=300) as store:
            force = force_of(store, names[0], model=names[0])
            for each in names:
                named = {"part": each, "seam": each, "label": each, "verdict": Verdict.FAIL}
                store.record([inspected(f"{each}{n}.png", **named) for n in range(6)], force)  # type: ignore[arg-type]
                store.record([quarantined(each, each, reason=each, path=each)], force)
        which = Period.from_options("2026-01-01", "2026-02-01", None, BERLIN, NOW)
        asked = Source(url, BERLIN, names[0], names[0])
        elements: Counter[Any] = Counter()
        for part in (None, names[0]):
            source = dataclasses.replace(asked, part=part)
            made = html.quality_report(source, which, LocalArchive("other", tmp_path), "en", NOW)
            root = parsed(made.html)
            elements += Counter(
                (e.tag, *sorted(set(e.keys()) - {"class"}))  # long names are marked by a class
                for e in root.iter()
                if e.tag not in ("wbr", "path", "use", "g")
            )
        return root, elements

    return page


def test_no_name_can_inject_markup(shapes):
    """The elements of the page are the same for any name of a file, part, class, station or model."""
    names = ["".join(HOSTILE), *HOSTILE]
    root, elements = shapes(names)
    assert elements == shapes([f"plain {number:02}" for number in range(len(names))])[1]
    meta = root.find(".//meta[@name='weldnet-report']")
    assert json.loads(meta.get("content", ""))["part"] == names[0]
    assert printable(names[0]) in text_of(root.find(".//title"))
    assert printable(names[0]) in root.find(".//section[@id='p_chart']").find(".//svg").get("aria-label")
    everything = text_of(root)
    assert [name for name in HOSTILE if printable(name) not in everything] == []


@given(st.text())
def test_any_text_stays_one_css_string(text: str):
    """Any text becomes letters, digits and escapes between its own two quotes in the style sheet."""
    assert re.fullmatch(r'"([0-9A-Za-z]|\\[0-9a-f]+ )*"', html.css_string(text))


@settings(max_examples=20, deadline=None)  # a plot takes a quarter of a second
@given(st.text(min_size=1))
def test_any_class_name_stays_text_in_a_plot(name: str):
    """The plot of a class with any name is valid XML that holds the name as text."""
    row = {"class": name, "n": 1, "of_n": 1, "share": 1.0, "cumulative_n": 1, "cumulative_share": 1.0}
    plot = pareto([row], Words())
    root = ET.fromstring(plot.svg)  # noqa: S314 - ours
    assert root.get("aria-label") == f"Pareto chart of 1 FAIL images: {printable(name)} 100.0%."
    texts = [text_of(text) for text in root.iter("text")]
    assert any(printable(name).startswith(text.removesuffix("…")) for text in texts) or not name.strip()


# --- a browser -------------------------------------------------------------------------------------------

_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--enable-logging=stderr",
    "--disable-dev-shm-usage",  # a container's /dev/shm may be too small
    "--disable-breakpad",  # no crash handler that outlives the browser
]
_QUIET = ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
_LOADED = pytest.mark.timeout(
    600
)  # s: a browser takes 3 s on a quiet machine, and far longer on a loaded one


@pytest.fixture
def browse(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Opens a file in a real Chromium with a profile and a home of its own."""
    browser = program("chromium", "chromium-browser", "google-chrome")

    def open_(file: Path, *more: str) -> subprocess.CompletedProcess[str]:
        profile = f"--user-data-dir={tmp_path / 'profile'}"
        command = [browser, *_FLAGS, *_QUIET, profile, *more, file.as_uri()]
        home = os.environ | {"HOME": str(tmp_path)}
        seen = subprocess.run(command, env=home, capture_output=True, text=True, timeout=480, check=False)
        assert seen.returncode == 0, seen.stderr
        return seen

    return open_


@_LOADED
def test_a_browser_shows_it_without_complaint(history: str, tmp_path: Path, browse):
    """Chromium shows each section and reports no error."""
    file = tmp_path / "report.html"
    file.write_text(page_of(history, "zh").html, encoding="utf-8")
    seen = browse(file, "--dump-dom")
    assert "CONSOLE" not in seen.stderr, seen.stderr
    assert re.findall(r'<section id="(\w+)"', seen.stdout) == SECTIONS


@_LOADED
def test_a_browser_prints_numbered_pages(history: str, tmp_path: Path, browse):
    """Each printed page has the report's title at the top and its number at the bottom."""
    pdftotext = program("pdftotext")
    file = tmp_path / "report.html"
    file.write_text(page_of(history, "de").html, encoding="utf-8")  # 'ü' is in every font, '焊' is not
    printed = tmp_path / "report.pdf"
    browse(file, "--no-pdf-header-footer", f"--print-to-pdf={printed}")
    text = subprocess.run([pdftotext, "-layout", printed, "-"], capture_output=True, text=True, check=True)
    pages = text.stdout.rstrip("\f").split("\f")
    assert len(pages) > 3
    for number, sheet in enumerate(pages, 1):
        lines = [line for line in sheet.splitlines() if line.strip()]
        assert Words("de")("page.title") in lines[0]
        assert lines[-1].replace(" ", "").endswith(f"{number}/{len(pages)}")


@_LOADED
def test_a_browser_would_complain_of_a_script(shown: html.Page, tmp_path: Path, browse):
    """A script in the page is refused, and the test above would see it."""
    file = tmp_path / "report.html"
    file.write_text(
        shown.html.replace("</body>", "<script>document.title = 'x'</script></body>"), encoding="utf-8"
    )
    assert "Content Security Policy" in browse(file, "--dump-dom").stderr
