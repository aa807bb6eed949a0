"""Settings: YAML and the environment give one frozen object; all mistakes are reported in one line."""

from pathlib import Path

import pytest
import yaml

from inspector import resources
from inspector.errors import SettingsError
from inspector.settings import Settings, load
from inspector.station.listing import has_intake_name


@pytest.fixture
def write(tmp_path: Path):
    """Return a function that writes a settings file and returns its path."""

    def _write(text: str) -> Path:
        path = tmp_path / "config.yaml"
        path.write_text(text)
        return path

    return _write


def test_only_the_station_is_required(write):
    """A file with nothing but the station's name gives a complete set of settings."""
    settings = load(write("station: cell-3"))
    assert settings.station == "cell-3"
    assert load(write("station: north/line-2/cell-3")).station == "north/line-2/cell-3"
    assert settings.batch_size == 8


def test_relative_paths_count_from_the_file(write, tmp_path, monkeypatch):
    """Folders, artifact and SQLite file are found beside the settings, from any working directory."""
    monkeypatch.chdir("/")
    settings = load(write("station: a\ndrop_folder: in\ndatabase_url: sqlite:///q.db"))
    assert settings.drop_folder == tmp_path / "in"
    assert settings.artifact == tmp_path / "weldnet.pt"
    assert settings.url.database == str(tmp_path / "q.db")


def test_the_console_s_settings_are_not_those_of_an_inspection(write, tmp_path):
    """An inspection records no setting of the console, so that a change of one is no change of its rules."""
    plain = load(write("station: a"))
    text = "console_certificate: c.pem\nconsole_key: k.pem\nconsole_lease_minutes: 2\nconsole_people: p.yaml"
    with_console = load(write(f"station: a\n{text}"))
    assert plain.of_an_inspection() == with_console.of_an_inspection()
    assert "database_url" not in plain.of_an_inspection()
    assert with_console.console_key == tmp_path / "k.pem"


def test_absolute_paths_stay(write):
    """An absolute path is taken as it is."""
    assert load(write("station: a\ndrop_folder: /x/in")).drop_folder == Path("/x/in")


def test_environment_wins(write, monkeypatch):
    """WELD_<KEY> overrides the file."""
    monkeypatch.setenv("WELD_BATCH_SIZE", "3")
    assert load(write("station: a\nbatch_size: 5")).batch_size == 3


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("station: a\nscan: 2", "there is no setting 'scan'; did you mean 'scan_s'?"),
        ("batch_size: 2", "'station' is missing"),
        ("station: a\nbatch_size: 0", "'batch_size'"),
        ("station: a\nbatch_size: many", "'batch_size'"),
        ("station: a b", "'station' must be 1 to 64 letters, digits, '.', '_' or '-', with '/' after a site"),
        ("station: north/", "'station' must be 1 to 64"),
        ("station: /cell-1", "'station' must be 1 to 64"),
        ("station: north//cell-1", "'station' must be 1 to 64"),
        (f"station: {'n' * 32}/{'c' * 32}", "'station' must be 1 to 64"),
        ("station: a\ntimezone: Mars/Base", "not an IANA time zone"),
        ("station: a\nshifts: {late: 14:00}", "in quotes"),
        ("station: a\nshifts: {}", "'shifts'"),
        ("station: a\nname_pattern: '('", "not a regular expression"),
        ("station: a\nname_pattern: '(?P<weld>.)'", "camera, part, seam, time"),
        ("station: a\ndatabase_url: mysql://u@h/d", "speaks 'mysql'"),
        ("station: a\ndatabase_url: 'sqlite://'", "names no file"),
        ("station: a\ndatabase_url: nonsense", "not a database URL"),
        ("station: a\nformats: [GIF]", "formats"),
        ("station: a\nseam_k: 4\nseam_n: 3", "'seam_n' must be at least seam_k"),
        ("station: a\narchive_folder: drop/archive", "must not be inside drop_folder"),
        ("station: a\nquarantine_folder: drop", "are the same folder"),
        ("station: a\nshifts: {early: 6.00}", "'early' begins at 6.0"),
        ('station: a\nshifts: {early: "06:00Z"}', "'early' begins at '06:00Z'"),
        ('station: a\nshifts: {early: "06:00+01:00"}', "'early' begins at '06:00+01:00'"),
        ('station: a\nshifts: {early: "24:00"}', 'such as "06:00"'),
        ('station: a\nshifts: {early: "06:00", late: "06:00"}', "begin together"),
        ('station: a\nshifts: {early: "06:00", early: "14:00"}', "'early' appears twice"),
        ("station: a\nstation: b", "'station' appears twice"),
        ("station: a\nbatch_size: yes", "'batch_size' must not be true, false, yes"),
        ("station: a\nthresholds: {accept: yes}", "'thresholds' must not be true, false, yes"),
        ("station: a\nmin_free_gigabytes: .inf", "'min_free_gigabytes' must be a finite number"),
        ("station: a\n_env_prefix: X_", "there is no setting '_env_prefix'"),
        ("station: a\n_secrets_dir: /tmp", "there is no setting '_secrets_dir'"),
        (
            "station: a\ndatabase_url: sqlite:///drop/q.db",
            "file of 'database_url' must not be inside drop_folder",
        ),
        ("station: a\nartifact: archive/w.pt", "artifact must not be inside archive_folder"),
        ("station: a\nresults_folder: .", "the settings file must not be inside results_folder"),
        (
            "station: a\ndatabase_url: postgresql+psycopg://u@h/d?sslkey=drop/key.pem",
            "sslkey of 'database_url' must not be inside drop_folder",
        ),
        ("station: 2026-02-30", "is not YAML: day is out of range"),
        ("station: a\nbatch_size: !!int x", "is not YAML: invalid literal"),
        ("station: a\nignore: " + "[" * 5000, "is not YAML"),
        ("station: a\ndrop_folder: ~no-such-user/drop", "there is no such user"),
        ("station: a\ndatabase_url: sqlite:///~no-such-user/q.db", "there is no such user"),
        ('station: a\nartifact: "a\\0b"', "'artifact' must not hold a NUL character"),
        ('station: a\ndatabase_url: "sqlite:///q\\0.db"', "'database_url' must not hold a NUL character"),
        ('station: a\nignore: ["\\0"]', "'ignore' must not hold a NUL character"),
        ('station: a\nshifts: {"": "06:00"}', "has a shift named ''"),
        ('station: a\nshifts: {early: "06:00", "early ": "14:00"}', "has a shift named 'early '"),
        ('station: a\nshifts: {"a\\nb": "06:00"}', "has a shift named 'a\\nb'"),
        ('station: a\nshifts: "06:00"', "'shifts' must be pairs such as {name: value}"),
        ("station: a\nformats: PNG", "'formats' must be a list such as [A, B]"),
        ("station: a\ndatabase_url: sqlite:///q.db?timeout=soon", "use sqlite:///FILE"),
        ("station: a\ndatabase_url: sqlite:///q.db?immutable=1", "use sqlite:///FILE"),
        ("station: a\ndatabase_url: sqlite://host/q.db", "use sqlite:///FILE"),
        ("station: a\nconsole_key: k.pem", "'console_key' goes with 'console_certificate'"),
        ("station: a\nconsole_certificate: c.pem", "'console_key' goes with 'console_certificate'"),
        ("station: a\nconsole_proxy: localhost", "'console_proxy' must be the proxy's IP address"),
        ("station: a\nconsole_proxy_header: X-User", "'console_proxy_header' needs 'console_proxy'"),
        (
            'station: a\nconsole_proxy: "::1"\nconsole_proxy_header: "X User"',
            "'console_proxy_header' must be the name of an HTTP header",
        ),
        ("station: a\nconsole_people: drop/people.yaml", "'console_people' must not be inside drop_folder"),
        ("station: [", "is not YAML"),
        ("- station", "holds no 'key: value' lines"),
        ("", "holds no 'key: value' lines"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_file_and_the_key(write, text, says):
    """Every wrong settings file is refused with a single line that names the mistake and its place."""
    path = write(text)
    with pytest.raises(SettingsError) as caught:
        load(path)
    assert says in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_all_mistakes_are_reported_at_once_by_their_source(write, credentials, monkeypatch):
    """The line holds every wrong value, in plain words, with the place where it was written."""
    monkeypatch.setenv("WELD_SCAN_S", "soon")
    monkeypatch.setenv("WELD_THRESHOLDS", "0.9")
    monkeypatch.setenv("WELD_SCAN", "2")
    (credentials / "weld_threads").write_text("999")
    path = write("station: a b\nbatch_size: many\nscans: 1\nlog_format: yaml\ntimezone: Mars\nthreads: 2")
    with pytest.raises(SettingsError) as caught:
        load(path)
    text = str(caught.value)
    assert text.startswith("9 mistakes in the settings: (1) ")
    for says in (
        f"{path}: there is no setting 'scans'; did you mean 'scan_s'?",
        "environment WELD_SCAN: there is no setting 'scan'; did you mean 'scan_s'?",
        f"{path}: 'station' must be 1 to 64 letters, digits, '.', '_' or '-', with '/' after a site"
        " (it is 'a b')",
        f"{path}: 'batch_size' must be a whole number (it is 'many')",
        f"{path}: 'log_format' must be 'text' or 'json' (it is 'yaml')",
        f"{path}: 'timezone' 'Mars' is not an IANA time zone such as Europe/Berlin",
        "environment WELD_SCAN_S: 'scan_s' must be a number (it is 'soon')",
        "environment WELD_THRESHOLDS: 'thresholds' must be pairs such as {name: value} (it is 0.9)",
        "credential weld_threads: 'threads' must be at most 256 (it is '999')",
    ):
        assert says in text, says
    assert "\n" not in text


def test_a_link_does_not_hide_a_file_in_the_drop_folder(write, tmp_path):
    """A database or folder in the drop folder is also refused if the settings name it by another path."""
    (tmp_path / "drop").mkdir()
    (tmp_path / "elsewhere").symlink_to("drop")
    with pytest.raises(SettingsError, match="must not be inside drop_folder"):
        load(write("station: a\ndatabase_url: sqlite:///elsewhere/q.db"))
    with pytest.raises(SettingsError, match="'archive_folder' must not be inside drop_folder"):
        load(write("station: a\narchive_folder: elsewhere/archive"))


@pytest.mark.parametrize("key", ["artifact", "database_url", "archive_folder", "results_folder"])
def test_a_link_in_the_drop_folder_is_not_on_the_way(write, tmp_path, key):
    """The station would take the link for an image, so nothing may be reached through it."""
    (tmp_path / "drop").mkdir()
    (tmp_path / "models").mkdir()
    (tmp_path / "drop" / "link").symlink_to(tmp_path / "models")
    (tmp_path / "chain").symlink_to("drop/link")
    path = "chain/thing"
    with pytest.raises(SettingsError, match="must not be inside drop_folder"):
        load(write(f"station: a\n{key}: {'sqlite:///' if key == 'database_url' else ''}{path}"))
    (tmp_path / "chain").unlink()
    (tmp_path / "chain").symlink_to("drop/../models")
    with pytest.raises(SettingsError, match="must not be inside drop_folder"):
        load(write(f"station: a\nartifact: {path}"))
    (tmp_path / "chain").unlink()
    (tmp_path / "chain").symlink_to("models")
    assert load(write(f"station: a\nartifact: {path}")).artifact == tmp_path / path


def test_a_missing_file_is_named(tmp_path):
    """The line for a missing settings file holds its path."""
    with pytest.raises(SettingsError, match=r"nowhere\.yaml.*No such file"):
        load(tmp_path / "nowhere.yaml")


def test_an_unknown_environment_key_is_an_error(write, monkeypatch):
    """A wrong name in the environment is refused like one in the file, because it would have no effect."""
    monkeypatch.setenv("WELD_SCAN", "2")
    with pytest.raises(SettingsError, match="WELD_SCAN"):
        load(write("station: a"))


def test_a_bad_environment_value_is_one_line(write, monkeypatch):
    """A mapping in the environment that is not JSON is refused without a traceback."""
    monkeypatch.setenv("WELD_SHIFTS", "06:00")
    with pytest.raises(SettingsError, match="shifts"):
        load(write("station: a"))


def test_a_wrong_url_does_not_show_its_password(write):
    """A refused database URL is not shown, because it may hold a password."""
    with pytest.raises(SettingsError) as caught:
        load(write("station: a\ndatabase_url: mysql://u:secret@h/d"))
    assert "secret" not in str(caught.value)


def test_the_url_is_masked_when_printed(write):
    """The URL object shows stars in place of the password."""
    settings = load(write("station: a\ndatabase_url: postgresql+psycopg://u:secret@h/d"))
    assert "secret" not in str(settings.url)
    assert settings.url.password == "secret"  # noqa: S105


def test_the_example_names_every_setting_and_holds_the_defaults(tmp_path):
    """deploy/config.example.yaml has each key with its default."""
    text = (resources.folder("deploy") / "config.example.yaml").read_text()
    assert set(yaml.safe_load(text)) == set(Settings.model_fields)
    example = tmp_path / "example.yaml"
    example.write_text(text)
    plain = tmp_path / "plain.yaml"
    plain.write_text("station: cell-3")
    assert load(example) == load(plain)


# --- systemd's credentials ------------------------------------------------------------------------------

_ON_POSTGRESQL = "station: a\nbatch_size: 5\ndatabase_url: postgresql+psycopg://u@h/d"


@pytest.fixture
def credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which systemd puts the files of LoadCredential=."""
    folder = tmp_path / "credentials"
    folder.mkdir()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    return folder


def test_a_credential_gives_any_setting(write, credentials, monkeypatch):
    """A credential weld_<key> overrides the file, and the environment overrides it."""
    (credentials / "weld_database_url").write_text("postgresql+psycopg://u:secret@h/other\n")
    (credentials / "weld_batch_size").write_text("4")
    (credentials / "of_another_program").write_text("x")
    settings = load(write(_ON_POSTGRESQL))
    assert (settings.url.database, settings.url.password, settings.batch_size) == ("other", "secret", 4)
    monkeypatch.setenv("WELD_BATCH_SIZE", "3")
    assert load(write(_ON_POSTGRESQL)).batch_size == 3


def test_a_password_alone_may_be_a_credential(write, credentials, monkeypatch):
    """The credential pgpassword is used on PostgreSQL if neither the URL nor PGPASSWORD has a password."""
    (credentials / "pgpassword").write_text("p@ss/w#rd%\n")
    assert load(write(_ON_POSTGRESQL)).url.password == "p@ss/w#rd%"  # noqa: S105
    assert load(write("station: a")).url.password is None
    assert load(write(_ON_POSTGRESQL.replace("u@h", "u:own@h"))).url.password == "own"  # noqa: S105
    monkeypatch.setenv("PGPASSWORD", "x")
    assert load(write(_ON_POSTGRESQL)).url.password is None


def test_a_wrong_credential_is_one_line(write, credentials):
    """A credential that is not named like a setting, or is not text, is refused and not shown."""
    (credentials / "weld_database_urll").write_text("secret")
    with pytest.raises(SettingsError, match=r"credential weld_database_urll: .*did you mean 'database_url'"):
        load(write(_ON_POSTGRESQL))
    (credentials / "weld_database_urll").unlink()
    (credentials / "pgpassword").write_bytes(b"secret\xff")
    with pytest.raises(SettingsError, match="credential pgpassword: cannot be read") as caught:
        load(write(_ON_POSTGRESQL))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("postgresql+psycopg://u:secret@ord@h/d", "write one that is part of the password as %40"),
        ("postgresql+psycopg://u@h:secret/d", "is not a database URL"),
    ],
)
def test_a_password_that_breaks_the_url_is_reported_without_it(write, url, says):
    """A password that holds an @, or is in the port's place, gives one line that does not show it."""
    with pytest.raises(SettingsError, match=says) as caught:
        load(write(f"station: a\ndatabase_url: '{url}'"))
    assert "secret" not in str(caught.value)
    assert "ord@h" not in str(caught.value)


def test_settings_do_not_show_the_password(write):
    """The printed form of the settings holds no database URL."""
    assert "secret" not in repr(load(write(_ON_POSTGRESQL.replace("u@h", "u:secret@h"))))


def test_certificates_count_from_the_file(write, tmp_path):
    """Relative paths in the URL's query count from the settings file's folder; the word 'system' is kept."""
    query = "?sslmode=verify-full&sslrootcert=ca.pem&sslkey=/etc/key"
    assert load(write(_ON_POSTGRESQL + query)).url.query == {
        "sslmode": "verify-full",
        "sslrootcert": str(tmp_path / "ca.pem"),
        "sslkey": "/etc/key",
    }
    assert load(write(_ON_POSTGRESQL + "?sslrootcert=system")).url.query == {"sslrootcert": "system"}


def test_companions_of_images_are_ignored_by_default_and_images_never(tmp_path: Path) -> None:
    """The default patterns match the files that come beside images, and no image."""
    file = tmp_path / "config.yaml"
    file.write_text("station: cell-3\n")
    ignore = load(file).ignore
    for name in ("weld.json", "weld.png.xml", "NOTES.TXT", "Thumbs.db", "desktop.ini", "cam1/weld.csv"):
        assert not has_intake_name(name, ignore)
    for name in ("weld.png", "weld.txt.png", "frame0001", "weld.raw", "weld.dcm"):
        assert has_intake_name(name, ignore)


@pytest.mark.parametrize("pattern", ["*", "*.*", "", "cam1/*.json", "*-*g", "?*"])
def test_a_pattern_that_would_hide_every_image_is_refused(tmp_path: Path, pattern: str) -> None:
    """A pattern that ignores every image is refused: the station would look healthy and inspect nothing."""
    file = tmp_path / "config.yaml"
    file.write_text(f"station: cell-3\nignore: ['*.json', '{pattern}']\n")
    if pattern == "*-*g":  # matches only some images, which may be intended
        assert load(file).ignore == ["*.json", pattern]
        return
    with pytest.raises(SettingsError, match="ignore"):
        load(file)
