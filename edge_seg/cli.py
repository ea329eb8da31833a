"""The command ``edge-seg``: finds the subcommand by name, and turns whatever goes wrong into one clear message.

Nothing heavy is imported here: a subcommand's module is imported when it is called, and itself imports paddle,
OpenCV and numpy inside its functions only.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TextIO, cast

import click

from edge_seg import __version__
from edge_seg.errors import UsageError
from edge_seg.explain import INTERRUPTED, TERMINATED, explain
from edge_seg.options import Group, refuse_empty_paths
from edge_seg.printable import PrintableStream
from edge_seg.process import guard
from edge_seg.process.environment import WORDS
from edge_seg.process.python import adopt


@dataclass(frozen=True)
class Entry:
    """Where a subcommand lives, as ``module:attribute``, and its line in ``edge-seg --help``."""

    target: str
    help: str


COMMANDS = {
    "data": Entry("edge_seg.data.cli:data", "Draw, check and convert datasets in COCO form."),
    "zoo": Entry("edge_seg.models.cli:zoo", "List the models with their size, cost and published figures."),
    "weights": Entry("edge_seg.train.weights_cli:weights", "Fetch published weights, make a run of a file."),
    "train": Entry("edge_seg.train.cli:train", "Train a model on a COCO folder."),
    "eval": Entry("edge_seg.train.cli:evaluate", "Box and mask mAP of a run or a bundle."),
    "convert": Entry("convert.cli:convert", "Turn a run into bundles that a device can run."),
    "prune": Entry("edge_seg.train.prune_cli:prune", "Take channels out of a run's convolutions, to a goal of cost."),
    "tune": Entry("convert.tune.cli:tune", "Find the settings of a run that meet a budget of time or operations."),
    "recipes": Entry("convert.cli:recipes", "List what models can be converted to, at what cost."),
    "verify": Entry("convert.verify.cli:verify", "Find the first stage at which a bundle differs from its model."),
    "doctor": Entry("convert.doctor.cli:doctor", "Say what would go wrong with this machine, a model or a bundle."),
    "bundle": Entry("edge_seg.bundles.cli:bundle", "Look at bundles, check, compare, pack and sign them."),
    "board": Entry("edge_seg.boards.cli:board", "Bring models to boards: pack, deploy, roll back, name boards."),
    "predict": Entry("edge_seg.train.predict_cli:predict", "Find the objects in images and draw them."),
    "bench": Entry("bench.cli:bench", "Measure bundles and print the speed table."),
}


COMPLETE = "_EDGE_SEG_COMPLETE"
"""Set by a shell that completes a command line, to what click's hook is to do: ``eval "$(_EDGE_SEG_COMPLETE=bash_source
edge-seg)"`` in ~/.bashrc; ``zsh_source`` and ``fish_source`` for the others."""

RENAMED = {
    "fit": "tune",
    "pack": "board pack",
    "deploy": "board deploy",
    "runtime": "board fetch-library",
}
"""Commands of earlier versions, which answer with the new name."""


class LazyGroup(Group):
    """A click group whose commands are imported when they are called, not to list them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of work."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Imports and returns one command."""
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            if cmd_name in RENAMED:
                remedy = f"type: edge-seg {RENAMED[cmd_name]} --help"
                raise UsageError(f"{cmd_name} is now called {RENAMED[cmd_name]}", remedy=remedy, code="renamed")
            return None
        module, _, attribute = entry.target.partition(":")
        adopt(module)
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        refuse_empty_paths(command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the list of commands from the table, importing none."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="edge-seg")
def cli() -> None:
    """Instance segmentation for small devices: train, convert, run, measure.

    \b
    Examples:
      edge-seg data synth shapes --images 200 --size 320 --seed 1
      edge-seg train mask_rcnn_tiny_fpn --data shapes --out run
      edge-seg convert run --recipe arm-fp32,x86-fp32 --size 320 --out bundles
      edge-seg predict bundles/x86-fp32 shapes/images --out found
      edge-seg bench run bundles/x86-fp32 --out records.jsonl
      edge-seg COMMAND --help

    Completion: eval "$(_EDGE_SEG_COMPLETE=bash_source edge-seg)" in ~/.bashrc; zsh_source for zsh, fish_source for
    fish.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 130 stopped by Ctrl-C. EDGE_SEG_TRACEBACK=1 shows where an error
    arose.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command line (default: the process's) and returns its exit code; prints errors, raises none."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    # Only a real command line can be run again as it is by a guarded command.
    again = [sys.executable, *sys.orig_argv[1:]] if arguments is None else None
    if arguments is None:
        guard.open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a class name must not fail on a Latin-1 terminal
    if arguments is None:
        sys.stdout, sys.stderr = (cast(TextIO, PrintableStream(stream)) for stream in (sys.stdout, sys.stderr))
    stops: list[BaseException] = []
    if arguments is None and (asked := os.environ.get(COMPLETE)):
        from click.shell_completion import shell_complete

        return shell_complete(cli, {}, "edge-seg", COMPLETE, asked)
    try:
        if arguments is None:
            _handle_signals(stops)
        code = _run(words, again)
    except BaseException as problem:
        # An import that is interrupted may fail with an error of its own (paddle's does).
        code = _report(stops[0] if stops else problem, as_json="--json" in words)
    if guard.is_child():
        # Inference libraries crash in their destructors at interpreter exit; the answer is out already.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


def _run(words: list[str], again: list[str] | None) -> int:
    try:
        # Not cli.main(), which has messages and exit codes of its own for some of what may go wrong.
        with cli.make_context("edge-seg", list(words), obj=again) as context:
            context.meta[WORDS] = words
            result = cli.invoke(context)
    except click.exceptions.Exit as end:  # --help and --version
        result = end.exit_code
    sys.stdout.flush()
    return result if isinstance(result, int) else 0


def _handle_signals(stops: list[BaseException]) -> None:
    """SIGTERM and SIGHUP unwind like Ctrl-C, so that partial files go; one that is repeated doesn't disturb that.

    What is raised for it is added to ``stops``.
    """
    last = -10.0

    def stop(number: int, _frame: Any) -> None:
        nonlocal last
        if time.monotonic() - last < guard.REPEATED_S:
            return
        last = time.monotonic()
        stops.append(KeyboardInterrupt() if number == signal.SIGINT else SystemExit(TERMINATED))
        raise stops[-1]

    guard.on_stop(stop)


def _report(problem: BaseException, as_json: bool) -> int:
    """Prints the one message for ``problem`` and returns the exit code."""
    if os.environ.get("EDGE_SEG_TRACEBACK") == "1":
        import traceback

        traceback.print_exception(problem)
    if isinstance(problem, BrokenPipeError):
        _silence(sys.stdout)  # the reader has gone (`| head`): nobody to tell
        return 1
    if isinstance(problem, click.exceptions.NoArgsIsHelpError):
        click.echo(problem.format_message(), err=True)
        return problem.exit_code
    code, error = explain(problem)
    if isinstance(problem, OSError):
        _silence_if_broken()
    _tell(f"{'' if code in (INTERRUPTED, TERMINATED) else 'Error: '}{error}", sys.stderr)
    if as_json:
        _tell(json.dumps({"error": error.as_json()}), sys.stdout)
    return code


def _tell(text: str, stream: TextIO) -> None:
    """Prints a line, as far as the stream can be written: of more than the problem itself nobody needs to know."""
    try:
        click.echo(text, stream)
    except OSError:
        _silence(stream)


def _silence_if_broken() -> None:
    """When stdout itself is what can't be written, gives up on it, or Python complains once more at exit."""
    try:
        sys.stdout.flush()
    except OSError:
        _silence(sys.stdout)


def _silence(stream: TextIO) -> None:
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)


if __name__ == "__main__":
    sys.exit(main())
