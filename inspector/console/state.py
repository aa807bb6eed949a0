"""What the console's pages share: its settings, its people, and templates in the person's language."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import tzinfo
from functools import cache
from pathlib import Path
from typing import Any, Final

import jinja2
from markupsafe import Markup
from sqlalchemy.engine import URL
from starlette.convertors import IntegerConvertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, Response

from inspector.console.people import People, Person, Role
from inspector.reports.page.html import breakable
from inspector.reports.page.pictures import LocalArchive
from inspector.reports.page.words import LANGUAGES, Words, instant, printable
from inspector.times import iso
from inspector.upkeep.status import Line

TEMPLATES: Final = Path(__file__).with_name("templates")
STATIC: Final = Path(__file__).with_name("static")
CATALOGUE: Final = TEMPLATES / "words.yaml"
LANGUAGE_COOKIE: Final = "language"
# The pages of the navigation: address and the key of its word.
NAVIGATION: Final = (
    ("/", "nav.now"),
    ("/review", "nav.review"),
    ("/grid", "nav.grid"),
    ("/charts", "nav.charts"),
    ("/signals", "nav.signals"),
    ("/find", "nav.find"),
    ("/quarantine", "nav.quarantine"),
    ("/enough", "nav.enough"),
)


class _Number(IntegerConvertor):
    """The number of an inspection in an address; Python refuses to read one with thousands of digits."""

    regex = "[0-9]{1,19}"


register_url_convertor("number", _Number())


@dataclass(frozen=True, slots=True)
class Console:
    """How a console works: plain values from the settings.

    ``status`` gives the lines of ``weld-inspect status``. ``second_share`` is the share of audit samples that
    a second person reads. ``config`` is the settings file, for commands that a page names.
    ``proxy`` is the address of a reverse proxy that names people in ``proxy_header``.
    """

    url: URL
    station: str
    zone: tzinfo
    drop_folder: Path
    archive_folder: Path
    quarantine_folder: Path
    artifact: Path
    seam_gap_s: float
    seam_rule: Mapping[str, int]
    status: Callable[[], Iterable[Line]]
    people: Path
    config: Path = Path("config.yaml")
    host: str = "127.0.0.1"
    port: int = 8765
    certificate: Path | None = None
    key: Path | None = None
    proxy: str | None = None
    proxy_header: str | None = None
    session_hours: float = 10
    lease_minutes: float = 5
    second_share: float = 0.1

    @property
    def archive(self) -> LocalArchive:
        """The station's archive, to read images from."""
        return LocalArchive(self.station, self.archive_folder)

    @property
    def is_encrypted(self) -> bool:
        """Whether a browser sees ``https``, here or at the proxy."""
        return self.certificate is not None or self.proxy is not None


@dataclass(slots=True)
class Site:
    """One running console; :func:`site_of` finds it. ``parts`` holds what a page keeps in memory."""

    console: Console
    people: People
    parts: dict[str, Any] = field(default_factory=dict)


def site_of(connection: HTTPConnection) -> Site:
    """The console that a request came to."""
    site: Site = connection.app.state.site
    return site


def person_of(connection: HTTPConnection) -> Person:
    """The person who asks; the gate in :mod:`inspector.console.sign_in` has let them in.

    Raises:
        HTTPException: nobody is signed in.
    """
    person: Person | None = connection.scope.get("person")
    if person is None:
        raise HTTPException(401)
    return person


def require(connection: HTTPConnection, role: Role) -> Person:
    """The person who asks, if they have the role.

    Raises:
        HTTPException: they have not.
    """
    person = person_of(connection)
    if not person.role.includes(role):
        raise HTTPException(403)
    return person


def words_of(connection: HTTPConnection) -> Words:
    """The words in the person's language: their choice, else the browser's, else English."""
    chosen = connection.cookies.get(LANGUAGE_COOKIE, "")
    if chosen not in LANGUAGES:
        wished = connection.headers.get("accept-language", "").split(",")
        short = (tag.split(";")[0].strip().lower()[:2] for tag in wished)
        chosen = next((tag for tag in short if tag in LANGUAGES), "en")
    return Words(chosen, CATALOGUE)


def page(request: Request, template: str, status_code: int = 200, **values: Any) -> Response:
    """Render a template, with the navigation and the words of the person's language.

    Every template knows ``words``, ``lang``, ``languages``, ``person`` (or None), ``may_review``,
    ``may_release``, ``navigation``, ``here`` (the path) and ``station``. ``at(us)`` shows an instant in the
    station's time zone, and the filter ``breakable`` lets a long name break.
    """
    site, words = site_of(request), words_of(request)
    shown = {
        "person": request.scope.get("person"),
        "here": request.url.path,
        "here_with_query": _address_again(request),
        "navigation": NAVIGATION,
        "languages": LANGUAGES,
        "station": site.console.station,
        "may_review": (who := request.scope.get("person")) is not None and who.role.includes(Role.REVIEW),
        "may_release": who is not None and who.role.includes(Role.RELEASE),
        "at": lambda us: instant(iso(us, site.console.zone) or ""),
    }
    html = environment(words.language).get_template(template).render(**(shown | values))
    return HTMLResponse(html, status_code)


def _address_again(request: Request) -> str:
    """The address that shows this page again; after a form that only a POST reaches, the page of the form."""
    path, query = request.url.path, request.url.query
    if request.method == "POST":
        path = f"/{path.split('/')[1]}"
    return f"{path}?{query}" if query else path


@cache
def environment(language: str) -> jinja2.Environment:
    """The templates in one language; every value is escaped, and shown without control characters."""
    words = Words(language, CATALOGUE)
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: value if isinstance(value, Markup) else printable(value),
    )
    made.filters |= {"breakable": breakable}
    made.globals |= {"words": words, "lang": LANGUAGES[language], "language": language}
    return made
