"""The command ``edge-seg bundle``."""

from __future__ import annotations

from pathlib import Path

import click

from edge_seg.errors import EdgeSegError, UsageError
from edge_seg.explain import explain
from edge_seg.options import Group, echo_json, json_option

PATH = click.Path(path_type=Path)
TROUBLE = 2
"""diff's exit code when a bundle can't be read: 1 says that they differ."""


@click.group(cls=Group)
def bundle() -> None:
    """Look at bundles, check, compare, pack and sign them."""


@bundle.command()
@click.argument("path", metavar="BUNDLE", type=PATH)
@json_option
def show(path: Path, as_json: bool) -> None:
    """Say what a BUNDLE is: model, engine, sizes, input, classes, where it came from, what was verified.

    \b
    Examples:
      edge-seg bundle show bundles/arm-fp32
      edge-seg bundle show bundles/arm-fp32 --json
    """
    from edge_seg.bundle import open_bundle
    from edge_seg.bundles.show import describe

    description = describe(open_bundle(path))
    if as_json:
        echo_json(description.as_json())
    else:
        click.echo(str(description))


@bundle.command()
@click.argument("path", metavar="BUNDLE", type=PATH)
@click.option("--public-key", type=PATH, metavar="FILE", help="It must be signed with the private key to this one.")
@json_option
def check(path: Path, public_key: Path | None, as_json: bool) -> int:
    """Check that a BUNDLE is whole and fits together, without running it.

    Manifest, hashes of all files, tensors, golden image and result, signature. Every problem is named; the exit code
    is 1 if there is one.

    \b
    Examples:
      edge-seg bundle check bundles/arm-fp32
      edge-seg bundle check bundles/arm-fp32 --public-key maker.pub
    """
    from edge_seg.bundles.check import check as run

    report = run(path, public_key)
    if as_json:
        echo_json(report.as_json())
    else:
        click.echo(str(report))
    return report.exit_code


@bundle.command()
@click.argument("a", type=PATH)
@click.argument("b", type=PATH)
@json_option
def diff(a: Path, b: Path, as_json: bool) -> int:
    """Say what differs between the bundles A and B: fields of the manifest, tensors, files, sizes.

    Exit codes: 0 the same, 1 they differ, 2 one can't be read.

    \b
    Examples:
      edge-seg bundle diff bundles/arm-fp32 bundles/arm-int8
      edge-seg bundle diff old/cpu-fp32 new/cpu-fp32 --json
    """
    from edge_seg.bundle import open_bundle
    from edge_seg.bundles.diff import compare

    try:
        difference = compare(open_bundle(a), open_bundle(b))
    except (EdgeSegError, OSError) as problem:
        _, error = explain(problem)
        error.exit_code = TROUBLE
        raise error from None
    if as_json:
        echo_json(difference.as_json())
    else:
        click.echo(str(difference))
    return difference.exit_code


@bundle.command()
@click.argument("path", metavar="BUNDLE", type=PATH)
@click.option("--out", required=True, type=PATH, metavar="FILE", help="The .tar.gz to write.")
@json_option
def pack(path: Path, out: Path, as_json: bool) -> None:
    """Pack a BUNDLE into one .tar.gz; the same bundle gives the same bytes.

    \b
    Examples:
      edge-seg bundle pack bundles/arm-fp32 --out shapes-arm.tar.gz
    """
    from edge_seg.bundles.pack import pack as run

    packed = run(path, out)
    if as_json:
        echo_json(packed.as_json())
    else:
        click.echo(str(packed))


@bundle.command()
@click.argument("archive", metavar="FILE", type=PATH)
@click.option("--out", required=True, type=PATH, metavar="BUNDLE", help="The folder to make.")
@click.option("--public-key", type=PATH, metavar="FILE", help="It must be signed with the private key to this one.")
@json_option
def unpack(archive: Path, out: Path, public_key: Path | None, as_json: bool) -> None:
    """Unpack and check a packed bundle; the folder appears only if it is whole.

    \b
    Examples:
      edge-seg bundle unpack shapes-arm.tar.gz --out shapes-arm
      edge-seg bundle unpack shapes-arm.tar.gz --out shapes-arm \\
          --public-key maker.pub
    """
    from edge_seg.bundles.pack import unpack as run

    unpacked = run(archive, out, public_key)
    if as_json:
        echo_json({"path": unpacked.path, "id": unpacked.id, "name": unpacked.manifest.name})
    else:
        click.echo(f"{unpacked.path}  {unpacked.id}")


@bundle.command()
@click.argument("key", metavar="FILE", type=PATH)
@json_option
def keygen(key: Path, as_json: bool) -> None:
    """Make a pair of ed25519 keys: FILE, to be kept secret, and FILE.pub, to be given to whoever checks.

    \b
    Examples:
      edge-seg bundle keygen maker
    """
    from edge_seg.bundles.sign import keygen as run

    public = run(key)
    if as_json:
        echo_json({"private_key": key, "public_key": public})
    else:
        click.echo(f"{key}  private: whoever has it can sign in your name\n{public}  public")


@bundle.command()
@click.argument("path", metavar="BUNDLE", type=PATH)
@click.option("--key", required=True, type=PATH, metavar="FILE", help="The private key that `keygen` made.")
@click.option(
    "--version",
    type=click.IntRange(0, 2**53 - 1),
    help="Number of this release, written into the manifest.  [default: as it is]",
)
@json_option
def sign(path: Path, key: Path, version: int | None, as_json: bool) -> None:
    """Sign a BUNDLE, or an archive that was packed for a board, so that nobody can alter it unnoticed.

    The signature is of the manifest, which holds the hash of every other file; it lies beside it and replaces an older
    one. Give each release a higher --version: a board takes none that is older than the one that it runs. The signature
    of an archive, which holds the runner and its library as well, lies beside it as FILE.signature.json.

    \b
    Examples:
      edge-seg bundle sign bundles/arm-fp32 --key maker --version 7
      edge-seg bundle sign board.tar.gz --key maker
    """
    from edge_seg.bundle import examine_bundle
    from edge_seg.bundles.sign import readable_by_others, sign_archive
    from edge_seg.bundles.sign import sign as run

    if path.is_file():
        if version is not None:
            raise UsageError("--version: an archive has its bundle's", remedy="sign the bundle with it, then pack it")
        signature, id_ = sign_archive(path, key), None
    else:
        opened, faults = examine_bundle(path)  # an older signature needn't hold any more
        for fault in faults.values():
            raise fault
        signature = run(opened, key, version)
        id_ = opened.id
    if readable_by_others(key):
        click.echo(
            f"warning: {key}: other users can read this key, and sign in your name; chmod 600 ends that", err=True
        )
    if as_json:
        echo_json({"path": path, "id": id_, "public_key": signature.public_key})
    else:
        click.echo(f"{path}  signed with the key {signature.public_key}")
