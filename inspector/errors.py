"""Every error that a user can meet, as one tree. Each message is one line: what is wrong, how to fix it.

StationError                exit status 1: the work failed, nothing is lost
├── UsageError              exit status 2: wrong usage or installation; trying again will not help
│   ├── SettingsError       a key, a value or the file itself
│   ├── ArtifactError       missing, not an artifact, or not the one that was asked for
│   ├── SchemaError         the database has no schema, or an old one
│   └── FolderError         a folder is missing, not writable, locked, or on another file system
├── Unavailable             an outage, waited out by ``run``; files wait in the drop folder
│   ├── StoreUnavailable    the database does not answer
│   │   └── StoreRefused    exit status 2: it answers, and refuses this user, password or database
│   └── ArchiveUnavailable  no file can be moved: the disk is full, read-only or not there
├── RowRefused              a constraint of the database refuses one row: its image goes to quarantine
│   └── RowOutdated         what the row refers to is no longer in the database: its image is judged again
└── ImageError              one file cannot be inspected; it is retried or quarantined, never lost
"""


class StationError(Exception):
    """Base of all expected errors; ``exit_status`` is what a command returns for it."""

    exit_status = 1


class UsageError(StationError):
    """A mistake that the user must correct: trying again will not help."""

    exit_status = 2


class SettingsError(UsageError):
    """A settings file or environment variable is wrong."""


class ArtifactError(UsageError):
    """The artifact is missing, damaged, of an unknown schema, or not the one that was asked for."""


class SchemaError(UsageError):
    """The database lacks the schema, or has another revision than this program."""


class FolderError(UsageError):
    """A folder is missing, not writable, owned by another daemon, or on another file system."""


class Unavailable(StationError):
    """An outage: something that the station needs is not available for now."""


class StoreUnavailable(Unavailable):
    """The database server does not answer, or refuses work for now."""


class ArchiveUnavailable(Unavailable):
    """No file can be moved or flushed: the disk is full, read-only, failing, or not mounted."""


class StoreRefused(StoreUnavailable):
    """The database server answers, and refuses: a wrong password, no such role or database, a missing right.

    A person must correct the mistake, here or on the server. ``run`` logs it, and waits until that is done.
    """

    exit_status = 2


class RowRefused(StationError):
    """The database answers, but a constraint refuses one row. Other rows do not have to wait for it."""


class RowOutdated(RowRefused):
    """A row refers to another one that is no longer there, since the database was restored in between."""


class ImageError(StationError):
    """One file cannot be inspected.

    Attributes:
        reason: short word for the quarantine table, for instance ``truncated``.
        detail: one line for people.
        retry: True if a writer may still be at work (empty, truncated), so another look may help.
    """

    def __init__(self, reason: str, detail: str, *, retry: bool = False) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.retry = retry
