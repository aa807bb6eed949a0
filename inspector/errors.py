"""Every error a user can meet, as one tree; each message is one line: what is wrong, and how to mend it.

StationError                exit status 1: the work failed, nothing is lost
├── UsageError              exit status 2: wrong usage or installation; trying again will not help
│   ├── SettingsError       a key, a value or the file itself
│   ├── ArtifactError       missing, not an artifact, or not the one that was asked for
│   ├── SchemaError         the database has no schema, or an old one
│   └── FolderError         a folder is missing, not writable, locked, or on another file system
├── StoreUnavailable        the database does not answer: an outage, waited out by ``run``
└── ImageError              one file cannot be inspected; it is retried or quarantined, never lost
"""


class StationError(Exception):
    """Base of all expected errors; ``exit_status`` is what a command returns for it."""

    exit_status = 1


class UsageError(StationError):
    """Something the user must change: trying again will not help."""

    exit_status = 2


class SettingsError(UsageError):
    """A settings file or environment variable is wrong."""


class ArtifactError(UsageError):
    """The artifact is missing, damaged, of an unknown schema, or not the one that was asked for."""


class SchemaError(UsageError):
    """The database lacks the schema, or has another revision than this program."""


class FolderError(UsageError):
    """A folder is missing, not writable, owned by another daemon, or on another file system."""


class StoreUnavailable(StationError):
    """The database server does not answer, or refuses work for now: an outage."""


class ImageError(StationError):
    """One file cannot be inspected.

    Attributes:
        reason: short word for the quarantine table, for instance ``truncated``.
        detail: one line for people.
        retry: True where a writer may still be at work (empty, truncated), so another look may help.
    """

    def __init__(self, reason: str, detail: str, *, retry: bool = False) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.retry = retry
