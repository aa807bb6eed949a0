"""inspector.file_names: any bytes become safe text and back, and a name is read by its pattern."""

import os
import re
from datetime import UTC, datetime
from pathlib import PurePath
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from inspector.file_names import parse, to_path, to_text
from inspector.records import NameParts

BERLIN = ZoneInfo("Europe/Berlin")
MOMENT_US = int(datetime(2026, 1, 5, 13, 45, 1, tzinfo=UTC).timestamp()) * 1_000_000
TIME = re.compile(r"_(?P<time>.+)\.png$")
file_names = st.binary(min_size=1, max_size=255).filter(
    lambda raw: not set(raw) & {0, ord("/")} and raw not in (b".", b"..")
)


@given(file_names)
@example(b"weld_\xe4\xff.jpg")
@example("Schweißnaht 1\n.png".encode())
@example(b"\xc2\x85\xe2\x80\xa8.png")
@example(b"%41.png")
def test_any_name_becomes_one_line_of_utf8_that_can_be_undone(raw: bytes) -> None:
    """A name of any bytes has a text of one line of valid UTF-8, and the text gives the bytes back."""
    text = to_text(PurePath(os.fsdecode(raw)))
    assert len(text.splitlines()) == 1
    assert not any(ord(c) < 32 or 0x7F <= ord(c) < 0xA0 for c in text)
    assert os.fsencode(to_path(text)) == raw


def test_a_name_in_plain_utf8_stays_as_it_is() -> None:
    """Spaces, umlauts and sub-folders are left alone, so that people find their files in reports."""
    assert to_text(PurePath("cam 1/Naht-größer.png")) == "cam 1/Naht-größer.png"


def test_bytes_that_are_not_utf8_are_spelt_out() -> None:
    """A name in Latin-1 is no error and stays readable."""
    assert to_text(PurePath(os.fsdecode(b"weld_\xe4\xff 5%.jpg"))) == "weld_%E4%FF 5%25.jpg"


def test_the_pattern_gives_camera_part_seam_and_time() -> None:
    """Named groups of the pattern become the fields of the same names."""
    pattern = re.compile(r"(?P<camera>cam\d)-(?P<part>\w+)-s(?P<seam>\d)-(?P<time>\d+)")
    parts = parse("cam1-P77-s2-1767620701.png", pattern, UTC)
    assert parts == NameParts(camera="cam1", part="P77", seam="2", camera_time_us=MOMENT_US)


@pytest.mark.parametrize("name", ["other.png", ""])
def test_a_name_that_does_not_match_is_no_error(name: str) -> None:
    """A name outside the pattern, or no pattern at all, is no error."""
    assert parse(name, TIME, UTC) == NameParts()
    assert parse(name, None, UTC) == NameParts()


def test_a_subfolder_is_the_camera_if_the_name_has_none() -> None:
    """The sub-folder is the camera, unless the pattern finds a camera in the name."""
    pattern = re.compile(r"(?P<camera>cam\d)?_(?P<part>P\d+)")
    assert parse("left/_P42.png", pattern, BERLIN) == NameParts(camera="left", part="P42")
    assert parse("left/cam1_P42.png", pattern, BERLIN) == NameParts(camera="cam1", part="P42")
    assert parse("left/other.png", pattern, BERLIN) == NameParts(camera="left")
    assert parse("left/other.png", None, BERLIN) == NameParts(camera="left")
    assert parse("other.png", None, BERLIN) == NameParts()


@pytest.mark.parametrize(
    "text",
    [
        "1767620701",
        "1767620701.0",
        "20260105T134501Z",
        "2026-01-05T13:45:01+00:00",
        "2026-01-05T14:45:01",
        "20260105144501",
        "20260105-144501",
        "20260105_144501",
        "2026-01-05T14-45-01",
        "2026-01-05 14:45:01",
    ],
)
def test_camera_time_is_read_in_every_usual_form(text: str) -> None:
    """Unix seconds and offsets are absolute; a time without an offset is the station's local time."""
    assert parse(f"a_{text}.png", TIME, BERLIN).camera_time_us == MOMENT_US


@pytest.mark.parametrize(
    ("text", "seen", "taken"),
    [
        ("20261025-023000", "2026-10-25T00:30:04", "2026-10-25T00:30:00"),
        ("20261025-023000", "2026-10-25T01:30:04", "2026-10-25T01:30:00"),
        ("2026-10-25T02:59:59", "2026-10-25T01:00:01", "2026-10-25T00:59:59"),
        ("2026-10-25T02:30:00+01:00", "2026-10-25T00:30:04", "2026-10-25T01:30:00"),
        ("20261025-033000", "2026-10-25T01:30:04", "2026-10-25T02:30:00"),
        ("20260329-023000", "2026-03-29T01:30:04", "2026-03-29T01:30:00"),
        ("20260329-023000", "2026-03-29T00:30:04", "2026-03-29T00:30:00"),
    ],
)
def test_of_two_readings_the_one_nearest_to_the_sight_counts(text: str, seen: str, taken: str) -> None:
    """A local time that clocks show twice, or skip, is read as the instant nearest to when it was seen."""
    seen_us, taken_us = (
        int(datetime.fromisoformat(f"{moment}+00:00").timestamp()) * 1_000_000 for moment in (seen, taken)
    )
    assert parse(f"a_{text}.png", TIME, BERLIN, seen_us).camera_time_us == taken_us


@pytest.mark.parametrize(
    "text", ["20261305134501", "frame", "99991231T235959", "0001-01-01", "176", "٣" * 10]
)
def test_a_time_that_is_none_is_left_out(text: str) -> None:
    """A date that does not exist, an impossible year or plain text gives no time, and no error."""
    assert parse(f"a_{text}.png", TIME, BERLIN).camera_time_us is None


@given(st.text(max_size=40), st.sampled_from(["UTC", "Europe/Berlin", "Pacific/Kiritimati"]))
def test_no_text_in_a_times_place_raises(text: str, zone: str) -> None:
    """Any text in the place of the time is read without an error, so that the image is inspected."""
    time_us = parse(f"a_{text}.png", TIME, ZoneInfo(zone)).camera_time_us
    assert time_us is None or abs(time_us) < 2**63


@given(st.datetimes(datetime(1970, 1, 2), datetime(2099, 12, 30)).map(lambda d: d.replace(microsecond=0)))
def test_every_second_survives_the_compact_form(moment: datetime) -> None:
    """A compact time stamp gives back the second that was written."""
    time_us = parse(f"a_{moment:%Y%m%d-%H%M%S}.png", TIME, UTC).camera_time_us
    assert time_us is not None
    assert datetime.fromtimestamp(time_us / 1e6, UTC).replace(tzinfo=None) == moment
