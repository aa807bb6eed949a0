"""Small pictures that people at the centre ask for, and stations make."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from catalogues import change, rows_of
from consoles import inspected_station
from forwarders import NO_ARCHIVE, add_images, send, work_a_shift
from PIL import Image
from sqlalchemy.engine import URL
from stations import Station

from inspector import resources
from inspector.errors import StoreRefused
from inspector.forwarding.thumbnails import small_jpeg
from inspector.imaging import decoder
from inspector.ledger import thumbnails
from inspector.ledger.schema import MAX_THUMBNAIL_BYTES
from inspector.station.archive_places import ArchiveFolder


@pytest.fixture
def centre(url_of: Callable[..., URL]) -> URL:
    """A central database without rows."""
    return url_of("postgresql")


@pytest.fixture
def station(tmp_path: Path, tiny: Path) -> Station:
    """A station that has judged and archived six images."""
    return inspected_station(tmp_path, tiny, 6)


def numbers_at(centre: URL) -> dict[str, int]:
    """The number of each image at the centre, by its path in the archive."""
    return {row.archive_path: row.id for row in rows_of(centre, "SELECT id, archive_path FROM inspection")}


def test_the_picture_is_the_archived_image(station: Station, centre: URL) -> None:
    """A picture shows the judged pixels in at most 20 kB; without the file, a reason takes its place."""
    archive = ArchiveFolder(station.archive)
    send(station.url, centre, "cell-1", archive)
    numbers = numbers_at(centre)
    shown, gone, other, linked, unasked, _ = numbers
    for path in (shown, gone, other, linked, shown):
        assert thumbnails.ask(centre, numbers[path], "ann")
    original = (station.archive / shown).read_bytes()
    (station.archive / gone).unlink()
    (station.archive / other).write_bytes(original)
    (station.archive / linked).unlink()
    (station.archive / linked).symlink_to("/etc/hostname")
    for _ in range(2):
        assert send(station.url, centre, "cell-1", archive).sent == 0, "a picture is no row of the station"
    found = {path: thumbnails.find(centre, number) for path, number in numbers.items()}
    picture = found[shown].picture
    assert len(picture) <= MAX_THUMBNAIL_BYTES
    with Image.open(io.BytesIO(picture)) as small:
        difference = np.asarray(small, float) - decoder.decode(original)
    assert np.abs(difference).mean() < 4, "a JPEG of the same frame"
    assert [found[path].reason for path in (gone, other, linked)] == ["vanished", "altered", "not_a_file"]
    assert found[unasked] is None
    asked = rows_of(centre, "SELECT person FROM thumbnail_request")
    assert (len(asked), len(rows_of(centre, "SELECT id FROM thumbnail"))) == (4, 4)


def test_requests_wait_for_the_archive(station: Station, centre: URL) -> None:
    """While the archive's disk is not mounted, rows go on to the centre, and requests wait for the disk."""
    send(station.url, centre)
    [number, *_] = numbers_at(centre).values()
    thumbnails.ask(centre, number, "ann")
    add_images(station.url, "cell-1", 3)
    assert send(station.url, centre, "cell-1", NO_ARCHIVE).sent == 6
    assert thumbnails.find(centre, number) is None
    send(station.url, centre, "cell-1", ArchiveFolder(station.archive))
    assert thumbnails.find(centre, number).picture


def test_an_image_that_the_station_lost_has_no_picture(
    station: Station, url_of: Callable[..., URL], centre: URL
) -> None:
    """A station whose ledger was replaced says that it does not have the image."""
    send(station.url, centre)
    [number, *_] = numbers_at(centre).values()
    thumbnails.ask(centre, number, "ann")
    change(
        centre,
        lambda c: c.exec_driver_sql(
            "INSERT INTO forwarded (station_id, positions, returned, sent,"
            " behind, at_us) VALUES (1, '{}', '{}', 0, 0, 1)"
        ),
    )
    other = url_of("sqlite")
    add_images(other, "cell-1", 1)
    send(other, centre, "cell-1", ArchiveFolder(station.archive))
    assert thumbnails.find(centre, number) == thumbnails.Thumbnail(None, "vanished")


def test_only_stations_that_forward_are_asked(url: URL) -> None:
    """A station that writes to the database by itself has nobody who would make a picture."""
    add_images(url, "cell-1", 1)
    assert not thumbnails.ask(url, 1, "ann")
    assert rows_of(url, "SELECT id FROM thumbnail_request") == []


@pytest.mark.parametrize(
    "revision, missing", [("0013", "summary_seal"), ("0012", "summary_seal, thumbnail, thumbnail_request")]
)
def test_a_centre_of_the_release_before_takes_rows(
    url: URL, centre: URL, revision: str, missing: str
) -> None:
    """A centre with the schema of 1.0.0, or with one between, gets every row, and sends no request."""
    work_a_shift(url, "cell-1")
    before = f"DROP TABLE {missing}; UPDATE alembic_version SET version_num = '{revision}'"
    change(centre, lambda connection: connection.exec_driver_sql(before))
    assert send(url, centre).behind == 0
    count = "SELECT count(*) FROM inspection"
    assert rows_of(centre, count) == rows_of(url, count)


def test_accounts_may_add_what_they_need(station: Station, centre: URL) -> None:
    """The console's account asks, the forwarder's answers, and neither does the other's work."""
    roles = (resources.folder("sql") / "roles.sql").read_text(encoding="utf-8")
    users = "CREATE USER t_forward IN ROLE weldnet_forwarder; CREATE USER t_console IN ROLE weldnet_console"
    for statement in (roles, users):
        change(centre, lambda connection, sql=statement: connection.exec_driver_sql(sql))
    forwards, asks = (centre.set(username=name) for name in ("t_forward", "t_console"))
    try:
        send(station.url, forwards)
        [number, *_] = numbers_at(centre).values()
        with pytest.raises(StoreRefused):
            thumbnails.ask(forwards, number, "ann")
        assert thumbnails.ask(asks, number, "ann")
        archive = ArchiveFolder(station.archive)
        change(centre, lambda it: it.exec_driver_sql("REVOKE INSERT ON thumbnail FROM weldnet_forwarder"))
        add_images(station.url, "cell-1", 3)
        assert send(station.url, forwards, "cell-1", archive).sent == 6, "rows do not wait for the right"
        change(centre, lambda it: it.exec_driver_sql("GRANT INSERT ON thumbnail TO weldnet_forwarder"))
        send(station.url, forwards, "cell-1", archive)
        assert thumbnails.find(asks, number).picture
        answer = "INSERT INTO thumbnail (inspection_id, reason, made_us) VALUES (2, 'x', 1)"
        with pytest.raises(StoreRefused):
            change(asks, lambda connection: connection.exec_driver_sql(answer))
    finally:
        change(centre, lambda connection: connection.exec_driver_sql("DROP USER t_forward, t_console"))


@pytest.mark.parametrize("height, width", [(1, 1), (1, 4000), (3000, 64), (2000, 3000)])
def test_a_picture_of_noise_is_small_too(height: int, width: int) -> None:
    """A frame of any shape, even of noise, which no JPEG compresses, ends below the limit with its shape."""
    noise = np.random.default_rng(7).integers(0, 256, (height, width), np.uint8)
    picture = small_jpeg(Image.fromarray(noise))
    assert len(picture) <= MAX_THUMBNAIL_BYTES
    with Image.open(io.BytesIO(picture)) as small:
        assert max(small.size) <= 640
        assert small.width == pytest.approx(small.height * width / height, abs=max(1, width / height))
