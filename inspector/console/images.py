"""The pixels of inspected images and their heat maps, found by the rows of the database alone.

The file of another station is not on this machine. At a central database its station sends a small picture.
"""

from __future__ import annotations

import io
import logging
import threading
from pathlib import Path, PurePosixPath
from typing import Any, Final

import matplotlib as mpl
import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from PIL import Image
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from inspector.console import blind
from inspector.console.state import Console, person_of, site_of, words_of
from inspector.errors import ImageError, StoreRefused
from inspector.imaging import decoder
from inspector.imaging.fitting import fitted
from inspector.imaging.source import read_source
from inspector.ledger import database, schema, thumbnails
from inspector.records import Outcome

log = logging.getLogger("weldnet")

_ON_ITS_WAY: Final = 503
_LATER_S: Final = 5  # a forwarder that is asked for pictures looks this often
_MAX_NUMBER: Final = 2**63 - 1  # of a row, on either back end
_FEW_AT_ONCE: Final = threading.BoundedSemaphore(3)  # files in memory: one may have 200 MB
_SMALL: Final = 160  # pixels of a frame beside others
_HEAT_TIMES: Final = 8  # the map has a few pixels; so much larger it is smooth
_HEAT_SHARE: Final = 0.65  # of the hottest place: the weld stays visible below, as in the report
# A browser keeps the bytes, and asks each time whether they still are those of the row.
_CACHE: Final = {"cache-control": "private, no-cache"}
_SHOWN_AS_IT_IS: Final = ((b"\x89PNG\r\n\x1a\n", "image/png"), (b"\xff\xd8\xff", "image/jpeg"))
_PNG_DEPTH_AT: Final = 24  # the byte that holds bits per sample


class NotShown(Exception):
    """An image that cannot be shown: a key of the catalogue, and the status of the answer."""

    def __init__(self, key: str, status: int) -> None:
        super().__init__(key)
        self.key = key
        self.status = status


def show(request: Request) -> Response:
    """Answer with the file of an inspection, or with its judged pixels if no browser shows the file.

    With ``?small=1`` the picture is a small one. The ETag is the hash in the row. While the picture of
    another station is on its way, the answer is 503, and a later request has it.
    """
    console, number = site_of(request).console, request.path_params["inspection"]
    try:
        row = _row(console, number)
        is_here = row.name == console.station
        small = "small" in request.query_params
        tag = f'"{row.sha256}{"" if is_here and not small else "-small"}"'
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers={"etag": tag, **_CACHE})
        if is_here:
            content, media = _picture(console, row, small=small)
        else:
            content, media = _thumbnail(console, row, person_of(request).name), "image/jpeg"
    except NotShown as trouble:
        words = words_of(request)(trouble.key, inspection=number)
        later = {"retry-after": f"{_LATER_S}"} if trouble.status == _ON_ITS_WAY else None
        return JSONResponse({"error": words}, trouble.status, later)
    return Response(content, media_type=media, headers={"etag": tag, **_CACHE})


def show_heat(request: Request) -> Response:
    """Answer with the heat map of an inspection as a PNG, transparent where it is cold."""
    console, number = site_of(request).console, request.path_params["inspection"]
    try:
        heat = _heat(console, number, person_of(request).name)
    except NotShown as trouble:
        words = words_of(request)(trouble.key, inspection=number)
        return JSONResponse({"error": words}, trouble.status)
    return Response(_heat_png(heat), media_type="image/png", headers=_CACHE)


def _heat(console: Console, number: int, person: str) -> NDArray[np.uint8]:
    """The heat map of an inspection, uint8[h, w].

    Raises:
        NotShown: there is none, or this person is to decide first.
    """
    c = schema.inspection.c
    query = sa.select(c.heat, c.heat_height, c.heat_width).where(c.id == min(number, _MAX_NUMBER))
    with database.reading(console.url) as engine, database.transaction(engine) as connection:
        if blind.hidden(connection, [min(number, _MAX_NUMBER)], person):
            raise NotShown("image.blind", 403)
        row = connection.execute(query).first()
    if row is None or row.heat is None:
        raise NotShown("image.no_heat", 404)
    return np.frombuffer(row.heat, np.uint8).reshape(row.heat_height, row.heat_width)


def _row(console: Console, number: int) -> Any:
    """The row of an inspection, with the name of its station.

    Raises:
        NotShown: there is none.
    """
    c = schema.inspection.c
    query = (
        sa.select(c.id, c.sha256, c.archive_path, schema.station.c.name, schema.model.c.metadata)
        .join(schema.station, schema.station.c.id == c.station_id)
        .join(schema.model, schema.model.c.id == c.model_id)
        .where(c.id == number)
    )
    if number > _MAX_NUMBER:
        raise NotShown("image.unknown", 404)
    with database.reading(console.url) as engine, database.transaction(engine) as connection:
        row = connection.execute(query).first()
    if row is None:
        raise NotShown("image.unknown", 404)
    return row


def _thumbnail(console: Console, row: Any, person: str) -> bytes:
    """The small picture that another station has sent, as a JPEG; ask for it if there is none.

    Raises:
        NotShown: it is on its way, the station has no file, or it sends no pictures here.
    """
    found = thumbnails.find(console.url, row.id)
    if found is None:
        try:
            is_asked = thumbnails.ask(console.url, row.id, person)
        except StoreRefused as error:
            log.warning("console: no picture can be asked for: %s", error)
            is_asked = False
        raise NotShown("image.asked", _ON_ITS_WAY) if is_asked else NotShown("image.elsewhere", 404)
    if found.picture is not None:
        return found.picture
    if found.reason == "vanished":
        raise _vanished(console, row.id)
    raise NotShown("image.changed", 409) if found.reason == "altered" else NotShown("image.unreadable", 415)


def _picture(console: Console, row: Any, *, small: bool) -> tuple[bytes, str]:
    """The bytes to show and their media type.

    Raises:
        NotShown: the file is not there, or is not the one that was judged.
    """
    path = PurePosixPath(row.archive_path)
    if path.is_absolute() or ".." in path.parts:  # no station writes such a row
        raise NotShown("image.unreadable", 415)
    depth = row.metadata.get("bit_depth", 8)
    try:
        with (
            _FEW_AT_ONCE,
            read_source(console.archive_folder / Path(path), root=console.archive_folder) as file,
        ):
            if file.source.sha256 != row.sha256:
                raise NotShown("image.changed", 409)
            if not small and (media := _browsers_type(file.data)):
                return file.data, media
            frame = Image.fromarray(decoder.decode(file.data, bit_depth=depth))
    except ImageError as error:
        if error.reason == "vanished":
            raise _vanished(console, row.id) from None
        raise NotShown("image.unreadable", 415) from None
    if small:
        frame = fitted(frame, _SMALL)
    return _png(frame), "image/png"


def _browsers_type(data: bytes) -> str | None:
    """The media type if a browser shows these bytes as they are; None for 16 bits and other formats."""
    for signature, media in _SHOWN_AS_IT_IS:
        if data.startswith(signature):
            return None if media == "image/png" and data[_PNG_DEPTH_AT] > 8 else media
    return None


def _vanished(console: Console, number: int) -> NotShown:
    return NotShown("image.pruned" if _is_pruned(console, number) else "image.missing", 410)


def _is_pruned(console: Console, number: int) -> bool:
    a = schema.arrival.c
    query = sa.select(a.id).where(a.inspection_id == number, a.outcome == Outcome.PRUNED.value)
    c = schema.inspection.c
    # The index of arrivals begins with station, name and hash.
    same = sa.select(c.station_id, c.source_name, c.sha256).where(c.id == number)
    with database.reading(console.url) as engine, database.transaction(engine) as connection:
        key = connection.execute(same).one()
        of_name = a.station_id == key.station_id, a.source_name == key.source_name, a.sha256 == key.sha256
        return connection.execute(query.where(*of_name).limit(1)).first() is not None


def _heat_png(heat: NDArray[np.uint8]) -> bytes:
    size = heat.shape[1] * _HEAT_TIMES, heat.shape[0] * _HEAT_TIMES
    spread = np.asarray(Image.fromarray(heat).resize(size, Image.Resampling.BICUBIC))
    painted: NDArray[np.uint8] = (mpl.colormaps["inferno"](spread) * 255).astype(np.uint8)
    painted[..., 3] = (spread * _HEAT_SHARE).astype(np.uint8)
    return _png(Image.fromarray(painted))


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=1)  # fast: it goes a few metres
    return buffer.getvalue()


ROUTES: Final = [
    Route("/image/{inspection:number}", show),
    Route("/heat/{inspection:number}", show_heat),
]
