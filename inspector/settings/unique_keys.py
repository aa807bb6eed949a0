"""YAML without keys that appear twice: PyYAML would silently drop the first."""

from __future__ import annotations

from typing import Any

import yaml


class UniqueKeys(yaml.SafeLoader):
    """A YAML loader that refuses a key that appears twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Return a mapping, as the base class does."""
        keys = [key.value for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        if twice := sorted({str(key) for key in keys if keys.count(key) > 1}):
            raise yaml.YAMLError(
                f"'{twice[0]}' appears twice, from line {node.start_mark.line + 1} on; remove one"
            )
        return super().construct_mapping(node, deep)
