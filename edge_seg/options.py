"""Command-line options and argument types that several commands share."""

from __future__ import annotations

import difflib
import json
import math
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from edge_seg.errors import UsageError

F = TypeVar("F", bound=Callable[..., Any])

public_key_option = click.option(
    "--public-key",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Run only what was signed with a key in FILE.  [default: the trusted keys of this user and machine, if any]",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout, nothing else.")


class Group(click.Group):
    """A group of commands that lists each with its first sentence, whole: click cuts them to one line."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the list, wrapped."""
        rows = []
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            if command is not None and not command.hidden:
                rows.append((name, command.get_short_help_str(limit=1000)))
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that is named; for one that isn't there, the error names what is like it."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as problem:
            if self.get_command(ctx, args[0]) is None and "Did you mean" not in problem.format_message():
                message = problem.format_message() + _like(args[0], self.list_commands(ctx))
                raise click.UsageError(message, ctx) from None
            raise


def _like(word: str, names: list[str]) -> str:
    found = difflib.get_close_matches(word, names, n=3) or [name for name in names if name.startswith(word[:3])][:3]
    if not found:
        return f" There are: {', '.join(names)}."
    return f" Did you mean {' or '.join(repr(name) for name in found)}?"


class NamedPath(click.Path):
    """A path that isn't empty: ``--out "$OUT"`` of a variable that isn't set would be the current folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """As click's own."""
        if value == "":
            self.fail("empty, expected a file or a folder; is a variable of the shell not set?", param, ctx)
        return super().convert(value, param, ctx)


def refuse_empty_paths(command: click.Command) -> None:
    """Makes every path that ``command``, or a command of the group, takes a :class:`NamedPath`."""
    for parameter in command.params:
        if type(parameter.type) is click.Path:
            named = NamedPath()
            named.__dict__.update(parameter.type.__dict__)
            parameter.type = named
    for inner in command.commands.values() if isinstance(command, click.Group) else ():
        refuse_empty_paths(inner)


class CommandType(click.ParamType):
    """A program, or a command line with arguments, to the tuple of its words."""

    name = "COMMAND"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """The words; a program's own name may hold spaces."""
        if isinstance(value, tuple):
            return value
        try:
            words = [str(value)] if Path(value).is_file() else shlex.split(value)
        except ValueError as problem:
            self.fail(f"{value!r}: {problem}; close the quotes.", param, ctx)
        if not words:
            self.fail("empty; expected a program that speaks the runner protocol.", param, ctx)
        return tuple(words)


class SizeType(click.ParamType):
    """``320`` or ``320x480`` (height x width) to ``(320, 320)`` or ``(320, 480)``; both sides are multiples of 32.

    The network halves its input five times; Paddle Lite aborts at run time on any other size.
    """

    name = "HxW"

    def get_metavar(self, *_arguments: Any, **_options: Any) -> str:
        """How the help shows it; click would write HXW."""
        return self.name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """Height and width in pixels; an option's default may be such a pair already."""
        if isinstance(value, tuple):
            return value
        sides = str(value).lower().split("x")
        # isascii as well: int() and isdecimal() take the digits of every script.
        if len(sides) not in (1, 2) or not all(s.isdecimal() and s.isascii() and len(s) <= 5 for s in sides):
            self.fail(f"{value!r} is not a size; write 320, or 320x480 for height x width.", param, ctx)
        height, width = int(sides[0]), int(sides[-1])
        for side, pixels in (("height", height), ("width", width)):
            if pixels == 0 or pixels % 32:
                below, above = pixels // 32 * 32, (pixels // 32 + 1) * 32
                near = f"{below} or {above}" if below else f"{above}"
                self.fail(f"{value!r}: the {side} {pixels} is not a multiple of 32; {near} is.", param, ctx)
        return height, width


class Finite(click.FloatRange):
    """A range of numbers without ``nan`` and ``inf``, which click's own lets through."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number as a float."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a number that can be computed with.", param, ctx)
        return number


class Numbers(click.ParamType):
    """``1,2,4`` to ``(1, 2, 4)``: whole numbers from ``least`` to ``most``, each once."""

    name = "N,N…"

    def __init__(self, least: int, most: int = 10**6) -> None:
        self.least, self.most = least, most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """The numbers, in the order given."""
        if isinstance(value, tuple):
            return value
        words = [word.strip() for word in str(value).split(",")]
        # Python refuses to read a number of thousands of digits.
        plain = all(word.isdecimal() and word.isascii() and len(word) < 20 for word in words)
        if not plain or not all(self.least <= int(word) <= self.most for word in words):
            self.fail(
                f"{value!r}: expected whole numbers from {self.least} to {self.most}, such as 1,10,20.", param, ctx
            )
        return tuple(dict.fromkeys(int(word) for word in words))


class ScoreType(click.ParamType):
    """A score between 0 and 1."""

    name = "0..1"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The score as a float."""
        try:
            score = float(value)
        except ValueError:
            score = math.nan
        if not 0.0 <= score <= 1.0:
            self.fail(f"{value!r} is not a number between 0 and 1.", param, ctx)
        return score


ABOVE_0 = Finite(min=0, min_open=True)
SIZE = SizeType()
SCORE = ScoreType()
COMMAND = CommandType()
MAX_THREADS = 1024
"""Above what any device has; far more of them end the libraries' own thread pools, and the process with them."""
MAX_PROPOSALS, MAX_BEFORE_NMS, MAX_KEEP = 5000, 100_000, 1000
THREADS = click.IntRange(0, MAX_THREADS)
"""A number of threads; 0 leaves it to the engine."""


def renamed_option(old: str, new: str) -> Callable[[F], F]:
    """A hidden option ``old`` of earlier versions, which answers with its new name (exit code 2)."""

    def refuse(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
        if value is not None:
            raise UsageError(f"{old} is now called {new}", remedy=f"type: {new} {value}", code="renamed")

    return click.option(old, hidden=True, expose_value=False, callback=refuse, help=f"Now {new}.")


def echo_json(value: Any) -> None:
    """Prints ``value`` as one JSON object on stdout. Numpy values and paths are allowed in it, NaN is not.

    In ASCII, as in the files: whatever the terminal's encoding, and file names that aren't UTF-8 can be had back.
    """
    click.echo(json.dumps(value, default=_plain, allow_nan=False))


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} has no JSON form")
