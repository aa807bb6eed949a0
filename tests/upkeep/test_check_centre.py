"""``weld-inspect check`` and the central database."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sqlalchemy.engine import URL
from stations import Station

from inspector.settings import load
from inspector.upkeep.check import Finding, Level, findings


def _centre(station: Station) -> Finding:
    [found] = [it for it in findings(station.config, load(station.config)) if it.what == "centre"]
    return found


def test_the_centre_is_tried(tmp_path: Path, tiny: Path, url_of: Callable[[str], URL]):
    """Schema and rights of central_url are tried; a server that is away gets a note, since forward waits."""
    url, centre = url_of("sqlite"), url_of("postgresql")

    def said(central_url: URL) -> Finding:
        text = central_url.render_as_string(hide_password=False)
        return _centre(Station(tmp_path, tiny, url, central_url=text))

    assert said(centre).level is Level.OK
    away = said(centre.set(query={"host": str(tmp_path)}))
    assert (away.level, "the station inspects meanwhile" in away.detail) == (Level.NOTE, True)
    bare = said(centre.set(database="postgres"))
    assert (bare.level, "migrate" in bare.detail) == (Level.WRONG, True)
