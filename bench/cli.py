"""``edge-seg bench``: measure bundles, and make the speed table from the records."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_seg.options import COMMAND, MAX_THREADS, Finite, Numbers, echo_json, json_option

if TYPE_CHECKING:
    from edge_seg.records.record import Record


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def bench() -> None:
    """Measure bundles and print the speed table."""


@bench.command(short_help="Measure bundles, here or on a board.")
@click.argument("bundles", metavar="BUNDLE…", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--images",
    multiple=True,
    metavar="FILE|DIR",
    type=click.Path(path_type=Path),
    help="Picture, or folder of pictures; may be repeated. Default: the bundle's golden picture.",
)
@click.option(
    "--instances",
    type=Numbers(0),
    default=(),
    help="Hand exactly N best boxes to the mask graph, whatever their scores; several N: one after the other.",
)
@click.option("--warmup", type=click.IntRange(0, 10**6), default=5, show_default=True, help="Untimed runs a picture.")
@click.option("--repeat", type=click.IntRange(1, 10**6), default=30, show_default=True, help="Timed runs a picture.")
@click.option(
    "--threads", type=Numbers(1, MAX_THREADS), default=(), help="Numbers of threads to try. Default: one a core."
)
@click.option(
    "--target",
    default="local",
    show_default=True,
    help="Where to measure: local, ssh://[user@]host[:port], adb:SERIAL, emulated:cortex-a72.",
)
@click.option(
    "--runner",
    type=COMMAND,
    default=(),
    help="Command that starts the runner there. Default: the deployed one, or one that is installed.",
)
@click.option(
    "--timeout",
    type=Finite(1),
    default=600.0,
    show_default=True,
    metavar="SECONDS",
    help="A runner that says nothing for so long is ended.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("records.jsonl"),
    show_default=True,
    help="File of records to append to.",
)
@json_option
def run(
    bundles: tuple[Path, ...],
    images: tuple[Path, ...],
    instances: tuple[int, ...],
    warmup: int,
    repeat: int,
    threads: tuple[int, ...],
    target: str,
    runner: tuple[str, ...],
    timeout: float,
    out: Path,
    as_json: bool,
) -> int:
    """Measure bundles, stage by stage, and append a record for each scenario.

    Model time is detect + NMS + mask, the published definition; end to end adds pre- and post-processing (decoding the
    picture file is outside both). A record keeps every sample, the machine and its state, and a verdict. On
    a board, bundle and pictures are copied there, and removed afterwards; EDGE_SEG_SSH_OPTIONS holds options for ssh.

    \b
    Examples:
      edge-seg bench run bundles/x86-fp32 bundles/cpu-fp32
      edge-seg bench run bundles/cpu-fp32 --images photo.jpg --instances 1,10,50
      edge-seg bench run bundles/arm-fp32 --target ssh://pi@raspberrypi
    """
    from bench.measure import Settings, measure_all
    from bench.report import failure_text, record_json, record_text
    from edge_seg.errors import UsageError
    from edge_seg.records.record import Record, append, check_writable
    from edge_seg.runtime.image import SUFFIXES
    from edge_seg.targets import open_target

    # A shell makes `--images *.jpg` into one option and several words; a bundle is always a folder.
    more = tuple(path for path in bundles if images and path.suffix.lower() in SUFFIXES and path.is_file())
    bundles = tuple(path for path in bundles if path not in more)
    if not bundles:
        raise UsageError(
            "no bundle is named, only pictures", remedy="name the folder that `edge-seg convert --out` made"
        )
    check_writable(out)
    settings = Settings((*images, *more), warmup, repeat, threads, instances, timeout)
    progress = Progress()
    measured: list[Record] = []
    failures = []
    with open_target(target, runner=runner) as opened:
        for result in measure_all(opened, bundles, settings, progress.show):
            progress.clear()
            if isinstance(result, Record):
                append(out, result)
                measured.append(result)
                if not as_json:
                    click.echo(record_text(result))
            else:
                failures.append(result)
                click.echo(failure_text(result), err=True)
    if as_json:
        failed = [{"bundle": str(f.bundle), "what": f.what, **f.error.as_json()} for f in failures]
        echo_json({"out": out, "records": [record_json(record) for record in measured], "failed": failed})
    elif measured:
        click.echo(f"\nRecords: {out}   The speed table: edge-seg bench table {out}", err=True)
    return max((failure.error.exit_code for failure in failures), default=0)


@bench.command(short_help="Print the speed table from records.")
@click.argument("records", metavar="RECORDS…", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the table there, not to stdout.")
@json_option
def table(records: tuple[Path, ...], out: Path | None, as_json: bool) -> None:
    """Print the speed table (Markdown) from files of records.

    A speed cell holds model time / end to end, median ± half the middle half's width, in ms a picture, and the id of
    its record. Only valid records fill cells: of one machine, recipe and number of threads the newest, then the number
    of threads with the lowest model time. A "-" says why. Published figures stand in rows of their own, with sources.

    \b
    Example:
      edge-seg bench table records.jsonl --out table.md
    """
    from bench.table import as_json_value, make_table, markdown
    from edge_seg.files import refuse_overwriting, write_text
    from edge_seg.records.record import read

    if out is not None:
        refuse_overwriting(out, records)
    found: list[Record] = []
    bad = []
    for path in records:
        good, broken = read(path)
        found += good
        bad += broken
    for line in bad:
        click.echo(f"Warning: {line}; left out", err=True)
    made = make_table(found)
    if out is not None:
        write_text(out, markdown(made))
        click.echo(f"Speed table: {out}", err=True)
    if as_json:
        echo_json({**as_json_value(made), "records": len(found), "bad_lines": [str(line) for line in bad]})
    elif out is None:
        click.echo(markdown(made), nl=False)


class Progress:
    """One line on stderr that is written over; nothing where stderr isn't a terminal."""

    def __init__(self) -> None:
        self._width = 0

    def show(self, text: str) -> None:
        """Replaces the line."""
        if sys.stderr.isatty():
            click.echo(f"\r{text.ljust(self._width)}", nl=False, err=True)
            self._width = len(text)

    def clear(self) -> None:
        """Takes the line away."""
        if self._width:
            click.echo(f"\r{' ' * self._width}\r", nl=False, err=True)
            self._width = 0
