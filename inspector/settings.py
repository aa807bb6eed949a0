"""YAML and ``WELD_*`` environment become one frozen ``Settings``; an unknown key is an error by name.

Precedence: environment over systemd's credentials over file over default. Relative paths, SQLite's too, count
from the settings file's own folder, so that the daemon behaves alike whatever its working directory is.
"""

from __future__ import annotations

import difflib
import os
import re
from datetime import time
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

import yaml
from pydantic import Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings import SettingsError as PydanticSettingsError
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from inspector.errors import SettingsError

ENV_PREFIX = "WELD_"
_CREDENTIALS_VARIABLE = "CREDENTIALS_DIRECTORY"  # where systemd puts what the unit's LoadCredential= names
_PASSWORD_CREDENTIAL = "pgpassword"  # noqa: S105 - the credential's name: a password for a database_url without one
_URL_FILE_KEYS = frozenset(
    {"sslrootcert", "sslcert", "sslkey", "sslcrl", "passfile"}
)  # files in a URL's query
Seconds = Annotated[float, Field(gt=0, le=86_400)]


class Settings(BaseSettings):
    """Everything a station can be told. Units stand in the names or beside the field."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, extra="forbid", frozen=True, validate_default=True
    )

    station: Annotated[
        str, Field(pattern=r"^[\w.-]{1,64}$")
    ]  # one name for each camera PC: it is in every row
    drop_folder: Path = Path("drop")
    archive_folder: Path = Path("archive")
    quarantine_folder: Path = Path("quarantine")
    results_folder: Path | None = None  # one JSON file for each image, for a PLC or MES; None: none
    database_url: str = Field("sqlite:///quality.db", repr=False)  # may hold a password
    artifact: Path = Path("weldnet.pt")
    # True: take an artifact that other users can write; for the settings file only the environment counts
    others_may_write: bool = False
    artifact_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    thresholds: dict[str, Annotated[float, Field(ge=0, le=1)]] = {}  # 'accept', 'defect' or a class name
    batch_size: Annotated[int, Field(ge=1, le=256)] = (
        8  # frames: past 8 a frame costs the same and waits longer
    )
    batch_wait_ms: Annotated[float, Field(ge=0, le=10_000)] = 50  # only while the classifier is busy anyway
    settle_s: Seconds = 0.5  # longer than the pauses of a camera's own writes
    give_up_s: Seconds = 10  # an unreadable file may be half of a two-step write: look again this long
    scan_s: Seconds = 2  # the scan is the truth where the watch has missed something
    subfolders: bool = False  # True: folders in the drop folder, one for each camera, are intake as well
    # shell patterns of names, in either case: files that come with images, and are none, stay where they are
    ignore: list[str] = [
        *("*.json", "*.xml", "*.txt", "*.csv", "*.log", "*.ini", "*.md5", "*.sha256", "*.xmp"),
        *("Thumbs.db", "ehthumbs.db", "*.lnk", "*.url"),
    ]
    drain_s: Seconds = 8  # at SIGTERM: finish what was taken within this; systemd's TimeoutStopSec is longer
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
    # frames: a seam fails where seam_k of any seam_n in a row fail: one bad frame may be spatter
    seam_k: Annotated[int, Field(ge=1, le=1000)] = 3
    seam_n: Annotated[int, Field(ge=1, le=1000)] = 5
    seam_min_frames: Annotated[int, Field(ge=1, le=1000)] = 5  # of a pass: one full window of seam_n frames
    # TCP port on 127.0.0.1 for /metrics and /healthz; None: no port is opened that nobody asked for
    metrics_port: Annotated[int, Field(ge=1024, le=65_535)] | None = None
    min_free_gigabytes: Annotated[float, Field(ge=0)] = (
        2  # GiB on the archive's file system: about 5000 of the paper's PNGs
    )
    log_format: Literal["text", "json"] = "text"  # text for journald, json for a log collector

    @field_validator("shifts", mode="before")
    @classmethod
    def _shifts_are_quoted(cls, value: object) -> object:
        if isinstance(value, dict) and any(isinstance(start, int) for start in value.values()):
            raise ValueError('needs its times in quotes ("14:00"): YAML reads 14:00 as the number 840')
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
            raise ValueError(f"'{value}' is no IANA time zone such as Europe/Berlin") from None
        return value

    @field_validator("name_pattern")
    @classmethod
    def _pattern_compiles(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            groups = set(re.compile(value).groupindex)
        except re.error as error:
            raise ValueError(f"is no regular expression: {error}") from None
        unknown = sorted(groups - {"camera", "part", "seam", "time"})
        if unknown or not groups:
            raise ValueError(f"needs groups out of camera, part, seam, time; it has {sorted(groups)}")
        return value

    @field_validator("seam_n")
    @classmethod
    def _seam_can_fail(cls, value: int, info: ValidationInfo) -> int:
        if value < info.data.get("seam_k", 1):
            raise ValueError("must be at least seam_k: of fewer frames than that none can fail")
        return value

    @field_validator("database_url")
    @classmethod
    def _url_is_known(cls, value: str) -> str:
        try:
            url = make_url(value)
        except (ArgumentError, ValueError):  # a port that is none: the word may be part of a password
            raise ValueError("is no database URL such as sqlite:///quality.db") from None
        if url.drivername not in ("sqlite", "postgresql+psycopg"):
            raise ValueError(
                f"speaks '{url.drivername}'; use sqlite:///FILE or postgresql+psycopg://USER@HOST/DATABASE"
            )
        if url.drivername == "sqlite" and (not url.database or url.database == ":memory:"):
            raise ValueError("names no file; a quality database must outlive the process")
        if "@" in (url.host or ""):
            raise ValueError("has two @: write one that is part of the password as %40")
        return value

    @property
    def zone(self) -> ZoneInfo:
        """The station's time zone."""
        return ZoneInfo(self.timezone)

    @property
    def url(self) -> URL:
        """The database URL; ``str()`` of it masks the password."""
        return make_url(self.database_url)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment over systemd's credentials over the file, whose values are ``init_settings``."""
        return env_settings, file_secret_settings, init_settings

    def anchored(self, base: Path) -> Self:
        """A copy whose relative paths, SQLite's too, count from ``base``."""
        url = self.url
        if url.drivername == "sqlite" and url.database:
            url = url.set(database=str(base / Path(url.database).expanduser()))
        for key in url.query.keys() & _URL_FILE_KEYS:
            file = str(url.query[key])
            if file != "system":  # libpq's word for the system's own certificates
                url = url.update_query_dict({key: str(base / Path(file).expanduser())})
        paths = ["drop_folder", "archive_folder", "quarantine_folder", "artifact"]
        paths += ["results_folder"] if self.results_folder else []
        return self.model_copy(
            update={
                "database_url": url.render_as_string(hide_password=False),
                **{name: base / getattr(self, name).expanduser() for name in paths},
            }
        )


def load(path: Path) -> Settings:
    """Read, merge with the environment, check and anchor the settings.

    Raises:
        SettingsError: one line that names the file and the first key that is wrong, and how to mend it.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path}: cannot read the settings: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise SettingsError(f"{path}: holds no 'key: value' lines; start from deploy/config.example.yaml")
    _refuse_unknown_environment()
    from_file = {str(key): value for key, value in content.items()}
    try:
        settings = Settings(_secrets_dir=_credentials(), **from_file)
    except (ValidationError, PydanticSettingsError) as error:
        raise SettingsError(f"{path}: {_first_mistake(error)}") from None
    settings = _with_password(settings.anchored(path.resolve().parent))
    _refuse_nested_folders(settings, path)
    return settings


def _refuse_unknown_environment() -> None:
    for name in os.environ:
        key = name.removeprefix(ENV_PREFIX).lower()
        if name.startswith(ENV_PREFIX) and key not in Settings.model_fields:
            raise SettingsError(f"environment {name}: there is no setting '{key}'{_did_you_mean(key)}")


def _credentials() -> Path | None:
    """Files ``weld_<key>`` for any setting, and ``pgpassword``; a misspelt one would silently not work.

    Raises:
        SettingsError: a file there is named as a setting that does not exist.
    """
    folder = Path(os.environ.get(_CREDENTIALS_VARIABLE, ""))
    if not os.environ.get(_CREDENTIALS_VARIABLE) or not folder.is_dir():
        return None
    for file in folder.iterdir():
        key = file.name.lower().removeprefix(ENV_PREFIX.lower())
        if key != file.name.lower() and key not in Settings.model_fields:
            raise SettingsError(f"credential {file.name}: there is no setting '{key}'{_did_you_mean(key)}")
    return folder


def _with_password(settings: Settings) -> Settings:
    """The same, with the password of systemd's credential where neither URL nor environment gives one."""
    url, folder = settings.url, _credentials()
    given = url.password or "password" in url.query or "PGPASSWORD" in os.environ
    if url.drivername == "sqlite" or given or folder is None or not (folder / _PASSWORD_CREDENTIAL).exists():
        return settings
    try:
        password = (folder / _PASSWORD_CREDENTIAL).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"credential {_PASSWORD_CREDENTIAL}: cannot be read: {type(error).__name__}"
        ) from None
    with_it = url.set(password=password).render_as_string(hide_password=False)
    return settings.model_copy(update={"database_url": with_it})


def _first_mistake(error: ValidationError | PydanticSettingsError) -> str:
    if isinstance(error, PydanticSettingsError):
        return f"environment: {error}"
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"there is no setting '{key}'{_did_you_mean(key)}"
    if first["type"] == "missing":
        return f"'{key}' is missing"
    was = "" if key == "database_url" else f" (it is {first['input']!r})"  # a URL may hold a password
    return f"'{key}' {first['msg'].removeprefix('Value error, ')}{was}"


def _did_you_mean(key: str) -> str:
    near = difflib.get_close_matches(key, Settings.model_fields, n=1)
    return f"; did you mean '{near[0]}'?" if near else ""


def _refuse_nested_folders(settings: Settings, path: Path) -> None:
    names = ("drop_folder", "archive_folder", "quarantine_folder", "results_folder")
    folders = {name: folder for name in names if (folder := getattr(settings, name))}
    for name, folder in folders.items():
        for other_name, other in folders.items():
            if name != other_name and (folder == other or other in folder.parents):
                raise SettingsError(
                    f"{path}: {name} must not lie in {other_name} ({other}); give it its own folder"
                )
