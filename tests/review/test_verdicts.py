"""Human verdicts: added and never changed, and imports of whole CSV files."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ledger_samples import inspected
from sqlalchemy.engine import URL
from stations import Station
from typer.testing import CliRunner
from verdict_samples import drawn, fill, force, rows

from inspector.commands.cli import app
from inspector.errors import StationError, UsageError
from inspector.ledger.store import Store
from inspector.records import Review, Verdict
from inspector.review.verdicts import mistakes, read_csv


@pytest.fixture
def weld_inspect(tmp_path: Path, url: URL, store: Store) -> Callable[..., str]:
    """Provide a function that runs a command on a filled database; it returns stdout or raises the error."""
    fill(store)
    station = Station(tmp_path, tmp_path / "none.pt", url)

    def run(*words: object) -> str:
        done = CliRunner().invoke(app, [*map(str, words), "--config", str(station.config)])
        if isinstance(done.exception, StationError):
            raise done.exception
        assert done.exit_code == 0, done.output
        return done.stdout

    return run


# --- one verdict -----------------------------------------------------------------------------------------


def test_a_verdict_is_added_and_never_changed(weld_inspect: Callable[..., str], url: URL) -> None:
    """A new verdict of a person is a new row, the same one again is none; the station's verdict stays."""
    before = rows(url, "SELECT * FROM inspection ORDER BY id")
    weld_inspect("review", "set", 2, "--verdict", "pass", "--reviewer", "Ann O'Hara", "--note", 'so "so"')
    said = ("review", "set", 2, "--verdict", "FAIL", "--label", "burn through", "--reviewer", "bob")
    station = "the station had said FAIL burn through 0.900"
    assert weld_inspect(*said) == f"inspection 2 (part P1, pass 1): FAIL; {station}, Ann O'Hara PASS\n"
    assert weld_inspect(*said) == f"inspection 2 (part P1, pass 1): FAIL, unchanged; {station}, bob FAIL\n"
    assert rows(url, "SELECT inspection_id, reviewer, verdict, label, note FROM review ORDER BY id") == [
        (2, "Ann O'Hara", "PASS", None, 'so "so"'),
        (2, "bob", "FAIL", "burn through", None),
    ]
    assert rows(url, "SELECT * FROM inspection ORDER BY id") == before
    assert rows(url, "SELECT human_verdict FROM v_inspection WHERE id = 2") == [("FAIL",)]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((99, "--verdict", "PASS"), "there is no inspection 99"),
        ((1, "--verdict", "MAYBE"), "'MAYBE' is not a verdict; use PASS, FAIL or REVIEW"),
        ((1, "--verdict", "FAIL", "--label", "burn trough"), "did you mean 'burn through'?"),
        ((1, "--verdict", "FAIL", "--label", "x"), "no artifact knows a class 'x'; there are a \"hole\""),
        ((1, "--verdict", "FAIL", "--label", "good weld"), "FAIL contradicts 'good weld', an accepted class"),
        ((1, "--verdict", "PASS", "--label", "burn through"), "PASS contradicts 'burn through', a defect"),
        ((1, "--verdict", "PASS", "--reviewer", " "), "the reviewer has no name"),
    ],
)
def test_a_wrong_verdict_is_one_line(
    weld_inspect: Callable[..., str], url: URL, words: tuple[object, ...], message: str
) -> None:
    """A verdict that makes no sense is refused with a hint, and nothing is written."""
    with pytest.raises(UsageError) as caught:
        weld_inspect("review", "set", *words)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert rows(url, "SELECT * FROM review") == []


def test_a_new_class_is_taken_when_asked_for(weld_inspect: Callable[..., str], url: URL) -> None:
    """A class that no artifact knows yet can be named on purpose, for the next artifact to learn."""
    weld_inspect("review", "set", 2, "--verdict", "FAIL", "--label", "undercut", "--new-class")
    assert rows(url, "SELECT label FROM review") == [("undercut",)]


# --- the queue -------------------------------------------------------------------------------------------


def test_next_shows_what_waits(weld_inspect: Callable[..., str]) -> None:
    """REVIEW comes first, then FAIL; a verdict removes an image, a person's REVIEW moves it to the end."""

    def waiting(*words: object) -> list[tuple[str, int]]:
        content = json.loads(weld_inspect("review", "next", "--format", "json", "--limit", 100, *words))
        return [(row["why"], row["id"]) for row in content["rows"]]

    fails, reviews = [("fail", n) for n in (2, 5, 8, 11)], [("review", n) for n in (3, 6, 9, 12)]
    assert waiting() == reviews + fails
    weld_inspect("review", "set", 3, "--verdict", "PASS")
    weld_inspect("review", "set", 2, "--verdict", "REVIEW")
    assert waiting() == [*reviews[1:], *fails[1:], ("undecided", 2)]
    assert waiting("--reason", "fail") == fails[1:]
    assert waiting("--reason", "fail", "--limit", "1") == fails[1:2]
    assert waiting("--part", "P1") == [("review", 6), ("review", 12), ("fail", 8), ("undecided", 2)]
    with pytest.raises(UsageError, match="--reason 'new': there is review, audit, fail, undecided"):
        waiting("--reason", "new")


def test_next_explains_why_an_image_waits(weld_inspect: Callable[..., str]) -> None:
    """A REVIEW comes with its reason in words; a FAIL, which has none, with an empty cell."""
    content = json.loads(weld_inspect("review", "next", "--format", "json"))
    said = {(row["verdict"], row["reason"], row["explanation"]) for row in content["rows"]}
    assert said == {
        ("REVIEW", "uncertain", "uncertain: no class reaches its threshold"),
        ("FAIL", None, None),
    }


def test_the_list_of_waiting_images_comes_back_filled_in(
    weld_inspect: Callable[..., str], url: URL, tmp_path: Path
) -> None:
    """The CSV of 'next' can be imported as soon as its columns are filled in."""
    table = list(csv.DictReader(io.StringIO(weld_inspect("review", "next", "--format", "csv"))))
    assert table[0]["human_verdict"] == "", "the station's verdict must not come back as a person's"
    for line, (verdict, label) in zip(
        table, [("PASS", "good weld"), ("fail", 'a "hole"; or two'), ("", "")], strict=False
    ):
        line |= {"human_verdict": verdict, "human_label": label, "note": "two\nlines, really"}
    path = tmp_path / "done.csv"
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, table[0].keys())
        writer.writeheader()
        writer.writerows(table)
    said = weld_inspect("review", "import", path, "--reviewer", "ann", "--json")
    assert json.loads(said) == {"imported": 2, "unchanged": 0}
    expected = [
        (3, "PASS", "good weld", "two\nlines, really"),
        (6, "FAIL", 'a "hole"; or two', "two\nlines, really"),
    ]
    assert rows(url, "SELECT inspection_id, verdict, label, note FROM review ORDER BY id") == expected
    again = weld_inspect("review", "import", path, "--reviewer", "ann", "--json")
    assert json.loads(again) == {"imported": 0, "unchanged": 2}


# --- import ----------------------------------------------------------------------------------------------


def test_one_wrong_line_and_nothing_is_imported(
    weld_inspect: Callable[..., str], url: URL, tmp_path: Path, store: Store
) -> None:
    """Every mistake is reported with its line, and then no line is written, not even a right one."""
    path = tmp_path / "some.csv"
    path.write_text(
        "id,human_verdict,human_label\n1,PASS,good weld\n99,PASS,\n2,OK,\n3,FAIL,good weld\nx,PASS,\n"
        "1,FAIL,\n4,FAIL,crack,surplus\n5,FAIL,crack\n6,,never mind\n7,PASS,burn through\n"
    )
    station = Station(path.parent, path, url)
    done = CliRunner().invoke(app, ["review", "import", str(path), "--config", str(station.config)])
    assert isinstance(done.exception, UsageError)
    assert "8 mistakes, so nothing was imported" in str(done.exception)
    lines = [line.removeprefix(f"{path}: ") for line in done.stderr.splitlines()]
    assert lines == [
        "line 3: there is no inspection 99; 'review next' and 'trace' show the numbers",
        "line 4: 'OK' is not a verdict; use PASS, FAIL or REVIEW",
        "line 5: FAIL contradicts 'good weld', an accepted class",
        "line 6: 'x' is not the number of an inspection",
        "line 7: inspection 1 is in line 2 already",
        "line 8: has more cells than the header",
        "line 9: no artifact knows a class 'crack'; there are a \"hole\"; or two, burn through, good weld",
        "line 11: PASS contradicts 'burn through', a defect; say FAIL, or leave the label out",
    ]
    assert rows(url, "SELECT * FROM review") == []


def test_a_spreadsheets_csv_is_read(tmp_path: Path) -> None:
    """Semicolons, a byte order mark, CRLF and blanks around cells are accepted as in spreadsheets."""
    path = tmp_path / "sheet.csv"
    path.write_bytes('\ufeffid;human_verdict;reviewer;note\r\n 7 ;pass;;"a;b"\r\n'.encode())
    assert read_csv(path, "ann") == [(2, Review(7, "ann", Verdict.PASS, None, "a;b"))]


@pytest.mark.parametrize(("separator", "encoding"), [("\t", "utf-16"), (";", "utf-8-sig"), (",", "utf-8")])
def test_each_form_of_excel_is_read_with_its_names(tmp_path: Path, separator: str, encoding: str) -> None:
    """Excel's Unicode text and both kinds of CSV keep every name; empty cells at the end are accepted."""
    path = tmp_path / "sheet.csv"
    lines = ["id|human_verdict|human_label|reviewer|note", "7|FAIL||J\u00f6rg|'Pore 2 mm'|||", "||||"]
    path.write_bytes("\r\n".join(lines).replace("|", separator).replace("'", '"').encode(encoding))
    assert read_csv(path, "ann") == [(2, Review(7, "J\u00f6rg", Verdict.FAIL, None, "Pore 2 mm"))]


def test_text_that_a_csv_shows_as_text_is_read_as_it_was(tmp_path: Path) -> None:
    """The apostrophe that keeps a spreadsheet from running a cell is removed from classes and notes."""
    path = tmp_path / "a.csv"
    path.write_text("id,human_verdict,human_label,note\n7,FAIL,'=hole,'-3 mm\n8,PASS,'quoted',\n")
    assert read_csv(path, "ann") == [
        (2, Review(7, "ann", Verdict.FAIL, "=hole", "-3 mm")),
        (3, Review(8, "ann", Verdict.PASS, "'quoted'", None)),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "lacks the column id and human_verdict"),
        (b"id,verdict\n1,PASS\n", "lacks the column human_verdict"),
        (b"id,human_verdict,human_lable\n", "no column 'human_lable'; did you mean 'human_label'?"),
        (b"id,human_verdict,colour\n", "no column 'colour'; remove it"),
        (b"id,human_verdict\n1,\xff\n", "save it as 'CSV UTF-8"),
        ("id;human_verdict;note\n1;PASS;Gr\u00f6\u00dfe\n".encode("cp1252"), "save it as 'CSV UTF-8"),
        ("id;human_verdict\n1;PASS\n".encode("utf-16-le"), "save it as 'CSV UTF-8"),  # without a mark
        (b'id,human_verdict\n1,"PASS\n', "is not CSV"),
    ],
)
def test_a_file_that_is_no_table_of_verdicts_is_one_line(
    tmp_path: Path, content: bytes, message: str
) -> None:
    """Missing and misspelt columns, other encodings and broken quotes are reported."""
    path = tmp_path / "odd.csv"
    path.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        read_csv(path, "ann")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    header=st.sampled_from([b"id,human_verdict\n", b"id;human_verdict;note\n", b""]),
    content=st.binary() | st.text(alphabet='id,human_verdict\n"1;PASS\r\0').map(str.encode),
)
def test_no_content_of_the_file_gives_a_traceback(tmp_path: Path, header: bytes, content: bytes) -> None:
    """Any bytes give verdicts, mistakes by line, or one error message."""
    path = tmp_path / "wild.csv"
    path.write_bytes(header + content)
    try:
        assert all(line >= 2 for line, _ in read_csv(path, "ann"))
    except UsageError as error:
        assert "\n" not in str(error)


def test_a_thousand_verdicts_are_checked_and_written(store: Store, url: URL) -> None:
    """With more inspections than one query takes all are checked, and wrong ones are found."""
    store.record([inspected(f"{n}.png") for n in range(1001)], force(store))
    reviews = [Review(n + 1, "ann", Verdict.PASS) for n in range(1001)]
    assert mistakes(url, reviews) == [None] * 1001
    last = mistakes(url, [*reviews, Review(2000, "ann", Verdict.PASS)])[-1]
    assert str(last).startswith("there is no inspection 2000; ")
    assert store.record_reviews(reviews) == 1001
    assert rows(url, "SELECT count(*) FROM review") == [(1001,)]


def test_a_sample_is_of_the_period_and_part(weld_inspect: Callable[..., str], url: URL) -> None:
    """Only images of the given part and period are drawn and counted."""
    said = weld_inspect(
        "review", "sample", "--count", 5, "--seed", 1, "--json", "--part", "P1", "--since", "2026-01-05T09:00"
    )
    assert json.loads(said) == {"drawn": 2, "population": 2, "seed": 1}
    assert sorted(drawn(url)) == [4, 10]
    assert json.loads(weld_inspect("review", "sample", "--json"))["drawn"] == 2
    with pytest.raises(UsageError, match="--since 'soon' is not a date"):
        weld_inspect("review", "sample", "--since", "soon")
