"""Mistakes in settings: pydantic's findings in this project's words, each with a correct form."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from inspector.errors import SettingsError

_MUST_BE = {  # by pydantic's kind of error; the names in braces are pydantic's, except key
    "missing": "is missing; add a line '{key}: …'",
    "string_type": "must be text; put it in quotes",
    "path_type": "must be a path; put it in quotes",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "greater_than": "must be more than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than": "must be less than {lt:g}",
    "less_than_equal": "must be at most {le:g}",
    "literal_error": "must be {expected}",
    "list_type": "must be a list such as [A, B]",
    "dict_type": "must be pairs such as {{name: value}}",
    "too_short": "must have at least one entry",
}
_PATTERNS = {  # of text fields
    "station": "must be 1 to 64 letters, digits, '.', '_' or '-', with '/' after a site",
    "artifact_sha256": "must be 64 hex digits in lower case, as sha256sum prints them",
    "console_proxy_header": "must be the name of an HTTP header, such as X-Forwarded-User",
}
_SECRETS = ("database_url", "central_url")  # they may hold a password: their value is never shown


def unknown(key: str, known: Collection[str]) -> str:
    """Describe an unknown key, with the setting whose name is nearest."""
    near = difflib.get_close_matches(key, known, n=1)
    advice = f"did you mean '{near[0]}'?" if near else "remove it"
    return f"there is no setting '{key}'; {advice}"


def in_words(error: ValidationError) -> list[tuple[str, str]]:
    """Return the setting and the description of each mistake."""
    return [(str(one["loc"][0]), _in_words(one)) for one in error.errors()]


def refuse(mistakes: Iterable[tuple[str, str]]) -> None:
    """Raise all mistakes as one line, each with its source; return if there are none.

    Args:
        mistakes: the source and the description of each.
    """
    lines = [f"{source}: {text}" for source, text in dict.fromkeys(mistakes)]
    if len(lines) > 1:
        numbered = " ".join(f"({number}) {line}" for number, line in enumerate(lines, start=1))
        raise SettingsError(f"{len(lines)} mistakes in the settings: {numbered}")
    if lines:
        raise SettingsError(lines[0])


def _in_words(one: Mapping[str, Any]) -> str:
    key = ".".join(str(part) for part in one["loc"])
    kind, context = one["type"], one.get("ctx", {})
    if kind == "value_error":
        text = str(context["error"])
    elif kind in ("string_pattern_mismatch", "string_too_long"):
        text = _PATTERNS[key]
    elif kind in _MUST_BE:
        text = _MUST_BE[kind].format(key=key, **context)
    else:
        text = one["msg"]
    if kind == "missing" or key in _SECRETS:
        return f"'{key}' {text}"
    return f"'{key}' {text} (it is {one['input']!r})"
