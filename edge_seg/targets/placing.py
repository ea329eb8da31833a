"""A bundle on a board: used where it lies there already, sent file by file where it doesn't."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from edge_seg.targets import Target
from edge_seg.targets.remote import Board

MANIFEST = "manifest.json"
BUNDLES = "bundles"

# $1: folder of edge-seg on the board; $2: sha256 of a manifest. Prints the folder of the bundle with that manifest: one
# that was deployed, or one that was kept. A board without sha256sum has none.
FIND = f"""
cd -- "$1"
for m in {BUNDLES}/*/{MANIFEST} versions/*/bundle/{MANIFEST}; do
  if [ -r "$m" ] && [ "$(sha256sum < "$m" 2> /dev/null | cut -c1-64)" = "$2" ]; then echo "$1/${{m%/*}}"; break; fi
done
"""

# $1: a file; $2: its sha256. Prints "there" when it is whole.
WHOLE = 'if [ "$(sha256sum < "$1" 2> /dev/null | cut -c1-64)" = "$2" ]; then echo there; fi 2> /dev/null'

TAKE = 'mv -f -- "$1" "$2"'


def place_bundle(target: Target, path: Path, bundle_id: str, files: Mapping[str, str], *, keep: bool = False) -> str:
    """Where the bundle lies on the target. ``files`` are its files' names and sha256, without the manifest.

    ``bundle_id`` is the sha256 of its manifest. With ``keep`` it stays there after this session, and a transfer that
    breaks goes on with the file at which it broke. Whoever opens it checks all hashes again. Raises TargetError.
    """
    if not isinstance(target, Board):
        return target.push(path)
    found = target.ask(FIND, target.folder, bundle_id)
    if found:
        return found
    if not keep:
        return target.push(path)
    there = f"{target.folder}/{BUNDLES}/{bundle_id[:16]}"
    for name in [*sorted(files), MANIFEST]:  # the manifest last: a folder with one is whole
        if target.ask(WHOLE, f"{there}/{name}", files.get(name, bundle_id)) != "there":
            target.copy(path / name, f"{there}/{name}.part")
            target.ask(TAKE, f"{there}/{name}.part", f"{there}/{name}")
    return there
