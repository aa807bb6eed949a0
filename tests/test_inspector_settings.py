"""Settings: one frozen object out of YAML and environment; mistakes are one clear line each."""

from pathlib import Path

import pytest
import yaml

from inspector import resources
from inspector.errors import SettingsError
from inspector.settings import Settings, load


@pytest.fixture
def write(tmp_path: Path):
    """Writes a settings file and gives its path."""

    def _write(text: str) -> Path:
        path = tmp_path / "config.yaml"
        path.write_text(text)
        return path

    return _write


def test_only_the_station_is_required(write):
    """A file with nothing but the station's name gives a complete set of settings."""
    settings = load(write("station: cell-3"))
    assert settings.station == "cell-3"
    assert settings.batch_size == 8


def test_relative_paths_count_from_the_file(write, tmp_path, monkeypatch):
    """Folders, artifact and SQLite file are found beside the settings, whatever the working directory is."""
    monkeypatch.chdir("/")
    settings = load(write("station: a\ndrop_folder: in\ndatabase_url: sqlite:///q.db"))
    assert settings.drop_folder == tmp_path / "in"
    assert settings.artifact == tmp_path / "weldnet.pt"
    assert settings.url.database == str(tmp_path / "q.db")


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
        ("station: a b", "'station'"),
        ("station: a\ntimezone: Mars/Base", "no IANA time zone"),
        ("station: a\nshifts: {late: 14:00}", "in quotes"),
        ("station: a\nshifts: {}", "'shifts'"),
        ("station: a\nname_pattern: '('", "no regular expression"),
        ("station: a\nname_pattern: '(?P<weld>.)'", "camera, part, seam, time"),
        ("station: a\ndatabase_url: mysql://u@h/d", "speaks 'mysql'"),
        ("station: a\ndatabase_url: 'sqlite://'", "names no file"),
        ("station: a\ndatabase_url: nonsense", "no database URL"),
        ("station: a\nformats: [GIF]", "formats"),
        ("station: a\nseam_k: 4\nseam_n: 3", "'seam_n' must be at least seam_k"),
        ("station: a\narchive_folder: drop/archive", "must not lie in drop_folder"),
        ("station: a\nquarantine_folder: drop", "must not lie in"),
        ("station: [", "is not YAML"),
        ("- station", "holds no 'key: value' lines"),
        ("", "holds no 'key: value' lines"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_file_and_the_key(write, text, says):
    """Every wrong settings file is refused with a single line that tells what and where."""
    path = write(text)
    with pytest.raises(SettingsError) as caught:
        load(path)
    assert says in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    """A settings file that is not there is said to be missing, by its path."""
    with pytest.raises(SettingsError, match=r"nowhere\.yaml.*No such file"):
        load(tmp_path / "nowhere.yaml")


def test_an_unknown_environment_key_is_an_error(write, monkeypatch):
    """A typo in the environment is refused like one in the file: it would silently not work."""
    monkeypatch.setenv("WELD_SCAN", "2")
    with pytest.raises(SettingsError, match="WELD_SCAN"):
        load(write("station: a"))


def test_a_bad_environment_value_is_one_line(write, monkeypatch):
    """A mapping in the environment that is no JSON is refused without a traceback."""
    monkeypatch.setenv("WELD_SHIFTS", "06:00")
    with pytest.raises(SettingsError, match="shifts"):
        load(write("station: a"))


def test_a_wrong_url_does_not_show_its_password(write):
    """A refused database URL is not repeated: it may hold a password."""
    with pytest.raises(SettingsError) as caught:
        load(write("station: a\ndatabase_url: mysql://u:secret@h/d"))
    assert "secret" not in str(caught.value)


def test_the_url_is_masked_when_printed(write):
    """The URL object shows stars in place of the password."""
    settings = load(write("station: a\ndatabase_url: postgresql+psycopg://u:secret@h/d"))
    assert "secret" not in str(settings.url)
    assert settings.url.password == "secret"  # noqa: S105


def test_the_example_names_every_setting_and_holds_the_defaults(tmp_path):
    """deploy/config.example.yaml is complete and true: each key, each default."""
    text = (resources.folder("deploy") / "config.example.yaml").read_text()
    assert set(yaml.safe_load(text)) == set(Settings.model_fields)
    example = tmp_path / "example.yaml"
    example.write_text(text)
    plain = tmp_path / "plain.yaml"
    plain.write_text("station: cell-3")
    assert load(example) == load(plain)
