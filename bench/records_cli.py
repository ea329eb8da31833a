"""``edge-seg bench show, compare, gate, import, export, report, cost``: what is done with records."""

from __future__ import annotations

import csv
import dataclasses
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.peers_cli import peers
from edge_seg.options import MAX_THREADS, Finite, echo_json, json_option
from edge_seg.words import counted

if TYPE_CHECKING:
    from bench.compare import Comparison
    from edge_seg.records.record import Record

_FILES = click.argument("records", metavar="RECORDS…", nargs=-1, required=True, type=click.Path(path_type=Path))


def read_records(paths: tuple[Path, ...], *, with_unfinished: bool = False) -> tuple[list[Record], list[str]]:
    """The records of all files, each once, and the lines that are none, with a warning for each on stderr."""
    from bench.journal import unfinished
    from edge_seg.records.record import read

    found: dict[str, Record] = {}
    bad: list[str] = []
    for path in paths:
        good, broken = read(path)
        for record in [*good, *(unfinished(path) if with_unfinished else [])]:
            found.setdefault(record.id, record)
        bad += [str(line) for line in broken]
    for line in bad:
        click.echo(f"Warning: {line}; left out", err=True)
    return list(found.values()), bad


@click.command(short_help="Show the records of a file, or one of them in full.")
@click.argument("records", metavar="RECORDS", type=click.Path(path_type=Path))
@click.argument("ids", metavar="[ID…]", nargs=-1)
@json_option
def show(records: Path, ids: tuple[str, ...], as_json: bool) -> None:
    """List a file's records, a line each; with ids, show these in full, with the board's state.

    The verdict is today's: rules grow, and what a record says of itself is only text.

    \b
    Examples:
      edge-seg bench show records.jsonl
      edge-seg bench show records.jsonl 4bb5b3e1e393
    """
    from bench.report import record_json, record_line, record_text, state_text
    from bench.verdict import trusted
    from edge_seg.errors import UsageError

    found, bad = read_records((records,), with_unfinished=True)
    for wanted in ids:
        if not any(record.id.startswith(wanted) for record in found):
            raise UsageError(f"{records}: no record {wanted}", remedy=f"`edge-seg bench show {records}` lists them")
    chosen = [record for record in found if not ids or record.id.startswith(ids)]
    judged = [dataclasses.replace(record, verdict=trusted(record)) for record in chosen]
    if as_json:
        echo_json({"records": [record_json(record) for record in judged], "bad_lines": bad})
        return
    for record in judged:
        click.echo(f"{record_text(record)}\n{state_text(record)}" if ids else record_line(record))


@click.command(name="import", short_help="Add other files' records to a file.")
@_FILES
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("records.jsonl"),
    show_default=True,
    help="File of records to append to.",
)
@json_option
def import_(records: tuple[Path, ...], out: Path, as_json: bool) -> int:
    """Append the records of other files, from other machines, that OUT doesn't hold yet. Each record's hash is checked.

    \b
    Example:
      edge-seg bench import from_pi5.jsonl from_rk3588.jsonl --out records.jsonl
    """
    from edge_seg.errors import UsageError
    from edge_seg.records.record import append, check_writable

    if out.resolve() in [path.resolve() for path in records]:
        raise UsageError(f"{out}: is to be imported into itself", remedy="name another file with --out")
    check_writable(out)
    found, bad = read_records(records)
    there = {record.id for record in read_records((out,))[0]} if out.exists() else set()
    new = [record for record in found if record.id not in there]
    for record in new:
        append(out, record)
    if as_json:
        echo_json({"out": out, "imported": [record.id for record in new], "known": len(found) - len(new), "bad": bad})
    else:
        click.echo(
            f"{counted(len(new), 'record')} added to {out}, {len(found) - len(new)} were there already", err=True
        )
    return 1 if bad else 0


@click.command(short_help="Write records as CSV or JSON for other programs.")
@_FILES
@click.option(
    "--format", "form", type=click.Choice(["csv", "json"]), default="csv", show_default=True, help="Its form."
)
@click.option("--samples", is_flag=True, help="A line for each sample, not for each record.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write there, not to stdout.")
def export(records: tuple[Path, ...], form: str, samples: bool, out: Path | None) -> None:
    """Write records, or with --samples each timed run, as CSV or JSON. Times are in ms.

    \b
    Examples:
      edge-seg bench export records.jsonl --out records.csv
      edge-seg bench export records.jsonl --samples --format json
    """
    import json

    from bench.report import record_row, sample_rows
    from edge_seg.files import refuse_overwriting, write_text

    if out is not None:
        refuse_overwriting(out, records)
    found, _ = read_records(records, with_unfinished=True)
    rows: list[dict[str, Any]] = []
    for record in found:
        rows += sample_rows(record) if samples else [record_row(record)]
    if form == "json":
        text = json.dumps(rows, indent=1, allow_nan=False) + "\n"
    else:
        written = io.StringIO()
        names = list(dict.fromkeys(name for row in rows for name in row))
        writer = csv.DictWriter(written, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        text = written.getvalue()
    if out is None:
        click.echo(text, nl=False)
    else:
        write_text(out, text)
        click.echo(f"{counted(len(rows), 'line')}: {out}", err=True)


_ACROSS = click.option(
    "--across",
    metavar="FIELD[,…]",
    default="",
    help="What may differ between records: model, recipe, size, proposals, images, objects, threads, cores,"
    " power-mode, machine.",
)


def _across(text: str) -> list[str]:
    from bench.compare import FIELDS
    from edge_seg.errors import UsageError

    names = [name.strip() for name in text.split(",") if name.strip()]
    if unknown := [name for name in names if name not in FIELDS]:
        raise UsageError(f"--across: unknown field {unknown[0]!r}", remedy=f"choose among {', '.join(FIELDS)}")
    return names


@click.command(short_help="Compare two bundles, or two files of records.")
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@click.option("--on", "target", default="local", show_default=True, help="Where two bundles are measured in turns.")
@click.option(
    "--images", multiple=True, metavar="FILE", type=click.Path(path_type=Path), help="Image.  [default: A's golden one]"
)
@click.option("--instances", type=click.IntRange(0), help="Objects that both must have.  [default: as the golden ones]")
@click.option("--threads", type=click.IntRange(0, MAX_THREADS), default=0, help="Threads; 0: one a core.")
@click.option("--rounds", type=click.IntRange(3, 10_000), default=30, show_default=True, help="Turns of each bundle.")
@_ACROSS
@json_option
def compare(
    first: str,
    second: str,
    target: str,
    images: tuple[Path, ...],
    instances: int | None,
    threads: int,
    rounds: int,
    across: str,
    as_json: bool,
) -> None:
    """How much of A's model time B takes, with the interval in which that lies with 95 % confidence.

    Two bundles are measured in turns, on this machine or one board, so that whatever disturbs it disturbs both alike.
    Two files of records (FILE, or FILE#ID for one record) are compared where they are alike: what differs is named.

    \b
    Examples:
      edge-seg bench compare bundles/x86-fp32 bundles/onnx-fp32
      edge-seg bench compare bundles/arm-fp32 bundles/arm-int8 --on pi5 --rounds 8
      edge-seg bench compare before.jsonl after.jsonl
      edge-seg bench compare pi5.jsonl rk3588.jsonl --across machine
    """
    from bench.compare import compare_bundles, compare_records, read_side
    from bench.progress import Progress
    from edge_seg.errors import UsageError
    from edge_seg.targets.named import find_board, open_board

    folders = [Path(side).is_dir() for side in (first, second)]
    if all(folders):
        progress = Progress()
        with open_board(find_board(target)) as opened:
            found = [
                compare_bundles(
                    opened,
                    (Path(first), Path(second)),
                    images,
                    instances,
                    threads,
                    rounds,
                    lambda text: progress.show(target, text),
                )
            ]
        progress.clear()
    elif any(folders):
        raise UsageError("a bundle and a file of records can't be compared", remedy="give two of one kind")
    else:
        found = compare_records(read_side(first), read_side(second), _across(across))
    _tell(found, as_json)


def _tell(found: list[Comparison], as_json: bool, **more: Any) -> None:
    if as_json:
        comparisons = [{**dataclasses.asdict(each), "words": each.words} for each in found]
        echo_json({"comparisons": comparisons, **more})
        return
    from bench.report import milliseconds

    for each in found:
        click.echo(f"{each.what}{', measured in turns' if each.paired else ', from records'}")
        click.echo(f"  A {milliseconds(each.first_ms)} ms  {each.first}")
        click.echo(f"  B {milliseconds(each.second_ms)} ms  {each.second}")
        ratio = each.ratio
        click.echo(f"  B takes {ratio.value:.3f} ({ratio.low:.3f} to {ratio.high:.3f}) of A's time: {each.words}")
        for warning in each.warnings:
            click.echo(f"  Warning: {warning}", err=True)


@click.command(short_help="Fail when records are slower than a baseline: for a CI.")
@_FILES
@click.option("--baseline", required=True, type=click.Path(path_type=Path), help="File of the records to hold against.")
@click.option("--max-ratio", type=Finite(0.1), default=1.05, show_default=True, help="How much slower is let pass.")
@click.option("--allow-degraded", is_flag=True, help="Judge records that aren't valid, too.")
@_ACROSS
@json_option
def gate(
    records: tuple[Path, ...], baseline: Path, max_ratio: float, allow_degraded: bool, across: str, as_json: bool
) -> int:
    """Exit with 1 when a record takes more than --max-ratio times its baseline's model time, or has no baseline.

    \b
    Example:
      edge-seg bench gate new.jsonl --baseline baseline.jsonl --max-ratio 1.05
    """
    from bench.compare import compare_records

    found = compare_records(read_records((baseline,))[0], read_records(records)[0], _across(across))
    slow = [each for each in found if each.ratio.value > max_ratio]
    unsure = [each for each in found if each.warnings and not allow_degraded]
    _tell(found, as_json, passed=not slow and not unsure, max_ratio=max_ratio)
    for each in slow:
        click.echo(f"Too slow: {each.what}: {each.ratio.value:.3f} of the baseline, at most {max_ratio:g}", err=True)
    if unsure:
        click.echo("Not judged: records above aren't valid; measure again, or say --allow-degraded", err=True)
    return 1 if slow or unsure else 0


@click.command(short_help="Count a bundle's Arm instructions on an emulated core.")
@click.argument("bundles", metavar="BUNDLE…", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--cpu", default="cortex-a72", show_default=True, help="The emulated core.")
@click.option("--images", multiple=True, metavar="FILE", type=click.Path(path_type=Path), help="Image to count for.")
@click.option("--instances", type=click.IntRange(0), help="Objects that get a mask.  [default: as the golden image]")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="File of costs to append to.")
@json_option
def cost(
    bundles: tuple[Path, ...],
    cpu: str,
    images: tuple[Path, ...],
    instances: int | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Count the Arm instructions of each stage for one image, on one thread of an emulated core.

    They repeat to a millionth on any machine, and are no times: caches and issue width aren't in them. Needs qemu, and
    the native runner with Paddle Lite or ncnn for Arm in it (`make native-count` in a checkout).

    \b
    Example:
      edge-seg bench cost bundles/arm-fp32 --instances 10 --out costs.jsonl
      edge-seg bench cost bundles/ncnn-fp16 --cpu cortex-a76
    """
    from bench.cost import append_cost, cost_of
    from edge_seg.plain import to_plain

    costs = []
    for path in bundles:
        found = cost_of(path, cpu, images, instances)
        costs.append(found)
        if out is not None:
            append_cost(out, found)
        if not as_json:
            click.echo(
                f"{found.model}, {found.recipe}, {counted(found.instances, 'object')}, {cpu}: million instructions"
            )
            for stage, number in [*found.instructions.items(), ("total", found.total)]:
                click.echo(f"  {stage:8} {number / 1e6:10.2f}")
    if as_json:
        echo_json({"costs": [{**to_plain(found), "total": found.total} for found in costs]})


@click.command(short_help="Make a page of records, with plots.")
@_FILES
@click.option("--html", required=True, type=click.Path(path_type=Path, dir_okay=False), help="File of the page.")
@json_option
def report(records: tuple[Path, ...], html: Path, as_json: bool) -> None:
    """Make one self-contained HTML page: devices x models x precisions, and for each device its samples over time,
    stages, memory and the command that repeats them. Needs the extra `report`.

    \b
    Example:
      edge-seg bench report records.jsonl --html speed.html
    """
    from edge_seg.pages.page import check_output, this_command

    check_output(html, records)
    from bench.matrix import as_json as matrix_json
    from bench.page import make_page
    from bench.verdict import trusted
    from edge_seg.records.record import read

    found: dict[str, Record] = {}
    bad = []
    for path in records:
        good, broken = read(path)
        found.update({record.id: dataclasses.replace(record, verdict=trusted(record)) for record in good})
        bad += broken
    made = list(found.values())
    make_page(made, bad, this_command()).write(html)
    if as_json:
        echo_json({"html": html, **matrix_json(made), "bad_lines": [str(line) for line in bad]})
    else:
        click.echo(f"Page of {counted(len(made), 'record')}: {html}", err=True)


COMMANDS = (show, compare, peers, gate, import_, export, report, cost)
