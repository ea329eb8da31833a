"""``edge-seg bench run``: measures on all boards at once, keeps what comes, and says how it went."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.journal import Journal, recover
from bench.measure import Failure, Measured
from bench.report import failure_text, record_json, record_text
from bench.scenario import Settings
from bench.streams import Plan, measure_streams
from edge_seg.errors import TargetError
from edge_seg.options import echo_json
from edge_seg.records.record import Record
from edge_seg.targets.named import NamedBoard
from edge_seg.words import counted

if TYPE_CHECKING:
    from bench.progress import Progress


@dataclass(frozen=True)
class Command:
    """What the command line asks for."""

    boards: Sequence[NamedBoard]
    bundles: Sequence[Path]
    settings: Settings
    runner: tuple[str, ...]
    out: Path
    restart: bool
    as_json: bool

    def key(self) -> object:
        """The same for the same command, given in the same folder."""
        settings = {name: str(value) for name, value in dataclasses.asdict(self.settings).items()}
        return [
            [dataclasses.asdict(board) for board in self.boards],
            [os.path.abspath(bundle) for bundle in self.bundles],
            settings,
            list(self.runner),
        ]


def run_command(command: Command, progress: Progress) -> int:
    """The exit code; results on stdout, the rest on stderr."""
    told = _Told(command, progress)
    for record in recover(command.out):
        told.recovered(record)
    with Journal(command.out, command.key()) as journal:
        if command.restart:
            journal.restart()
        elif journal.finished:
            passed = len(journal.finished)
            click.echo(
                f"Going on: {passed} measurement{'s' * (passed != 1)} of this command were finished before it was"
                " stopped (--restart measures them anew)",
                err=True,
            )
        plan = Plan(command.boards, command.bundles, command.settings, journal, progress.show, command.runner)

        def take(board: NamedBoard, result: Measured | Failure) -> None:
            if isinstance(result, Measured):
                journal.append(result.label, result.record)
                told.measured(board, result.record)
            else:
                if result.partial is not None:
                    journal.append(result.label, result.partial)
                # Where a device or a link was lost, the same command goes on with what is missing.
                journal.keep |= result.partial is not None or isinstance(result.error, TargetError)
                told.failed(board, result)

        measure_streams(plan, take)
        journal.keep &= bool(told.records)
    return told.end()


class _Told:
    """What is said of the results, as they come and at the end."""

    def __init__(self, command: Command, progress: Progress) -> None:
        self._command = command
        self._progress = progress
        self._several = len(command.boards) > 1
        self.records: list[Record] = []
        self.failures: list[tuple[NamedBoard, Failure]] = []
        self._recovered: list[Record] = []

    def recovered(self, record: Record) -> None:
        self._recovered.append(record)
        count = len(record.samples)
        click.echo(
            f"Record {record.id}: {count} sample{'s' * (count != 1)} of {record.bundle.recipe} from a command that was"
            " killed, kept as a partial record",
            err=True,
        )

    def measured(self, board: NamedBoard, record: Record) -> None:
        self._progress.clear()
        self.records.append(record)
        if not self._command.as_json:
            click.echo(f"{board.name}: {record_text(record)}" if self._several else record_text(record))

    def failed(self, board: NamedBoard, failure: Failure) -> None:
        self._progress.clear()
        self.failures.append((board, failure))
        text = failure_text(failure)
        click.echo(f"{board.name}: {text}" if self._several else text, err=True)
        if failure.partial is not None:
            count = len(failure.partial.samples)
            click.echo(f"  {counted(count, 'sample')} kept in the partial record {failure.partial.id}", err=True)

    def end(self) -> int:
        command = self._command
        if command.as_json:
            failed = [
                {
                    "on": board.name,
                    "bundle": str(failure.bundle),
                    "what": failure.what,
                    "partial": failure.partial.id if failure.partial else None,
                    **failure.error.as_json(),
                }
                for board, failure in self.failures
            ]
            echo_json(
                {
                    "out": command.out,
                    "records": [record_json(record) for record in self.records],
                    "failed": failed,
                    "recovered": [record.id for record in self._recovered],
                }
            )
        elif self.records:
            click.echo(f"\nRecords: {command.out}   The speed table: edge-seg bench table {command.out}", err=True)
        return max((failure.error.exit_code for _, failure in self.failures), default=0)
