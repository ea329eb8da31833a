"""What a bundle is, on one screen."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_seg.bundle import MANIFEST, Bundle, as_plain
from edge_seg.bundles.text import megabytes, phrase, table, tensor
from edge_seg.manifest import GraphSpec
from edge_seg.printable import printable
from edge_seg.signature import SIGNATURE, Signature, read_signature
from edge_seg.trust import trusted_keys
from edge_seg.words import counted

LISTED_CLASSES = 20


@dataclass(frozen=True)
class Description:
    """``sizes``: bytes of each of the bundle's files, the manifest among them."""

    bundle: Bundle
    id: str
    sizes: dict[str, int]
    signature: Signature | None
    trusted: Path | None = None
    """The file of a trusted key, if it was signed with that."""

    def as_json(self) -> dict[str, Any]:
        return {
            "path": str(self.bundle.path),
            "id": self.id,
            "bytes": sum(self.sizes.values()),
            "model_bytes": self.bundle.model_bytes,
            "files": self.sizes,
            "signature": dataclasses.asdict(self.signature) if self.signature else None,
            "trusted": str(self.trusted) if self.trusted else None,
            "manifest": as_plain(self.bundle.manifest),
        }

    def __str__(self) -> str:
        manifest = self.bundle.manifest
        pre, post = manifest.preprocess, manifest.postprocess
        height, width = pre.size
        graphs = manifest.graphs.items()
        engine = f"{manifest.engine} {manifest.engine_version} for {manifest.target}, {manifest.precision}"
        rows = [
            ("id", self.id),
            ("model", printable(manifest.model) + (", untrained (random weights)" if manifest.random_weights else "")),
            ("recipe", f"{printable(manifest.recipe)}: {printable(engine)}"),
            ("size", f"{megabytes(sum(self.sizes.values()))}: {self._sizes()}"),
            (
                "input",
                f"{height}x{width} (height x width), {pre.color}, mean {phrase(pre.mean)}, std {phrase(pre.std)}",
            ),
            ("", f"{pre.resize}, padded with {pre.pad:g}"),
            ("output", f"at most {counted(post.keep, 'instance')} of {counted(manifest.proposals, 'proposal')}"),
            (
                "",
                f"score from {post.score_threshold:g}, overlap (IoU) up to {post.nms_iou:g}, "
                f"mask from {post.mask_threshold:g}",
            ),
            ("classes", _classes(manifest.classes)),
            *((printable(name, 20), _graph(graph)) for name, graph in graphs),
            ("from", phrase(manifest.source)),
            ("made by", phrase(manifest.optimizer) if manifest.optimizer else "paddle's export, as it is"),
            ("verified", phrase(manifest.verification)),
            ("signature", self._signature()),
        ]
        return f"{printable(manifest.name)}\n{table(rows, most_lines=5)}"

    def _signature(self) -> str:
        if self.signature is None:
            return "none"
        known = f"trusted here ({self.trusted})" if self.trusted else "not known here"
        version = f"; version {self.bundle.manifest.version}" if self.bundle.manifest.version else ""
        return f"{self.signature.algorithm}, holds; key {self.signature.public_key}, {known}{version}"

    def _sizes(self) -> str:
        manifest = self.bundle.manifest
        parts = {name: sum(self.sizes[file] for file in graph.files) for name, graph in manifest.graphs.items()}
        parts["golden"] = sum(self.sizes[file] for file in manifest.golden.files)
        return ", ".join(f"{printable(name)} {megabytes(size)}" for name, size in parts.items())


def describe(bundle: Bundle) -> Description:
    """Raises :class:`BundleError` when the bundle holds a signature that isn't one."""
    sizes = {name: (bundle.path / name).stat().st_size for name in (MANIFEST, *bundle.files)}
    signature = read_signature(bundle.path / SIGNATURE)
    trusted = trusted_keys().get(signature.public_key) if signature else None
    return Description(bundle, bundle.id, sizes, signature, trusted)


def _classes(names: tuple[str, ...]) -> str:
    rest = len(names) - LISTED_CLASSES
    listed = phrase(names[:LISTED_CLASSES])
    return f"{len(names)}: {listed}" + (f" and {rest} more, which --json lists" if rest > 0 else "")


def _graph(graph: GraphSpec) -> str:
    return f"{', '.join(map(tensor, graph.inputs))} → {', '.join(map(tensor, graph.outputs))}"
