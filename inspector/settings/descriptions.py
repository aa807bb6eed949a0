"""The settings in words: the comments of the example file, with the types and limits of ``Settings``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from inspector import resources
from inspector.settings import ENV_PREFIX, Settings

_TYPES: Final = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "null": "null",
}
_TIME_OF_DAY: Final = {"type": "string", "pattern": r"^([01][0-9]|2[0-3]):[0-5][0-9]$"}


@dataclass(frozen=True, slots=True)
class Description:
    """One setting."""

    key: str
    example: str  # its value in the example file
    comment: list[str]  # lines; those that begin with two spaces are examples
    values: str  # what it may be, in words

    @property
    def variable(self) -> str:
        """The variable of the environment that sets it."""
        return f"{ENV_PREFIX}{self.key.upper()}"

    @property
    def text(self) -> str:
        """The comment as plain paragraphs and examples."""
        return "\n".join(self.comment)


def descriptions() -> dict[str, Description]:
    """Return every key of the settings file, in the order of the commented example."""
    properties = Settings.model_json_schema()["properties"]
    return {
        key: Description(key, example, comment, _values(properties[key]))
        for key, example, comment in _of_example()
    }


def schema() -> dict[str, Any]:
    """Return the JSON schema of the settings file, with which an editor completes and checks it."""
    whole = Settings.model_json_schema()
    about = descriptions()
    for key, part in whole["properties"].items():
        part["description"] = about[key].text
    whole["properties"]["shifts"]["additionalProperties"] = _TIME_OF_DAY  # JSON's own "time" wants seconds
    whole |= {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Settings of a station"}
    return whole


def _of_example() -> Iterator[tuple[str, str, list[str]]]:
    """Yield key, value and comment of each setting in the example file."""
    comment: list[str] = []
    shared: list[str] = []  # keys without a comment of their own share that of the key above
    text = (resources.folder("deploy") / "config.example.yaml").read_text(encoding="utf-8")
    for line in text.splitlines():
        if line.startswith("#"):
            comment.append(line.removeprefix("#").removeprefix(" "))
        elif match := re.match(r"(\w+): (.*?)(?:\s+# (.*))?$", line):
            own = [*comment, *([match[3]] if match[3] else [])]
            shared = [own[0][:1].upper() + own[0][1:], *own[1:]] if own else shared
            yield match[1], match[2], shared
            comment = []
        elif not line:
            comment = []


def _values(part: dict[str, Any]) -> str:
    """Return the allowed values of one setting in words, from its JSON schema."""
    if "anyOf" in part:
        return ", or ".join(_values(one) for one in part["anyOf"])
    if "enum" in part:
        return " or ".join(f"`{value}`" for value in part["enum"])
    if part.get("type") == "array":
        return f"a list of {_values(part['items'])}"
    if part.get("type") == "object":
        return f"a mapping from names to {_values(part['additionalProperties'])}"
    words = {"path": "a path", "time": "a time of day, in quotes"}.get(
        part.get("format", ""), _TYPES[part["type"]]
    )
    limits = [
        f"{text} {part[key]:g}"
        for key, text in (("minimum", "from"), ("exclusiveMinimum", "above"), ("maximum", "to"))
        if key in part
    ]
    if "maxLength" in part:
        limits.append(f"of at most {part['maxLength']} characters")
    if "pattern" in part:
        limits.append(f"that matches `{part['pattern']}`")
    return " ".join([words, *limits])
