"""The log on stderr: plain lines for journald, or one JSON object per line for a log collector."""

from __future__ import annotations

import json
import logging
import os
import sys
from datetime import UTC, datetime
from typing import Any, Final, Literal

Format = Literal["text", "json"]

# syslog's numbers (sd-daemon(3)): journald reads the number at the start of a line and removes it.
_PRIORITIES = {
    logging.DEBUG: 7,
    logging.INFO: 6,
    logging.WARNING: 4,
    logging.ERROR: 3,
    logging.CRITICAL: 2,
}


IMAGES: Final = "weldnet.images"  # the logger that writes a line for each image


def set_up(form: Format) -> None:
    """Send the program's log to stderr in this form, unless logging is set up already.

    Only a terminal shows a line for each image: a station's journal would get a hundred of them per second.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if form == "json" else _Text())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("alembic").setLevel(logging.WARNING)  # its progress does not concern users
    is_for_people = form == "text" and sys.stderr.isatty()
    logging.getLogger(IMAGES).setLevel(logging.INFO if is_for_people else logging.WARNING)


def json_fields(**named: Any) -> dict[str, dict[str, Any]]:
    """Return ``extra=`` for a log call: fields that the JSON form adds to the message."""
    return {"fields": named}


class _Text(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(levelname)s %(message)s")  # journald adds the time

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        return f"<{_PRIORITIES.get(record.levelno, 6)}>{line}" if "JOURNAL_STREAM" in os.environ else line


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        about: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            about["exception"] = self.formatException(record.exc_info)
        return json.dumps(about, ensure_ascii=False)
