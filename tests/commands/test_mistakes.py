"""Typical mistakes with both programs: each is one line that says how to fix it, with exit status 2."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url
from stations import Station
from tiny_runs import write_recipe
from trainer_samples import class_folders

from inspector.commands.cli import main as weld_inspect
from inspector.ledger.store import migrate
from trainer.commands.cli import main as weld_train

# Settings files, each with one mistake, after the line 'station: cell-1'
SETTINGS = {
    "tab": "\tscan_s: 2",
    "unknown-key": "batchsize: 4",
    "text-for-number": "batch_size: eight",
    "zero": "batch_size: 0",
    "duration": "scan_s: 2s",
    "yes": "scan_s: yes",
    "city": "timezone: Berlin",
    "shift": "shifts: {late: 14:00}",
    "twice": "scan_s: 1\nscan_s: 2",
    "pattern": "name_pattern: '(('",
    "percent": "thresholds: {accept: 90}",
    "unknown-class": "thresholds: {burnthrough: 0.3}",
    "every-name": "ignore: ['*']",
    "format": "formats: [GIF]",
    "port": "metrics_port: 80",
    "seam": "seam_k: 6\nseam_n: 5",
    "no-url": "database_url: quality.db",
    "mysql": "database_url: mysql://me@db/quality",
    "two-at": "database_url: postgresql+psycopg://me:p@ss@db/quality",
    "same-folder": "archive_folder: drop",
    "inside": "quarantine_folder: drop/bad",
    "home": "drop_folder: ~nobody-at-all/drop",
    "no-artifact": "artifact: none.pt",
    "no-network": "artifact: image.png",
    "other-hash": f"artifact_sha256: '{'0' * 64}'",
    "short-hash": "artifact_sha256: abc",
    "open-to-all": "artifact: open-to-all.pt",
    "file-for-folder": "archive_folder: image.png",
    "no-drop-folder": "drop_folder: nowhere",
    "no-schema": "database_url: sqlite:///new.db",
    "no-folder": "database_url: sqlite:///no/such/new.db",
    "no-database": "database_url: sqlite:///image.png",
}
TABLES = {
    "columns.csv": "number,said\n1,PASS\n",
    "number.csv": "id,human_verdict\n99,PASS\n",
    "text.csv": "id,human_verdict\none,PASS\n",
    "verdict.csv": "id,human_verdict\n1,GOOD\n",
    "empty.csv": "",
    "headings.csv": "file,class\ndata/good/good-run0/0.png,good\n",
    "gone.csv": "path,label\ngone.png,good\n",
    "short.csv": "path,label\nimage.png\n",
    "broken.json": "{",
    "broken-recipe.yaml": "name: a\n  seed: [\n",
    "key-recipe.yaml": "name: a\ntraning: {epochs: 3}\n",
}
DATES = "such as 2026-01-31 or 2026-01-31T14:00"
MISTAKES = [
    # the command line
    ("weld-inspect reprot summary", "Did you mean 'report'"),
    ("weld-inspect once --confg config.yaml", "Possible options: --config"),
    ("weld-inspect once --config", "'--config' requires an argument"),
    ("weld-inspect once now", "see 'weld-inspect once --help'"),
    ("weld-inspect bench", "missing option '--artifact'; see 'weld-inspect bench --help'"),
    ("weld-inspect predict weldnet.pt", "missing argument 'IMAGE'; see 'weld-inspect predict --help'"),
    ("weld-inspect config shwo", "Did you mean 'show'"),
    ("weld-inspect config explain batchsize", "did you mean 'batch_size'?"),
    ("weld-inspect init .", "is a station already, and stays as it is; choose another folder"),
    ("weld-inspect init new --artifact none.pt", "no such file; name one made by weld-train"),
    # settings
    ("weld-inspect once --config none.yaml", "make a station with 'weld-inspect init DIR'"),
    ("weld-inspect once --config archive", "name a station's settings file"),
    ("WELD_CONFIG=none.yaml weld-inspect status", "none.yaml: cannot read the settings"),
    ("WELD_BATCH_SIZE=eight weld-inspect once", "environment WELD_BATCH_SIZE: 'batch_size' must be a whole"),
    ("WELD_IGNORE=*.json weld-inspect once", 'must be JSON, such as ["*.json"]'),
    ("weld-inspect once --config nothing.yaml", "start from deploy/config.example.yaml"),
    ("weld-inspect once --config no-station.yaml", "'station' is missing; add a line 'station: …'"),
    ("weld-inspect once --config spaces.yaml", "must be 1 to 64 letters, digits"),
    ("weld-inspect once --config latin-1.yaml", "save it as UTF-8"),
    (
        "weld-inspect once --config tab.yaml",
        "'\\t' that cannot start any token in \"<unicode string>\", line 2",
    ),
    ("weld-inspect once --config unknown-key.yaml", "did you mean 'batch_size'?"),
    ("weld-inspect once --config text-for-number.yaml", "must be a whole number (it is 'eight')"),
    ("weld-inspect once --config zero.yaml", "must be at least 1 (it is 0)"),
    ("weld-inspect once --config duration.yaml", "'scan_s' must be a number (it is '2s')"),
    ("weld-inspect once --config yes.yaml", "must not be true, false, yes"),
    ("weld-inspect once --config city.yaml", "not an IANA time zone such as Europe/Berlin"),
    ("weld-inspect once --config shift.yaml", 'in quotes, such as "06:00"'),
    ("weld-inspect once --config twice.yaml", "'scan_s' appears twice, from line 1 on; remove one"),
    ("weld-inspect once --config pattern.yaml", "not a regular expression: missing )"),
    ("weld-inspect once --config percent.yaml", "must be at most 1 (it is 90)"),
    ("weld-inspect once --config unknown-class.yaml", "a defect class of tiny (burn through, contamination)"),
    ("weld-inspect once --config every-name.yaml", "leaves every image where it is; be more exact"),
    ("weld-inspect once --config format.yaml", "must be 'PNG', 'JPEG', 'BMP' or 'TIFF'"),
    ("weld-inspect once --config port.yaml", "must be at least 1024"),
    ("weld-inspect once --config seam.yaml", "must be at least seam_k"),
    ("weld-inspect once --config no-url.yaml", "a database URL such as sqlite:///quality.db"),
    (
        "weld-inspect once --config mysql.yaml",
        "use sqlite:///FILE or postgresql+psycopg://USER@HOST/DATABASE",
    ),
    ("weld-inspect once --config two-at.yaml", "write one that is part of the password as %40"),
    ("weld-inspect once --config same-folder.yaml", "are the same folder"),
    ("weld-inspect once --config inside.yaml", "give it its own folder"),
    ("weld-inspect once --config home.yaml", "write the whole path"),
    ("weld-inspect once --config no-artifact.yaml", "copy it there, or correct the setting"),
    (
        "weld-inspect once --config no-network.yaml",
        "is not an artifact (File is not a zip file); make one with",
    ),
    ("weld-inspect once --config other-hash.yaml", "artifact_sha256"),
    (
        "weld-inspect once --config short-hash.yaml",
        "must be 64 hex digits in lower case, as sha256sum prints",
    ),
    ("weld-inspect once --config open-to-all.yaml", "everybody may write to"),
    (
        "weld-inspect once --config file-for-folder.yaml",
        "image.png: cannot be created: File exists; name another",
    ),
    ("weld-inspect once --config no-drop-folder.yaml", "create it, or correct the setting"),
    ("weld-inspect once --config no-schema.yaml", "run 'weld-inspect migrate --config F'"),
    ("weld-inspect once --config no-folder.yaml", "its folder is missing; create it or change database_url"),
    ("weld-inspect migrate --config no-database.yaml", "restore it or name another file"),
    # reports
    ("weld-inspect report sumary", "did you mean 'summary'?"),
    ("weld-inspect report summary --since yesterday", DATES),
    ("weld-inspect report summary --since 2026-13-01", DATES),
    ("weld-inspect report summary --since 01.02.2026", DATES),
    ("weld-inspect report summary --since 2026-02-01 --until 2026-01-01", "the period is empty"),
    ("weld-inspect report summary --station cell-9", "there is no station 'cell-9' in this database; it has"),
    (
        "weld-inspect report summary --part P-9",
        "there is no part 'P-9' in this database; 'report by_part' shows",
    ),
    ("weld-inspect report summary --format xml", "is not one of 'table', 'csv', 'json'"),
    ("weld-inspect report trend --by month", "goes by day, hour, shift, week"),
    ("weld-inspect report summary --by day", "leave --by out"),
    ("weld-inspect report html", "missing option '--out'; see 'weld-inspect report html --help'"),
    ("weld-inspect report html --out r.html --days 0", "greater than or equal to 1"),
    ("weld-inspect report html --out r.html --days 7 --since 2026-01-01", "leave it or them out"),
    ("weld-inspect report html --out r.html --language fr", "it has en, de, zh"),
    ("weld-inspect report html --out no/such/r.html", "there is no folder no/such; make it or name another"),
    ("weld-inspect report html --out archive", "is a folder; name a file in it, such as archive/report.html"),
    ("weld-inspect report html --out image.png --keep 5", "name another folder"),
    ("weld-inspect report contact --out c.png --verdict GOOD", "use PASS, FAIL or REVIEW"),
    # human verdicts
    ("weld-inspect review set 1", "missing option '--verdict'"),
    ("weld-inspect review set --verdict PASS", "give the numbers of images, or --part, and only one of them"),
    (
        "weld-inspect review set 99 --verdict PASS",
        "there is no inspection 99; 'review next' and 'trace' show",
    ),
    ("weld-inspect review set one --verdict PASS", "should be a valid integer"),
    ("weld-inspect review set 1 --verdict GOOD", "use PASS, FAIL or REVIEW"),
    ("weld-inspect review set 1 --verdict FAIL --label hole", "there are burn through, contamination"),
    ("weld-inspect review set --part P9 --verdict PASS", "'review next' shows parts and seams as they are"),
    ("weld-inspect review next --reason wrong", "there is review, audit, fail, undecided"),
    ("weld-inspect review import none.csv", "none.csv: cannot be read: No such file"),
    ("weld-inspect review import columns.csv", "lacks the column id and human_verdict; it has 'number'"),
    ("weld-inspect review import number.csv", "line 2: there is no inspection 99"),
    ("weld-inspect review import text.csv", "line 2: 'one' is not the number of an inspection"),
    ("weld-inspect review import verdict.csv", "use PASS, FAIL or REVIEW; nothing was imported"),
    ("weld-inspect review import empty.csv", "lacks the column id and human_verdict; it has none"),
    ("weld-inspect review import image.png", "save it as 'CSV UTF-8 (comma delimited)' in Excel"),
    ("weld-inspect console --port 99999", "less than or equal to 65535"),
    ("weld-inspect console --host 0.0.0.0", "set console_certificate and console_key, or console_proxy"),
    ("weld-inspect console --host nowhere.invalid", "give an IP address of its own"),
    ("weld-inspect console user remove nobody", "there is nobody yet ('console user add')"),
    # one image, and upkeep
    ("weld-inspect show 99", "there is no inspection 99; 'review next' and 'trace' show the numbers"),
    ("weld-inspect trace", "give an image file, or --part, or --id, and only one of them"),
    ("weld-inspect trace none.png", "none.png: cannot be read: No such file"),
    ("weld-inspect trace --id 99", "the database knows no image of inspection 99"),
    ("weld-inspect requeue", "say which files: --id, --reason, --since or --until"),
    ("weld-inspect requeue --id 99", "'report quarantine' lists them"),
    ("weld-inspect prune", "missing option '--older-than'"),
    ("weld-inspect prune --older-than 30d", "should be a valid number"),
    ("weld-inspect export --out archive", "name a new folder, or add to an export with --add"),
    ("weld-inspect backup quality.db", "a backup never overwrites a file: choose another name"),
    ("weld-inspect backup no/such/copy.db", "there is no folder no/such; make it or name another"),
    ("weld-inspect install-artifact", "name the new artifact, or give --back, and not both"),
    ("weld-inspect install-artifact --back", "name the file to install"),
    ("weld-inspect rejudge --artifact none.pt", "no such file; name one made by weld-train"),
    ("weld-inspect bench --artifact weldnet.pt --dir empty", "holds no image that can be read"),
    ("weld-inspect predict weldnet.pt empty", "name the files themselves"),
    ("weld-inspect predict weldnet.pt image.png --heat config.yaml", "name another folder"),
    # training
    ("weld-train rnu best", "Did you mean 'run'"),
    ("weld-train run best --data data", "missing option '--out'; see 'weld-train run --help'"),
    ("weld-train run bests --data data --out out", "did you mean 'best'?"),
    ("weld-train run broken-recipe.yaml --data data --out out", "is not YAML"),
    ("weld-train run key-recipe.yaml --data data --out out", "did you mean 'training'?"),
    ("weld-train run tiny.yaml --data data --out out --set sed=1", "did you mean 'seed'?"),
    ("weld-train run tiny.yaml --data data --out out --set seed", "write it as key=value"),
    ("weld-train run tiny.yaml --data data --out out --set training.epochs=0", "greater than or equal to 1"),
    ("weld-train run tiny.yaml --data none --out out", "there is no such file or folder"),
    ("weld-train run ss304 --data empty --out out", "nothing to read: there are no images in it"),
    ("weld-train run tiny.yaml --data image.png --out out", "give a folder, or a CSV of path,label[,run]"),
    ("weld-train run tiny.yaml --data headings.csv --out out", "file, class; name them path,label[,run]"),
    ("weld-train run tiny.yaml --data gone.csv --out out", "missing file: gone.png in gone.csv"),
    ("weld-train run tiny.yaml --data short.csv --out out", "row without a label: line 2"),
    ("weld-train run tiny.yaml --data broken.json --out out", "give a folder, or a CSV of path,label[,run]"),
    ("weld-train run tiny.yaml --data data --out out --start none.pt", "none.pt: no such file"),
    ("weld-train run tiny.yaml --data data --out out --unlabelled none", "path 'none' does not exist"),
    ("weld-train run tiny.yaml --data data --out out --devices 0", "greater than or equal to 1"),
    ("weld-train sweep tiny.yaml --data data --out out --vary seed=1", "give seeds as --seeds 0,1,2"),
    ("weld-train sweep tiny.yaml --data data --out out --seeds one", "give whole numbers, as 0,1,2"),
    ("weld-train learning-curve --data data --out out --seeds ''", "give whole numbers, as 0,1,2"),
    ("weld-train suspects --data data --out image.png", "give another --out"),
    ("weld-train compile none.pt --scheme none --out out.pt", "no such file; a run writes it as student.pt"),
    ("weld-train compile image.png --scheme none --out out.pt", "is not a student.pt"),
    ("weld-train compile weldnet.pt --scheme none --out out.pt", "is not a student.pt"),
    ("weld-train compile none.pt --scheme int4 --out out.pt", "is not one of 'dynamic', 'static', 'none'"),
    ("weld-train evaluate none.pt --data data", "no such file; name one made by weld-train"),
    (
        "weld-train evaluate image.png --data data",
        "is not an artifact (File is not a zip file); make one with",
    ),
    ("weld-train evaluate weldnet.pt --data empty", "nothing to read: there are no images in it"),
    ("weld-train compare weldnet.pt --data data", "missing argument 'NEW'; see 'weld-train compare --help'"),
    ("weld-train synth --out image.png --count 2", "image.png: File exists; name another"),
    ("weld-train synth --out new --count 0", "greater than or equal to 1"),
    ("weld-train table --run empty", "holds no finished run (no results.json); make one with weld-train run"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> Path:
    """Make a folder with a station at work, and everything that the mistakes need."""
    folder = tmp_path_factory.mktemp("mistakes")
    url = make_url(f"sqlite:///{folder / 'quality.db'}")
    migrate(url)
    station = Station(folder, tiny, url)
    image = station.put("w.png", seed=1)
    shutil.copy(image, folder / "image.png")
    station.deliver("bad.png", b"no picture")
    station.once()
    for name, text in SETTINGS.items():
        (folder / f"{name}.yaml").write_text(f"station: cell-1\n{text}\n")
    for name, text in TABLES.items():
        (folder / name).write_text(text)
    (folder / "nothing.yaml").write_text("")
    (folder / "no-station.yaml").write_text("scan_s: 1\n")
    (folder / "spaces.yaml").write_text("station: cell 1\n")
    (folder / "latin-1.yaml").write_text("station: cell-1 # größe\n", encoding="latin-1")
    for name in ("weldnet.pt", "open-to-all.pt"):
        shutil.copy(tiny, folder / name)
    (folder / "open-to-all.pt").chmod(0o666)
    (folder / "empty").mkdir()
    class_folders(folder / "data")
    write_recipe(folder / "tiny.yaml")
    return folder


@pytest.mark.parametrize(("command", "says"), MISTAKES, ids=[command for command, _ in MISTAKES])
def test_a_mistake_is_one_line_with_its_fix(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
    says: str,
) -> None:
    """The status is 2, stdout is empty, stderr is one line with the fix, and no file has changed."""
    before = _files(folder)
    monkeypatch.chdir(folder)
    program, *words = shlex.split(command)
    while "=" in program:
        monkeypatch.setenv(*program.split("="))
        program, *words = words
    monkeypatch.setattr(sys, "argv", [program, *words])
    with pytest.raises(SystemExit) as ended:
        {"weld-inspect": weld_inspect, "weld-train": weld_train}[program]()
    out, err = capsys.readouterr()
    assert (ended.value.code, out) == (2, ""), err
    [line] = [line for line in err.splitlines() if not line.startswith("INFO ")]
    assert line.startswith(f"{program}: ")
    assert says in line
    assert _files(folder).items() >= before.items()


def _files(folder: Path) -> dict[Path, tuple[int, int]]:
    """Size and time of each file; those beside SQLite's come and go with its readers."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {
        path: (path.stat().st_size, path.stat().st_mtime_ns)
        for path in files
        if not path.name.startswith("quality.db-")
    }
