"""The settings of a station: a YAML file and the ``WELD_*`` environment become one frozen ``Settings``.

An unknown key is an error that names the key. The environment wins over systemd's credentials, these win
over the file, and the file wins over the defaults. Relative paths, SQLite's too, count from the settings
file's own folder, so the working directory makes no difference.

The module is long, because every setting is in it with its unit and its reason.
"""

from __future__ import annotations

import json
import os
import re
from datetime import time
from fnmatch import fnmatchcase
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_origin
from zoneinfo import ZoneInfo

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from inspector.errors import SettingsError
from inspector.settings import credentials
from inspector.settings.mistakes import in_words, refuse, unknown
from inspector.settings.places import misplaced
from inspector.settings.unique_keys import UniqueKeys

ENV_PREFIX = "WELD_"
STATION_NAME = r"^[\w.-]+(/[\w.-]+)*$"  # a path: the last part is the cell, those before are its site
STATION_NAME_LENGTH = 64  # characters: it stands in the first column of many tables
CONFIG_VARIABLE = "WELD_CONFIG"  # the settings file itself, for commands without --config
_PASSWORD_CREDENTIAL = "pgpassword"  # noqa: S105 - a name: the password for a database_url without one
_URL_FILE_KEYS = frozenset(
    {"sslrootcert", "sslcert", "sslkey", "sslcrl", "passfile"}
)  # files in a URL's query
_TIME_OF_DAY = re.compile(r"([01]\d|2[0-3]):[0-5]\d", re.ASCII)
_JSON_EXAMPLES = {  # for the settings that are lists or mappings
    "thresholds": '{"accept": 0.9}',
    "ignore": '["*.json"]',
    "formats": '["PNG"]',
    "shifts": '{"early": "06:00"}',
}
Seconds = Annotated[float, Field(gt=0, le=86_400)]


class Settings(BaseModel):
    """All settings of a station. Units are in the names or beside the field."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)

    # one name for each camera PC: it is in every row; north/cell-1 is at the site north
    station: Annotated[str, Field(pattern=STATION_NAME, max_length=STATION_NAME_LENGTH)]
    drop_folder: Path = Path("drop")
    archive_folder: Path = Path("archive")
    quarantine_folder: Path = Path("quarantine")
    results_folder: Path | None = None  # one JSON file for each image, for a PLC or MES; None: none
    database_url: str = Field("sqlite:///quality.db", repr=False)  # may hold a password
    # a central PostgreSQL that 'forward' sends this station's rows to; may hold a password; None: none
    central_url: str | None = Field(None, repr=False)
    artifact: Path = Path("weldnet.pt")
    # True: accept an artifact that other users can write; for the settings file only the environment counts
    others_may_write: bool = False
    accept_unfit_artifact: bool = False  # True: judge by a network that its trainer says not to deploy
    artifact_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    thresholds: dict[str, Annotated[float, Field(ge=0, le=1)]] = {}  # 'accept', 'defect' or a class name
    batch_size: Annotated[int, Field(ge=1, le=256)] = (
        8  # frames: in a larger batch a frame takes as long and waits longer
    )
    batch_wait_ms: Annotated[float, Field(ge=0, le=10_000)] = 50  # counts only while the classifier is busy
    settle_s: Seconds = 0.5  # longer than the pauses of a camera's own writes
    give_up_s: Seconds = 10  # an unreadable file may be half written: it is read again for this long
    scan_s: Seconds = 2  # the scan finds files that the watch missed
    subfolders: bool = False  # True: sub-folders of the drop folder, one for each camera, are read as well
    # shell patterns of names, upper and lower case alike: files that accompany images stay where they are
    ignore: list[str] = [
        *("*.json", "*.xml", "*.txt", "*.csv", "*.log", "*.ini", "*.md5", "*.sha256", "*.xmp"),
        *("Thumbs.db", "ehthumbs.db", "*.lnk", "*.url"),
    ]
    drain_s: Seconds = 8  # at SIGTERM, for files in progress; systemd's TimeoutStopSec is longer
    threads: Annotated[int, Field(ge=0, le=256)] = 0  # 0: all cores this process may use
    formats: Annotated[list[Literal["PNG", "JPEG", "BMP", "TIFF"]], Field(min_length=1)] = [
        "PNG",
        "JPEG",
        "BMP",
        "TIFF",
    ]
    max_megapixels: Annotated[float, Field(gt=0, le=178)] = 50  # 64 × the paper's frame; Pillow stops at 178
    max_megabytes: Annotated[float, Field(gt=0, le=2000)] = (
        200  # of one file: an uncompressed 50 Mpx RGB fits
    )
    timezone: str = "UTC"
    shifts: Annotated[dict[str, time], Field(min_length=1)] = {
        "early": time(6),
        "late": time(14),
        "night": time(22),
    }
    name_pattern: str | None = None
    seam_gap_s: Seconds = 300  # a longer pause on the same part and seam starts its next pass
    # frames: a seam fails if seam_k of any seam_n in a row fail; a single bad frame may be spatter
    seam_k: Annotated[int, Field(ge=1, le=1000)] = 3
    seam_n: Annotated[int, Field(ge=1, le=1000)] = 5
    seam_min_frames: Annotated[int, Field(ge=1, le=1000)] = 5  # of a pass: one full window of seam_n frames
    # TCP port on 127.0.0.1 for /metrics and /healthz; None: no port is opened
    metrics_port: Annotated[int, Field(ge=1024, le=65_535)] | None = None
    min_free_gigabytes: Annotated[float, Field(ge=0)] = (
        2  # GiB on the archive's file system: about 5000 of the paper's PNGs
    )
    log_format: Literal["text", "json"] = "text"  # text for journald, json for a log collector
    # A candidate that judges images, too, after the commit; its verdicts decide nothing. None: none
    shadow_artifact: Path | None = None
    shadow_every: Annotated[int, Field(ge=1, le=1_000_000)] = 1  # every k-th image; 1: all, if time allows
    # The review console. No inspection depends on these, so they are not in the settings that a row records.
    console_people: Path = Path("console-people.yaml")  # who may sign in; 'console user add' writes it
    console_certificate: Path | None = None  # PEM files for TLS, which any other address than loopback needs
    console_key: Path | None = None
    console_proxy: str | None = None  # IP address of a reverse proxy on this or another machine
    console_proxy_header: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9-]{0,63}$")] | None = None
    console_session_hours: Annotated[float, Field(gt=0, le=168)] = 10  # a shift with its breaks
    # an image on one person's screen comes to nobody else for so long: longer than anyone looks at one
    console_lease_minutes: Annotated[float, Field(gt=0, le=60)] = 5
    # of the images in audit samples, for a second reader: 20 of a sample of 200, enough to see a misreading
    console_second_share: Annotated[float, Field(ge=0, le=1)] = 0.1

    @field_validator("*", mode="before")
    @classmethod
    def _yes_is_no_number(cls, value: object, info: ValidationInfo) -> object:
        wants_bool = cls.model_fields[str(info.field_name)].annotation is bool
        values = value.values() if isinstance(value, dict) else [value]
        if not wants_bool and any(isinstance(one, bool) for one in values):
            raise ValueError("must not be true, false, yes, no, on or off; put text in quotes")
        values = value if isinstance(value, list) else values
        if any(isinstance(one, str) and "\0" in one for one in values):
            raise ValueError("must not hold a NUL character")
        return value

    @field_validator("shifts", mode="before")
    @classmethod
    def _starts_are_times_of_day(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        for name, start in value.items():
            is_time = isinstance(start, time) or (isinstance(start, str) and _TIME_OF_DAY.fullmatch(start))
            if not is_time:  # YAML reads 14:00 as the number 840, and 6.00 as six
                raise ValueError(
                    f"must begin at a time of day in quotes, such as \"06:00\"; '{name}' begins at {start!r}"
                )
        return value

    @field_validator("shifts")
    @classmethod
    def _starts_differ(cls, value: dict[str, time]) -> dict[str, time]:
        for name in value:
            if not name.strip() or name != name.strip() or not name.isprintable():
                raise ValueError(f"has a shift named {name!r}; give it a name, without spaces around it")
        if len(set(value.values())) < len(value):
            raise ValueError("has two shifts that begin together; give each its own time")
        return value

    @field_validator("ignore")
    @classmethod
    def _patterns_leave_images(cls, value: list[str]) -> list[str]:
        for pattern in value:
            if not pattern or "/" in pattern:
                raise ValueError(f"has '{pattern}': write patterns of file or folder names, such as *.json")
            if fnmatchcase("weld-0815.png", pattern) and fnmatchcase("cam1.20261127.tiff", pattern):
                raise ValueError(f"has '{pattern}', which leaves every image where it is; be more exact")
        return value

    @field_validator("timezone")
    @classmethod
    def _zone_exists(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError):
            raise ValueError(f"'{value}' is not an IANA time zone such as Europe/Berlin") from None
        return value

    @field_validator("name_pattern")
    @classmethod
    def _pattern_compiles(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            groups = set(re.compile(value).groupindex)
        except re.error as error:
            raise ValueError(f"is not a regular expression: {error}") from None
        unknown = sorted(groups - {"camera", "part", "seam", "time"})
        if unknown or not groups:
            raise ValueError(f"must have groups out of camera, part, seam, time; it has {sorted(groups)}")
        return value

    @field_validator("seam_n")
    @classmethod
    def _seam_can_fail(cls, value: int, info: ValidationInfo) -> int:
        if value < info.data.get("seam_k", 1):
            raise ValueError("must be at least seam_k: with fewer frames no seam can fail")
        return value

    @field_validator("console_key")
    @classmethod
    def _key_has_a_certificate(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if (value is None) != (info.data.get("console_certificate") is None):
            raise ValueError("goes with 'console_certificate'; set both, or neither")
        return value

    @field_validator("console_proxy")
    @classmethod
    def _proxy_is_an_address(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            return str(ip_address(value))
        except ValueError:  # a name could mean another machine tomorrow
            raise ValueError("must be the proxy's IP address, such as 127.0.0.1") from None

    @field_validator("console_proxy_header")
    @classmethod
    def _header_has_a_proxy(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and info.data.get("console_proxy") is None:
            raise ValueError("needs 'console_proxy': the header counts from that address only")
        return value

    @field_validator("database_url")
    @classmethod
    def _url_is_known(cls, value: str) -> str:
        url = _url(value)
        if url.drivername not in ("sqlite", "postgresql+psycopg"):
            raise ValueError(
                f"speaks '{url.drivername}'; use sqlite:///FILE or postgresql+psycopg://USER@HOST/DATABASE"
            )
        if url.drivername == "sqlite" and (not url.database or url.database == ":memory:"):
            raise ValueError("names no file; write one, such as sqlite:///quality.db")
        if url.drivername == "sqlite" and (url.host or url.query):
            raise ValueError("has a host or options, which a SQLite file does not take; use sqlite:///FILE")
        return value

    @field_validator("central_url")
    @classmethod
    def _centre_is_another_server(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None:
            return None
        url = _url(value)
        if url.drivername != "postgresql+psycopg":
            raise ValueError(f"speaks '{url.drivername}'; use postgresql+psycopg://USER@HOST/DATABASE")
        own = make_url(info.data.get("database_url", "sqlite:///"))
        if all(getattr(url, part) == getattr(own, part) for part in ("host", "port", "database", "query")):
            raise ValueError("is the station's own database_url; leave it out, since the rows are there")
        return value

    @property
    def zone(self) -> ZoneInfo:
        """The station's time zone."""
        return ZoneInfo(self.timezone)

    @property
    def url(self) -> URL:
        """The database URL; ``str()`` of it masks the password."""
        return make_url(self.database_url)

    def shown_urls(self) -> dict[str, str]:
        """Return the URLs that are set, as they may be shown: without a password, also in the query."""
        return {
            key: url.difference_update_query(["password"]).render_as_string(hide_password=True)
            for key, url in self.urls().items()
        }

    def urls(self) -> dict[str, URL]:
        """Return each of :data:`URL_SETTINGS` that is set."""
        return {key: make_url(value) for key in URL_SETTINGS if (value := getattr(self, key)) is not None}

    def of_an_inspection(self) -> dict[str, Any]:
        """Return the settings that each inspection records, as JSON values.

        The URLs are not among them, since they may hold a password, and neither are those of the console and
        of the candidate, on which no inspection depends.
        """
        others = {*URL_SETTINGS, *CONSOLE_SETTINGS, *SHADOW_SETTINGS}
        return self.model_dump(mode="json", exclude=others)

    def url_files(self, key: str) -> dict[str, str]:
        """Return the files of one of the URLs: SQLite's own as ``file``, certificates by their key."""
        url = self.urls()[key]
        files = {key: str(url.query[key]) for key in url.query.keys() & _URL_FILE_KEYS}
        if url.drivername == "sqlite":
            files["file"] = str(url.database)
        return {key: file for key, file in files.items() if file != "system"}  # libpq's word, not a file

    def anchored(self, base: Path) -> Self:
        """Return a copy whose relative paths, SQLite's too, count from ``base``."""
        urls = {key: self._anchored_url(key, base) for key in self.urls()}
        paths = ["drop_folder", "archive_folder", "quarantine_folder", "artifact", "console_people"]
        optional = ("results_folder", "shadow_artifact", "console_certificate", "console_key")
        paths += [name for name in optional if getattr(self, name)]
        return self.model_copy(
            update={
                **urls,
                **{name: base / getattr(self, name).expanduser() for name in paths},
            }
        )

    def _anchored_url(self, setting: str, base: Path) -> str:
        url = self.urls()[setting]
        for key, file in self.url_files(setting).items():
            anchored = str(base / Path(file).expanduser())
            url = url.set(database=anchored) if key == "file" else url.update_query_dict({key: anchored})
        return url.render_as_string(hide_password=False)


URL_SETTINGS = ("database_url", "central_url")  # they may hold a password
CONSOLE_SETTINGS = frozenset(key for key in Settings.model_fields if key.startswith("console_"))
SHADOW_SETTINGS = frozenset(key for key in Settings.model_fields if key.startswith("shadow_"))


def load(path: Path) -> Settings:
    """Read the settings, add the environment, check them, and make their paths absolute.

    Raises:
        SettingsError: one line with every mistake, its source, and how to correct it.
    """
    return read(path)[0]


def read(path: Path) -> tuple[Settings, dict[str, str]]:
    """Do as :func:`load`, and return also where each value comes from; one of the defaults has no source.

    Raises:
        SettingsError: as :func:`load`.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), UniqueKeys)  # noqa: S506 - a SafeLoader
    except OSError as error:
        raise SettingsError(
            f"{path}: cannot read the settings: {error.strerror}; name a station's settings file, or make a "
            "station with 'weld-inspect init DIR'"
        ) from None
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}: is not UTF-8 at byte {error.start}; save it as UTF-8") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # such as 2026-02-30, which is no date
        raise SettingsError(f"{path}: is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise SettingsError(f"{path}: holds no 'key: value' lines; start from deploy/config.example.yaml")
    known = Settings.model_fields
    in_file = [(str(key), value, str(path)) for key, value in content.items()]
    beside = credentials.all_of_prefix(ENV_PREFIX) + [
        (name.removeprefix(ENV_PREFIX).lower(), value, f"environment {name}")
        for name, value in os.environ.items()
        if name.startswith(ENV_PREFIX) and name != CONFIG_VARIABLE
    ]
    given = in_file + beside
    mistakes = [(source, unknown(key, known)) for key, _, source in given if key not in known]
    values = {key: value for key, value, _ in in_file if key in known}
    values |= {key: _parsed(key, value, source, mistakes) for key, value, source in beside if key in known}
    sources = {key: source for key, _, source in given}
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        mistakes += [(sources.get(key, str(path)), text) for key, text in in_words(error)]
    refuse(mistakes)
    try:
        settings = settings.anchored(path.resolve().parent)
    except RuntimeError:
        text = "a path begins with ~, and there is no such user or no home folder; write the whole path"
        raise SettingsError(f"{path}: {text}") from None
    names = ("drop_folder", "archive_folder", "quarantine_folder", "results_folder")
    folders = {name: folder for name in names if (folder := getattr(settings, name))}
    files = {"artifact": settings.artifact, "the settings file": path}
    others = ("shadow_artifact", "console_people", "console_certificate", "console_key")
    files |= {f"'{name}'": file for name in others if (file := getattr(settings, name))}
    files |= {
        f"{key} of '{setting}'": Path(file)
        for setting in settings.urls()
        for key, file in settings.url_files(setting).items()
    }
    refuse((str(path), text) for text in misplaced(folders, files))
    with_password = _with_password(settings)
    if with_password is not settings:
        sources["database_url"] += f", password from credential {_PASSWORD_CREDENTIAL}"
    return with_password, sources


def _url(text: str) -> URL:
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):  # not shown: the text in the port's place may be a password
        raise ValueError("is not a database URL such as sqlite:///quality.db") from None
    if "@" in (url.host or ""):
        raise ValueError("has two @: write one that is part of the password as %40")
    return url


def _parsed(key: str, value: Any, source: str, mistakes: list[tuple[str, str]]) -> Any:
    """Return a setting's value; a list or mapping from the environment or a credential is JSON."""
    is_compound = get_origin(Settings.model_fields[key].annotation) in (dict, list)
    if not is_compound or not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        mistakes.append((source, f"'{key}' must be JSON, such as {_JSON_EXAMPLES[key]}"))
        return Settings.model_fields[key].default


def _with_password(settings: Settings) -> Settings:
    """Return the settings with the password of systemd's credential, if URL and environment give none."""
    url = settings.url
    if url.drivername == "sqlite" or url.password or "password" in url.query or "PGPASSWORD" in os.environ:
        return settings
    if (password := credentials.by_name(_PASSWORD_CREDENTIAL)) is None:
        return settings
    with_it = url.set(password=password).render_as_string(hide_password=False)
    return settings.model_copy(update={"database_url": with_it})
