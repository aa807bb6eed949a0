"""PostgreSQL as a plant runs it: passwords, TLS, refusals, rights and several stations in one database."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from managers import manager, running, wait_until
from programs import program
from servers import postgresql_server, postgresql_url
from sqlalchemy.engine import URL
from stations import Station

from inspector.commands import cli
from inspector.errors import StoreRefused, StoreUnavailable
from inspector.ledger import database
from inspector.ledger.store import Store, migrate

SECRET = "s3cr3t-p%ss w@rd"  # noqa: S105 - with characters that a URL has to escape
_ACCESS = (  # pg_hba.conf: how each user proves who it is
    "local all cell scram-sha-256\nlocal all shut_out reject\nlocal all postgres,nobody,no_login,poor trust\n"
)


@pytest.fixture(scope="module")
def guarded() -> Iterator[URL]:
    """Provide a server that asks user ``cell`` for a password; the URL is that of its administrator."""
    with postgresql_server() as server:
        url = postgresql_url(server)
        migrate(url)
        administer(
            url,
            f"CREATE USER cell PASSWORD '{SECRET}'",
            "GRANT ALL ON ALL TABLES IN SCHEMA public TO cell",
            "CREATE USER poor",
            "CREATE USER no_login NOLOGIN",
        )
        [hba] = administer(url, "SHOW hba_file")
        Path(hba).write_text(_ACCESS)
        administer(url, "SELECT pg_reload_conf()")
        yield url


def administer(url: URL, *statements: str) -> list[Any]:
    """Run statements as they are; return the first value of each that gives rows."""
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        results = [connection.execute(sa.text(statement)) for statement in statements]
        return [result.scalar() for result in results if result.returns_rows]


def stopped(daemon: subprocess.Popen[str]) -> str:
    """Stop a daemon, and return its log."""
    daemon.terminate()
    assert daemon.stderr is not None
    log = daemon.stderr.read()
    daemon.wait()
    return log


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Provide a function that runs a command in this process; it returns its status and its output."""

    def run(station: Station, *words: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["weld-inspect", *words, "--config", str(station.config)])
        try:
            cli.main()
            status = 0
        except SystemExit as end:
            status = int(end.code or 0)
        printed = capfd.readouterr()
        return status, printed.out + printed.err

    return run


# --- refusals and outages -------------------------------------------------------------------------------

_REFUSED = {
    "wrong password": ({"username": "cell", "password": "wr0ng-secret"}, "password authentication failed"),
    "no password": ({"username": "cell"}, "no password supplied"),
    "no such role": ({"username": "nobody"}, 'role "nobody" does not exist'),
    "may not log in": ({"username": "no_login"}, "is not permitted to log in"),
    "shut out": ({"username": "shut_out"}, "pg_hba.conf rejects"),
    "not in pg_hba.conf": ({"username": "stranger"}, "no pg_hba.conf entry"),
    "no such database": ({"database": "qualty"}, 'database "qualty" does not exist'),
    "no right": (
        {"username": "poor"},
        "permission denied for table alembic_version; as the tables' owner run roles.sql",
    ),
}


@pytest.mark.parametrize("case", _REFUSED)
def test_a_server_that_refuses_differs_from_one_that_is_away(guarded: URL, case: str) -> None:
    """A wrong password, role, database or right is reported in the server's words, without the password."""
    change, says = _REFUSED[case]
    with pytest.raises(StoreRefused) as caught:
        Store.open(guarded.set(**change), "cell-1", seam_gap_s=300)  # type: ignore[arg-type]
    assert says in str(caught.value)
    assert caught.value.exit_status == 2
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("query", "refused"),
    [("sslmode=bogus", True), ("port=99999", True), ("connect_timeout=1", False)],
)
def test_a_value_that_no_server_could_take_is_a_mistake(query: str, refused: bool) -> None:
    """A wrong value in the URL is refused; an address without a server is an outage."""
    with pytest.raises(StoreUnavailable) as caught:
        Store.open(f"postgresql+psycopg://me:secret@127.0.0.1:9/quality?{query}", "c", seam_gap_s=1)
    assert isinstance(caught.value, StoreRefused) is refused
    assert "secret" not in str(caught.value)


def test_no_command_shows_the_password(
    guarded: URL, tmp_path: Path, tiny: Path, say: Callable[..., tuple[int, str]]
) -> None:
    """After any failure each command ends with one line and its status, and never shows the password."""
    station = Station(tmp_path, tiny, guarded)
    right = guarded.set(username="cell", password=SECRET)
    wrong = {
        "wrong password": (right.set(password=f"not {SECRET}"), 2),
        "no such database": (right.set(database="qualty"), 2),
        "nobody listens": (right.set(host="127.0.0.1", port=9, query={}), 1),
        "nobody listens, in the query": (
            right.set(host="127.0.0.1", port=9, password=None, query={"password": SECRET}),
            1,
        ),
        "no such host": (right.set(host="db.invalid", query={}), 1),
        "unknown option": (right.update_query_dict({"sslmod": "require"}), 2),
        "bad value": (right.update_query_dict({"connect_timeout": "soon"}), 2),
    }
    station.quarantine.mkdir()
    commands = (
        *(["migrate"], ["report", "summary"], ["reconcile"], ["trace", "--id", "1"]),
        *(["prune", "--older-than", "1"], ["requeue", "--reason", "truncated"]),
    )
    for case, (url, expected) in wrong.items():
        station.configure(station="cell-1", artifact=str(tiny), database_url=url.render_as_string(False))
        for words in (*commands, ["once"], ["check"], ["status"]):
            status, printed = say(station, *words)
            said = (case, words, printed)
            assert status == {"status": 1, "check": 2}.get(words[0], expected), said
            assert all(word not in printed for word in ("s3cr3t", "w@rd", "w%40rd")), said
            assert "Traceback" not in printed, said
            assert len(printed.strip().splitlines()) == 1 or words[0] in ("check", "status", "once"), said


def test_a_password_that_is_right_works_everywhere(
    guarded: URL,
    tmp_path: Path,
    tiny: Path,
    monkeypatch: pytest.MonkeyPatch,
    say: Callable[..., tuple[int, str]],
) -> None:
    """The password can come from URL, PGPASSWORD, PGPASSFILE or systemd's credential, and is never shown."""
    station = Station(tmp_path, tiny, guarded)
    plain = guarded.set(username="cell", password=None)
    passfile, folder = tmp_path / "pgpass", tmp_path / "credentials"
    passfile.write_text(f"*:*:*:cell:{SECRET}\n")
    passfile.chmod(0o600)
    folder.mkdir()
    (folder / "pgpassword").write_text(f"{SECRET}\n")
    with_it = plain.set(password=SECRET).render_as_string(hide_password=False)
    ways = {
        "WELD_DATABASE_URL": with_it,
        "PGPASSWORD": SECRET,
        "PGPASSFILE": str(passfile),
        "CREDENTIALS_DIRECTORY": str(folder),
    }
    url = plain.render_as_string(hide_password=False)
    station.configure(station="cell-1", artifact=str(tiny), database_url=url)
    assert say(station, "reconcile")[0] == 2
    for name, value in ways.items():
        with monkeypatch.context() as only:
            only.setenv(name, value)
            for words in (["reconcile"], ["migrate"]):
                status, printed = say(station, *words)
                assert status == 0, (name, printed)
                assert "s3cr3t" not in printed


def test_a_wrong_password_is_waited_out_aloud(guarded: URL, tmp_path: Path, tiny: Path) -> None:
    """The service reports the mistake in log and status, keeps the images, and goes on once it is fixed."""
    administer(guarded, "CREATE USER late PASSWORD 'old'", "GRANT ALL ON ALL TABLES IN SCHEMA public TO late")
    [hba] = administer(guarded, "SHOW hba_file")
    Path(hba).write_text(f"local all late scram-sha-256\n{_ACCESS}")
    administer(guarded, "SELECT pg_reload_conf()")
    station = Station(tmp_path, tiny, guarded.set(username="late", password=SECRET))
    station.put("w.png", seed=1)
    with manager(tmp_path) as listening, running(station.start(NOTIFY_SOCKET=str(listening.path))) as daemon:
        listening.expect("READY=1")
        said = listening.expect("STATUS=")
        assert station.files(station.drop) == {"w.png"}
        administer(guarded, f"ALTER USER late PASSWORD '{SECRET}'")
        wait_until(station.is_idle, daemon)
        log = stopped(daemon)
    assert daemon.returncode == 0, log
    assert 'password authentication failed for user "late"' in log
    assert 'password authentication failed for user "late"' in said
    assert "s3cr3t" not in log + "".join(listening.heard)


# --- TLS ------------------------------------------------------------------------------------------------


class TlsDoor:
    """A local port that speaks TLS to PostgreSQL clients, and plain text to the server's socket behind it.

    The server of the tests is built without TLS. The handshake here is between OpenSSL and libpq.
    """

    def __init__(self, server: URL, context: ssl.SSLContext | None) -> None:
        self.ciphers: list[str] = []
        self._server = f"{server.query['host']}/.s.PGSQL.5432"
        self._context = context
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._threads = [threading.Thread(target=self._open)]
        self._threads[0].start()

    def close(self) -> None:
        """Accept no more connections, and wait until the open ones have ended."""
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for thread in self._threads:
            thread.join()

    def _open(self) -> None:
        with suppress(OSError):
            while True:
                guest, _ = self._listening.accept()
                self._threads.append(threading.Thread(target=self._serve, args=(guest,)))
                self._threads[-1].start()

    def _serve(self, guest: socket.socket) -> None:
        with guest, suppress(OSError):
            assert guest.recv(8)[4:] == (80877103).to_bytes(4, "big"), "no SSLRequest"
            guest.sendall(b"S" if self._context else b"N")
            if self._context is None:
                return
            with (
                self._context.wrap_socket(guest, server_side=True) as inside,
                socket.socket(socket.AF_UNIX) as server,
            ):
                self.ciphers.append(str(inside.cipher()))
                server.connect(self._server)
                back = threading.Thread(target=_carry, args=(server, inside))
                back.start()
                _carry(inside, server)
                back.join()


def _carry(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@contextmanager
def tls_door(server: URL, context: ssl.SSLContext | None) -> Iterator[TlsDoor]:
    """Provide a TLS port, and close it at the end."""
    door = TlsDoor(server, context)
    try:
        yield door
    finally:
        door.close()


def test_tls_settings_reach_the_connection(
    guarded: URL, tmp_path: Path, tiny: Path, say: Callable[..., tuple[int, str]]
) -> None:
    """With sslmode=verify-full a certificate of our authority is accepted, and any other refused (exit 2)."""
    openssl = program("openssl")
    for name in ("ours", "theirs"):
        make = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost"
        out = ["-keyout", f"{tmp_path}/{name}.key", "-out", f"{tmp_path}/{name}.pem"]
        subprocess.run([openssl, *make.split(), *out], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "ours.pem", tmp_path / "ours.key")
    with tls_door(guarded, context) as door:
        url = guarded.set(host="localhost", port=door.port)
        for authority, expected in (("ours", (0, False)), ("theirs", (2, True))):
            query = {"sslmode": "verify-full", "sslrootcert": f"{authority}.pem"}  # file beside config.yaml
            station = Station(tmp_path, tiny, url.set(query=query))
            status, printed = say(station, "report", "summary")
            assert (status, "certificate verify failed" in printed) == expected, printed
            assert len(door.ciphers) > 0
    with tls_door(guarded, None) as door, pytest.raises(StoreRefused, match="server does not support SSL"):
        insecure = guarded.set(host="localhost", port=door.port, query={"sslmode": "require"})
        Store.open(insecure, "cell-1", seam_gap_s=300)


# --- several stations -----------------------------------------------------------------------------------


def test_two_stations_share_one_database_under_load(
    url_of: Callable[[str], URL], tmp_path: Path, tiny: Path
) -> None:
    """Two daemons write to one PostgreSQL at once without a deadlock or outage; every image has its row."""
    url, number = url_of("postgresql"), 40
    stations = []
    for name in ("cell-1", "cell-2"):
        (tmp_path / name).mkdir()
        station = Station(tmp_path / name, tiny, url)
        station.configure(
            station=name,
            artifact=str(tiny),
            database_url=url.render_as_string(hide_password=False),
            settle_s=0.05,
            name_pattern=r"(?P<part>P\d)",
            threads=1,
            batch_size=2,
        )
        stations.append(station)
    with running(stations[0].start()) as first, running(stations[1].start()) as second:
        for n in range(number):
            for station in stations:
                station.put(f"P{n % 3}-{n}.png", seed=n)  # the same names and bytes at both
        for station, daemon in zip(stations, (first, second), strict=True):
            wait_until(station.is_idle, daemon)
            log = stopped(daemon)
            assert (daemon.returncode, "outage" in log) == (0, False), log
    for station in stations:
        found = station.reconcile()
        assert (found["inspected"], found["unaccounted"], found["duplicates"]) == (number, 0, 0)
    engine = database.engine(url, read_only=True)
    with database.transaction(engine) as connection:
        deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        assert connection.exec_driver_sql(deadlocks).scalar() == 0
        rows = connection.exec_driver_sql(
            "SELECT s.name, count(*), count(DISTINCT source_name), count(duplicate_of)"
            " FROM inspection i JOIN station s ON s.id = i.station_id GROUP BY 1 ORDER BY 1"
        ).all()
    engine.dispose()
    assert [tuple(row) for row in rows] == [(name, number, number, 0) for name in ("cell-1", "cell-2")]
