"""``edge-seg bench``: measure bundles, and make the speed table from the records."""

from __future__ import annotations

from pathlib import Path

import click

from bench.progress import Progress
from bench.records_cli import COMMANDS, read_records
from edge_seg.options import (
    ABOVE_0,
    COMMAND,
    MAX_THREADS,
    SIZE,
    Finite,
    Numbers,
    echo_json,
    json_option,
    public_key_option,
    renamed_option,
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def bench() -> None:
    """Measure bundles and print the speed table."""


@bench.command(short_help="Measure bundles, here or on boards.")
@click.argument("bundles", metavar="BUNDLE…", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--on",
    "targets",
    multiple=True,
    metavar="TARGET[,…]",
    help="Where to measure: local, a named board (`edge-seg board list`), ssh://[user@]host[:port], adb:SERIAL,"
    " emulated:cortex-a72. Several are measured at the same time.  [default: local]",
)
@renamed_option("--target", "--on")
@click.option(
    "--images",
    multiple=True,
    metavar="FILE|DIR",
    type=click.Path(path_type=Path),
    help="Image, or folder of images; may be repeated. Default: the bundle's golden image.",
)
@click.option(
    "--strata",
    type=click.IntRange(1, 1000),
    metavar="N",
    help="Measure N of the images with few objects (up to 3), N with some (up to 10) and N with many.",
)
@click.option(
    "--instances",
    type=Numbers(0),
    default=(),
    help="Hand exactly N best boxes to the mask graph, whatever their scores; several N: one after the other.",
)
@click.option(
    "--mode",
    type=click.Choice(["quick", "full", "sustained"]),
    default="full",
    show_default=True,
    help="quick: 20 runs an image. full: 64 runs and 10 s. sustained: 5 minutes, with heat and frequency over time.",
)
@click.option("--runs", type=click.IntRange(1, 10**5), help="Least number of timed runs an image; 1024 bear a p99.")
@click.option("--seconds", type=ABOVE_0, help="Least time of timed runs, seconds an image.")
@click.option(
    "--warmup",
    type=click.IntRange(0, 10**6),
    help="Untimed runs an image.  [default: until the sliding median moves by less than 2 %]",
)
@click.option("--repeat", type=click.IntRange(1, 10**6), help="Exactly so many timed runs an image, whatever --mode.")
@click.option(
    "--threads", type=Numbers(1, MAX_THREADS), default=(), help="Numbers of threads to try. Default: one a core."
)
@click.option("--cores", metavar="big|little|0-3", help="Run on these cores only.")
@click.option("--power-mode", metavar="MODE", help="Cores that Paddle Lite chooses (native runner): high, low, full …")
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
    help="Stop a runner that prints nothing for this long.",
)
@click.option(
    "--max-time",
    type=Finite(1),
    default=3600.0,
    show_default=True,
    metavar="SECONDS",
    help="Stop a measurement that takes longer than this.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("records.jsonl"),
    show_default=True,
    help="File of records to append to.",
)
@click.option("--keep-on-board", is_flag=True, help="Leave bundles on the boards, so that they aren't sent again.")
@click.option(
    "--restart", is_flag=True, help="Measure all anew, also what this command finished before it was stopped."
)
@public_key_option
@json_option
def run(
    bundles: tuple[Path, ...],
    targets: tuple[str, ...],
    images: tuple[Path, ...],
    strata: int | None,
    instances: tuple[int, ...],
    mode: str,
    runs: int | None,
    seconds: float | None,
    warmup: int | None,
    repeat: int | None,
    threads: tuple[int, ...],
    cores: str | None,
    power_mode: str | None,
    runner: tuple[str, ...],
    timeout: float,
    max_time: float,
    out: Path,
    public_key: Path | None,
    keep_on_board: bool,
    restart: bool,
    as_json: bool,
) -> int:
    """Measure bundles, stage by stage, and append a record for each scenario.

    Model time is detect + NMS + mask, the published definition; end to end adds pre- and post-processing (decoding the
    image file is outside both). A record keeps every sample, the machine and its state, and a verdict. On a board,
    bundle and images are copied there, and removed afterwards; a bundle that is deployed there is used as it is.
    EDGE_SEG_SSH_OPTIONS holds options for ssh. Samples are kept as they come: after an interruption, the same command
    goes on with what is missing.

    \b
    Examples:
      edge-seg bench run bundles/x86-fp32 bundles/cpu-fp32
      edge-seg bench run bundles/cpu-fp32 --images photo.jpg --instances 1,10,50
      edge-seg bench run bundles/arm-fp32 --on pi5,rk3588 --cores big
      edge-seg bench run bundles/arm-fp32 --on ssh://pi@pi5 --mode sustained
    """
    from bench.run import Command, run_command
    from bench.scenario import Settings
    from edge_seg.errors import UsageError
    from edge_seg.records.record import check_writable
    from edge_seg.runtime.image import SUFFIXES
    from edge_seg.runtime.predict import find_files
    from edge_seg.targets.named import find_board
    from edge_seg.trust import tell_trust_of

    # A shell makes `--images *.jpg` into one option and several words; a bundle is always a folder.
    more = tuple(path for path in bundles if images and path.suffix.lower() in SUFFIXES and path.is_file())
    bundles = tuple(path for path in bundles if path not in more)
    if not bundles:
        raise UsageError("no bundle is named, only images", remedy="name the folder that `edge-seg convert --out` made")
    names = [name.strip() for text in targets or ("local",) for name in text.split(",")]
    boards = [find_board(name) for name in dict.fromkeys(names)]
    check_writable(out)
    tell_trust_of(bundles, public_key)
    settings = Settings(
        (*images, *more),
        warmup,
        repeat,
        threads,
        instances,
        timeout,
        mode=mode,
        runs=runs,
        seconds=seconds,
        cores=cores,
        power_mode=power_mode,
        strata=strata,
        longest=max_time,
        keep_on_board=keep_on_board,
    )
    find_files(settings.images)  # before any board is asked for anything
    return run_command(Command(boards, bundles, settings, runner, out, restart, as_json), Progress())


@bench.command(short_help="Print the speed table from records.")
@click.argument("records", metavar="RECORDS…", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the table there, not to stdout.")
@click.option("--show-degraded", is_flag=True, help="Where no record is valid, show the newest others, marked as such.")
@click.option(
    "--costs",
    type=click.Path(path_type=Path),
    help="File of `edge-seg bench cost --out`: adds a column of instructions.",
)
@click.option("--size", type=SIZE, help="Only bundles of this input size.")
@click.option("--instances", type=click.IntRange(0), help="Only measurements with exactly so many objects an image.")
@json_option
def table(
    records: tuple[Path, ...],
    out: Path | None,
    show_degraded: bool,
    costs: Path | None,
    size: tuple[int, int] | None,
    instances: int | None,
    as_json: bool,
) -> None:
    """Print the speed table (Markdown) from files of records.

    A speed cell names device, recipe and threads, and holds model time / end to end, median ± half the middle half's
    width, in ms an image. Only valid records fill cells: of one device, recipe and number of threads the newest, then
    the number of threads with the lowest model time. A "-" says why, and what would fill it. Published figures stand in
    rows of their own, with sources.

    \b
    Examples:
      edge-seg bench table records.jsonl --out table.md
      edge-seg bench table pi5.jsonl rk3588.jsonl --show-degraded
      edge-seg bench table records.jsonl --size 640 --instances 5
    """
    from bench.cost import read_costs
    from bench.table import as_json_value, make_table, markdown
    from edge_seg.files import refuse_overwriting, write_text

    if out is not None:
        refuse_overwriting(out, records)
    found, bad = read_records(records)
    found = [one for one in found if size in (None, one.bundle.size) and instances in (None, one.scenario.instances)]
    made = make_table(found, show_degraded=show_degraded, costs=read_costs(costs) if costs else ())
    if out is not None:
        write_text(out, markdown(made))
        click.echo(f"Speed table: {out}", err=True)
    if as_json:
        echo_json({**as_json_value(made), "records": len(found), "bad_lines": bad})
    elif out is None:
        click.echo(markdown(made), nl=False)


for _command in COMMANDS:
    bench.add_command(_command)
