"""The commands ``edge-seg board …``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_seg.errors import UsageError
from edge_seg.options import CommandType, Group, echo_json, json_option, public_key_option

if TYPE_CHECKING:
    from edge_seg.boards.deploy import Result
    from edge_seg.targets.remote import Board

_PATH = click.Path(path_type=Path)
_ARCHITECTURES = ["armv8", "armv7hf", "android-armv8", "android-armv7", "x86"]
_folder_option = click.option(
    "--dir",
    "folder",
    help="Folder on the board.  [default: the named board's, else edge-seg; Android: /data/local/tmp/edge-seg]",
)


@click.group(cls=Group)
def board() -> None:
    """Bring models to boards: pack, deploy, roll back, and give boards names.

    A board is ssh://[user@]host[:port], adb:SERIAL, or a name that `edge-seg board add` gave it.

    \b
    Examples:
      edge-seg board add kitchen ssh://pi@raspberrypi
      edge-seg board pack bundles/arm-fp32 --arch armv8 --out board.tar.gz \\
          --runner build/native/aarch64/edge-seg-run \\
          --library $PADDLE_LITE_DIR/cxx/lib/libpaddle_light_api_shared.so
      edge-seg board deploy board.tar.gz kitchen
      edge-seg predict bundles/arm-fp32 photos --on kitchen --out images
    """


@board.command()
@click.argument("name")
@click.argument("target")
@_folder_option
@click.option("--runner", type=CommandType(), help="Command that starts a runner there, for predict, bench and verify.")
@json_option
def add(name: str, target: str, folder: str | None, runner: tuple[str, ...] | None, as_json: bool) -> None:
    """Give a board a NAME: every --on and every board command takes it in place of TARGET.

    \b
    Examples:
      edge-seg board add kitchen ssh://pi@raspberrypi
      edge-seg board add phone adb:0123456789ABCDEF
      edge-seg board add line-3 ssh://root@10.0.0.3 --dir /data/edge-seg
    """
    from edge_seg.targets import scheme_of
    from edge_seg.targets.named import NamedBoard, add_board, boards_file

    if scheme_of(target) not in ("ssh://", "adb:", "emulated:"):
        raise UsageError(f"target {target!r}: not a board", remedy="give ssh://[user@]host[:port] or adb:SERIAL")
    add_board(NamedBoard(name, target, folder, runner or ()))
    if as_json:
        echo_json({"name": name, "target": target, "dir": folder, "file": str(boards_file())})
    else:
        click.echo(f"{name} is {target} now")


@board.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List the named boards.

    \b
    Example:
      edge-seg board list
    """
    from edge_seg.targets.named import boards_file, read_boards

    boards = read_boards()
    if as_json:
        plain = {name: {"target": known.target, "dir": known.folder} for name, known in boards.items()}
        echo_json({"file": str(boards_file()), "boards": plain})
        return
    width = max(map(len, boards), default=0)
    for name, known in boards.items():
        click.echo(f"{name:<{width}}  {known.target}{f'  {known.folder}' if known.folder else ''}")
    if not boards:
        click.echo("no board has a name yet: edge-seg board add NAME ssh://user@host", err=True)


@board.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@json_option
def remove(names: tuple[str, ...], as_json: bool) -> None:
    """Forget the names of boards. Nothing is changed on the boards.

    \b
    Example:
      edge-seg board remove kitchen
    """
    from edge_seg.targets.named import remove_boards

    remove_boards(list(names))
    if as_json:
        echo_json({"removed": list(names)})
    else:
        click.echo(f"forgotten: {', '.join(names)}")


@board.command("fetch-library")
@click.option(
    "--arch",
    type=click.Choice(_ARCHITECTURES[:-1]),
    required=True,
    metavar="ARCH",
    help="Kind of board: armv8, armv7hf, android-armv8 or android-armv7.",
)
@click.option("--fp16", is_flag=True, help="The library built with fp16; published for Android only.")
@click.option("--dir", "folder", type=_PATH, default=Path("paddle-lite"), show_default=True, help="Where it goes.")
@click.option("--sha256", "digest", metavar="HEX", help="The archive's hash, as you trust it.")
@click.option("--url", help="Another address than the publisher's.")
@click.option("--archive", type=_PATH, metavar="FILE", help="An archive that is here already.")
@json_option
def fetch_library(
    arch: str, fp16: bool, folder: Path, digest: str | None, url: str | None, archive: Path | None, as_json: bool
) -> None:
    """Download Paddle Lite's official archive for a kind of board, check and unpack it.

    The library goes to DIR/ARCH. The archive must have the sha256 that is given. Without one, the file is downloaded,
    its hash is named, and nothing is unpacked: compare it with the publisher's, and give it with --sha256. The library
    must be for the board's processor and have the extra kernels.

    \b
    Examples:
      edge-seg board fetch-library --arch armv8
      edge-seg board fetch-library --arch armv8 --sha256 HEX
      edge-seg board fetch-library --arch armv7hf --archive lite.tar.gz \\
          --sha256 HEX
    """
    from edge_seg.boards.library import fetch as run

    if url is not None and archive is not None:
        raise UsageError("--url and --archive: one of them", remedy="--archive takes a file that is here already")
    shown = 0

    def progress(done: int, total: int | None) -> None:
        nonlocal shown
        if done // 10_000_000 > shown:
            shown = done // 10_000_000
            click.echo(f"{done / 1e6:.0f} MB{f' of {total / 1e6:.0f}' if total else ''}", err=True)

    fetched = run(arch, folder, fp16=fp16, url=url, archive=archive, digest=digest, progress=progress)
    if as_json:
        echo_json(fetched.as_json())
    else:
        click.echo(str(fetched))


@board.command()
@click.argument("bundle", type=_PATH)
@click.option(
    "--arch",
    type=click.Choice(_ARCHITECTURES),
    required=True,
    metavar="ARCH",
    help="Kind of board: armv8, armv7hf, android-armv8, android-armv7 or x86.",
)
@click.option("--runner", type=_PATH, required=True, metavar="FILE", help="edge-seg-run built for it, or a script.")
@click.option("--library", type=_PATH, metavar="FILE", help="Paddle Lite's library that the runner was built with.")
@public_key_option
@click.option("--out", type=_PATH, required=True, metavar="FILE", help="The .tar.gz to write.")
@json_option
def pack(
    bundle: Path,
    arch: str,
    runner: Path,
    library: Path | None,
    public_key: Path | None,
    out: Path,
    as_json: bool,
) -> None:
    """Pack a BUNDLE with its runner into one file for a board.

    In it are the runner, the libraries that it needs beside a C library, the bundle and a start script, nothing else.
    Runner and libraries must be for the kind of board, and the runner built with the version of Paddle Lite that the
    bundle was made for. The same files give the same bytes.

    \b
    Examples:
      edge-seg board pack bundles/arm-fp32 --arch armv8 --out board.tar.gz \\
          --runner build/native/aarch64/edge-seg-run \\
          --library $PADDLE_LITE_DIR/cxx/lib/libpaddle_light_api_shared.so
    """
    from edge_seg.boards.pack import pack as run
    from edge_seg.bundle import open_bundle
    from edge_seg.trust import tell_trust

    opened = open_bundle(bundle)
    tell_trust(opened, public_key)
    packed = run(opened, arch, runner, library, out)
    if as_json:
        echo_json(packed.as_json())
    else:
        click.echo(str(packed))


@board.command()
@click.argument("archive", type=_PATH)
@click.argument("boards", metavar="BOARD...", nargs=-1, required=True)
@_folder_option
@click.option("--keep", type=click.IntRange(1), default=2, show_default=True, help="Versions that stay on the board.")
@click.option("--at-once", type=click.IntRange(1, 64), default=1, show_default=True, help="Boards at the same time.")
@click.option("--allow-older", is_flag=True, help="Also a bundle of a lower version than the one that runs.")
@public_key_option
@json_option
def deploy(
    archive: Path,
    boards: tuple[str, ...],
    folder: str | None,
    keep: int,
    at_once: int,
    allow_older: bool,
    public_key: Path | None,
    as_json: bool,
) -> int:
    """Bring a packed ARCHIVE to boards, test it there, and let it take over from the version before.

    ssh's own settings and keys are used; EDGE_SEG_SSH_OPTIONS holds further options. The new version is unpacked beside
    the old one and must pass its self-test on the board; only then is the link `run` switched, by one rename, and
    systemd units that run the version before are restarted. Whatever fails before that, the old version goes on
    running. Several boards are done one after the other, or --at-once in groups: after a group in which one failed, the
    others aren't touched.

    A wrong signature is refused. Where this user or machine trusts certain keys (docs/security.md), or --public-key
    names some, so is an archive that none of them signed.

    \b
    Examples:
      edge-seg board deploy board.tar.gz ssh://pi@raspberrypi
      edge-seg board deploy board.tar.gz adb:0123456789ABCDEF
      edge-seg board deploy board.tar.gz kitchen hall garage --at-once 2
    """
    import tempfile

    from edge_seg.boards import deploy as work
    from edge_seg.boards.package import open_package
    from edge_seg.trust import tell_trust_of_archive

    _refuse_twice(boards)
    with tempfile.TemporaryDirectory(prefix="edge-seg-") as scratch:
        package = open_package(archive, Path(scratch))
        tell_trust_of_archive(archive, package.folder / "bundle", public_key)

        def one(name: str) -> work.Deployed:
            with _open(name, folder) as opened:
                return work.deploy_package(opened, package, keep, _progress, allow_older=allow_older)

        return _answer(work.on_each(boards, one, at_once), as_json)


@board.command()
@click.argument("boards", metavar="[BOARD]...", nargs=-1)
@_folder_option
@json_option
def status(boards: tuple[str, ...], folder: str | None, as_json: bool) -> int:
    """Show what runs on boards: version, bundle, engine, last self-test. Without a BOARD: all that have a name.

    \b
    Examples:
      edge-seg board status
      edge-seg board status ssh://pi@raspberrypi
    """
    from edge_seg.boards import deploy as work
    from edge_seg.targets.named import read_boards

    names = boards or tuple(read_boards())
    if not names:
        raise UsageError("no board is named", remedy="edge-seg board status ssh://pi@raspberrypi, or `board add` one")
    _refuse_twice(names)

    def one(name: str) -> work.Deployed:
        with _open(name, folder) as opened:
            return work.status(opened)

    return _answer(work.on_each(names, one, group=8, go_on=True), as_json)


@board.command()
@click.argument("boards", metavar="BOARD...", nargs=-1, required=True)
@_folder_option
@json_option
def rollback(boards: tuple[str, ...], folder: str | None, as_json: bool) -> int:
    """Let the version before run again, once its self-test has passed.

    \b
    Example:
      edge-seg board rollback ssh://pi@raspberrypi
    """
    from edge_seg.boards import deploy as work

    _refuse_twice(boards)

    def one(name: str) -> work.Deployed:
        with _open(name, folder) as opened:
            return work.rollback(opened, _progress)

    return _answer(work.on_each(boards, one), as_json)


@board.command()
@click.argument("boards", metavar="BOARD...", nargs=-1, required=True)
@_folder_option
@json_option
def clean(boards: tuple[str, ...], folder: str | None, as_json: bool) -> int:
    """Remove all versions from boards but the one that runs.

    \b
    Example:
      edge-seg board clean ssh://pi@raspberrypi
    """
    from edge_seg.boards import deploy as work

    _refuse_twice(boards)

    def one(name: str) -> work.Deployed:
        with _open(name, folder) as opened:
            return work.clean(opened)

    return _answer(work.on_each(boards, one), as_json)


def _progress(text: str) -> None:
    click.echo(text, err=True)


def _refuse_twice(names: Sequence[str]) -> None:
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise UsageError(f"named twice: {', '.join(sorted(twice))}", remedy="name each board once")


def _open(name: str, folder: str | None) -> Board:
    from edge_seg.targets import FORMS, open_target
    from edge_seg.targets.remote import Board

    opened = open_target(name, folder=folder)
    if not isinstance(opened, Board):
        opened.close()
        raise UsageError(f"target {name!r}: not a board", remedy=f"of {FORMS}, local and emulated ones aren't")
    return opened


def _answer(results: list[Result], as_json: bool) -> int:
    """Prints what became of each board; a single board's failure is the command's own."""
    failed = [result for result in results if result.error]
    if len(results) == 1 and failed and failed[0].error:
        raise failed[0].error
    if as_json:
        echo_json({"boards": [result.as_json() for result in results]})
    else:
        for result in results:
            click.echo(str(result), err=result.error is not None)
    return 1 if failed else 0
