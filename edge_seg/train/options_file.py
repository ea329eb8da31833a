"""A training's options in a file: read before the command line's own, and written into the run to be used again."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import click

from edge_seg import limits
from edge_seg.errors import UsageError
from edge_seg.files import read_limited, write_text
from edge_seg.yaml_file import read_yaml

OPTIONS = "options.yaml"
_NOT_KEPT = {"config", "model", "data", "out", "resume", "as_json", "help"}
"""What says where and how, not what is trained."""


def read_options(file: Path, command: click.Command) -> dict[str, Any]:
    """Values of ``command``'s options by their parameters' names, from YAML or, by its ending, TOML.

    Raises :class:`UsageError` for a file that can't be read, a name that isn't an option's, or a value of several parts
    where one is expected.
    """
    content = _parse(file)
    if content is None:
        content = {}
    if not isinstance(content, dict):
        raise UsageError(f"{file}: expected options by name, such as epochs: 24")
    known = {name: p for p in command.params if isinstance(p, click.Option) for name in [p.name or ""]}
    values: dict[str, Any] = {}
    for key, value in content.items():
        name = str(key).lstrip("-").replace("-", "_")
        if name not in known or name in _NOT_KEPT:
            raise UsageError(
                f"{file}: {key!r} is no option that a file can give",
                remedy=f"choose from: {', '.join(sorted(n.replace('_', '-') for n in known if n not in _NOT_KEPT))}",
            )
        values[name] = _plain(file, str(key), value, known[name])
    return values


def _parse(file: Path) -> Any:
    if file.suffix.lower() != ".toml":
        return read_yaml(file, UsageError, "write options by name, such as epochs: 24")
    try:
        toml = importlib.import_module("tomllib")
    except ModuleNotFoundError:
        raise UsageError(f"{file}: this Python reads no TOML before 3.11", remedy="write it as YAML") from None
    try:
        return toml.loads(read_limited(file, UsageError, limits.YAML_BYTES, "file of options").decode("utf-8-sig"))
    except (ValueError, RecursionError) as problem:
        raise UsageError(f"{file}: not TOML: {problem}") from None


def _plain(file: Path, key: str, value: Any, option: click.Option) -> Any:
    """The value as click takes a default: a list for options of several values, else as it would be typed."""
    several = option.multiple or option.nargs != 1
    parts = value if isinstance(value, list) else [value]
    if not all(isinstance(part, (str, int, float)) for part in parts):
        raise UsageError(f"{file}: {key}: expected numbers or text, found {value!r}")
    if several:
        return parts
    if isinstance(value, bool):
        return value
    # 8,11 may be written as a list too, a size as two sides.
    return ("x" if key == "size" else ",").join(str(part) for part in parts)


def write_options(run: Path, context: click.Context) -> None:
    """Writes the options that ``context``'s command was called with into ``run``, for ``--config``."""
    lines = []
    for option in context.command.params:
        name = option.name or ""
        value = context.params.get(name)
        if isinstance(option, click.Option) and name not in _NOT_KEPT and value not in (None, (), ""):
            lines.append(f"{name.replace('_', '-')}: {_written(name, value)}\n")
    write_text(run / OPTIONS, "".join(lines))


def _written(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if name == "size":
        return f"{value[0]}x{value[1]}"
    if isinstance(value, tuple):
        return f"[{', '.join(map(str, value))}]"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return str(value)
