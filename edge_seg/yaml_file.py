"""YAML from outside: one reader, within limits, of plain values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edge_seg import limits
from edge_seg.errors import EdgeSegError, MissingDependencyError
from edge_seg.files import read_limited
from edge_seg.install import pip_install


def read_yaml(file: Path, error: type[EdgeSegError], remedy: str, code: str | None = None) -> Any:
    """The value in ``file``: dicts, lists (tuples too), texts, numbers.

    Raises ``error`` with ``remedy`` for what is too large, isn't UTF-8 or YAML, merges mappings (``<<``) or holds more
    than :data:`edge_seg.limits.YAML_VALUES` values once its aliases are written out, and
    :class:`MissingDependencyError` where PyYAML isn't installed.
    """
    try:
        import yaml
    except ModuleNotFoundError:
        raise MissingDependencyError(
            f"reading {file} needs the Python library PyYAML", remedy=pip_install("train")
        ) from None

    class Loader(yaml.SafeLoader):
        """Plain values, and the tuples and ordered dicts that PaddleDetection and PaddleX write."""

        def flatten_mapping(self, node: Any) -> None:
            if any(key.tag == "tag:yaml.org,2002:merge" for key, _ in node.value):
                raise yaml.YAMLError("mappings that are merged (<<), which such a file never holds")

    Loader.add_constructor("tag:yaml.org,2002:python/tuple", lambda loader, node: loader.construct_sequence(node))
    text = read_limited(file, error, limits.YAML_BYTES, "YAML file")
    try:
        content = yaml.load(text.decode("utf-8-sig"), Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as problem:
        why = " ".join(str(problem).split())[:200]
    else:
        if not _holds_more(content, limits.YAML_VALUES):
            return content
        why = f"more than {limits.YAML_VALUES:,} values once its aliases are written out"
    raise error(f"{file}: can't be used: {why}", remedy=remedy, code=code)


def _holds_more(content: Any, most: int) -> bool:
    """Whether it holds more than ``most`` values, each alias counted as what it stands for."""
    waiting = [content]
    for _ in range(most):
        if not waiting:
            return False
        value = waiting.pop()
        if isinstance(value, (dict, list, tuple, set)):
            if len(value) > most:
                return True
            waiting += [*value, *value.values()] if isinstance(value, dict) else value
    return bool(waiting)
