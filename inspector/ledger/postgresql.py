"""PostgreSQL for the ledger: time limits on everything that could hang, and nothing that a pooler refuses.

Options are set within each transaction, and no statement is prepared on the server. So PgBouncer may be in
between, also with ``pool_mode=transaction``. A writer takes only a server that accepts writes. If
``database_url`` names several hosts, readers take that server, too. After a failover the old primary may come
back with old rows, and results and reports must not use them.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL

from inspector.errors import SchemaError, UsageError

_DEFAULTS: dict[str, str] = {  # the URL's own query wins over each
    "connect_timeout": "5",  # s: the status has to name an outage within 10 s
    "tcp_user_timeout": "30000",  # ms: a server that vanished while something was on its way to it
    "keepalives_idle": "15",  # s: a server that vanished while we wait for its answer
    "keepalives_interval": "5",  # s between the probes that follow
    "keepalives_count": "3",
    "application_name": "weldnet-station",
}
# After a failover the old server may come back as a standby, which answers and takes no row.
_PRIMARY = {"target_session_attrs": "read-write"}
_OUR_OWN = frozenset({"autocommit", "context", "row_factory", "cursor_factory", "client_encoding"})
_WRITER_SETTINGS = ("statement_timeout = '30s'",)  # a batch takes milliseconds; longer than this is an outage
_READER_SETTINGS = (
    "statement_timeout = '5min'",  # a report over several years may take minutes
    "work_mem = '64MB'",  # sorts a month's percentiles in memory; the default of 4 MB sorts them on disk
    "jit = off",  # it compiles a report for a second that then runs for a tenth: estimates are far too high
    "random_page_cost = 1.1",  # for an SSD; with the default of 4 it reads five million rows, not an index
)
# Messages of libpq and the server about a connection that fails until a person changes something. They come
# without an error code. If the server uses another language (lc_messages), the error counts as an outage.
REFUSALS = (
    "password authentication failed",
    "no password supplied",
    "authentication failed for user",  # peer, ident, certificate
    "does not exist",  # role, database, a certificate's file
    "no pg_hba.conf entry",
    "pg_hba.conf rejects",
    "is not permitted to log in",
    "permission denied for database",
    "certificate",  # not verified, of another host, private key does not match
    "server does not support SSL",
    "invalid sslmode",
    "invalid port number",
    "invalid integer value",
    "unrecognized configuration parameter",
    "unsupported startup parameter",  # PgBouncer
    "no such database",  # PgBouncer
    "no such user",  # PgBouncer
)


def engine(url: URL, shown: str, *, read_only: bool) -> sa.Engine:
    """Return an engine.

    Args:
        url: ``postgresql+psycopg://USER@HOST/DATABASE``.
        shown: the URL as messages may show it.
        read_only: every transaction only reads.

    Raises:
        UsageError: the driver is not installed, or the URL's query holds an option with a wrong value.
    """
    defaults = _DEFAULTS if read_only and not _has_several_hosts(url) else _DEFAULTS | _PRIMARY
    arguments: dict[str, Any] = {key: value for key, value in defaults.items() if key not in url.query}
    # A file name may hold any character, so PGCLIENTENCODING and the locale must not choose the encoding.
    arguments |= {"client_encoding": "utf8", "prepare_threshold": _prepare_threshold(url, shown)}
    if mistakes := sorted(_OUR_OWN & url.query.keys()):
        raise UsageError(f"{shown}: database_url must not set {', '.join(mistakes)}; remove it")
    try:
        engine = sa.create_engine(
            url,
            pool_pre_ping=True,  # after a restart of the server the pool holds dead connections
            connect_args=arguments,
        )
    except ImportError:
        raise UsageError(
            f"{shown}: PostgreSQL needs its driver: pip install 'weldnet-station[postgres]'"
        ) from None
    except sa.exc.ArgumentError as error:  # SQLAlchemy reads hosts and ports itself
        said = " ".join(str(error).split())
        raise UsageError(f"{shown}: database_url is wrong ({said}); correct it") from None
    in_force = [f"SET LOCAL {setting}" for setting in (_READER_SETTINGS if read_only else _WRITER_SETTINGS)]
    if read_only:
        in_force.insert(0, "SET TRANSACTION READ ONLY")

    @sa.event.listens_for(engine, "do_connect")
    def _connect(dialect: sa.Dialect, _record: Any, words: Any, named: Any) -> Any:
        try:
            return dialect.connect(*words, **named)
        except (TypeError, ValueError) as error:  # psycopg converts some values itself
            said = " ".join(str(error).split())
            raise UsageError(
                f"{shown}: an option in database_url has a wrong value ({said}); correct it"
            ) from None

    @sa.event.listens_for(engine, "begin")
    def _on_begin(connection: sa.Connection) -> None:
        for statement in in_force:
            connection.exec_driver_sql(statement)

    return engine


def _has_several_hosts(url: URL) -> bool:
    hosts = url.query.get("host", "")
    return not isinstance(hosts, str) or "," in f"{url.host}{hosts}"


def require_utf8(connection: sa.Connection, shown: str) -> None:
    """Refuse a database whose encoding cannot store every file name, or does not check what it stores.

    Raises:
        SchemaError: the encoding is not UTF8, and how to make a database that has it.
    """
    encoding = connection.exec_driver_sql("SHOW server_encoding").scalar()
    if encoding != "UTF8":
        raise SchemaError(
            f"{shown}: its encoding is {encoding}, which cannot store every file name; "
            "CREATE DATABASE quality ENCODING 'UTF8' LOCALE 'C.UTF-8' TEMPLATE template0, and name that one"
        )


def _prepare_threshold(url: URL, shown: str) -> int | None:
    """Executions after which psycopg prepares a statement on the server; None, the default, for never."""
    text = url.query.get("prepare_threshold", "none")
    if text == "none":
        return None
    if not isinstance(text, str) or not text.isdecimal():
        raise UsageError(f"{shown}: prepare_threshold in database_url must be a whole number or 'none'")
    return int(text)
