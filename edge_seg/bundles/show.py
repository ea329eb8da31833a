"""What a bundle is, on one screen."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from edge_seg.bundle import MANIFEST, Bundle
from edge_seg.bundles.sign import Signature, read_signature
from edge_seg.bundles.text import megabytes, phrase, printable, table, tensor
from edge_seg.manifest import GraphSpec
from edge_seg.words import counted

LISTED_CLASSES = 20


@dataclass(frozen=True)
class Description:
    """``sizes``: bytes of each of the bundle's files, the manifest among them."""

    bundle: Bundle
    id: str
    sizes: dict[str, int]
    signature: Signature | None

    def as_json(self) -> dict[str, Any]:
        return {
            "path": str(self.bundle.path),
            "id": self.id,
            "bytes": sum(self.sizes.values()),
            "model_bytes": self.bundle.model_bytes,
            "files": self.sizes,
            "signature": dataclasses.asdict(self.signature) if self.signature else None,
            "manifest": dataclasses.asdict(self.bundle.manifest),
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
            ("signature", f"{self.signature.algorithm}, key {self.signature.public_key}" if self.signature else "none"),
        ]
        return f"{printable(manifest.name)}\n{table(rows, most_lines=5)}"

    def _sizes(self) -> str:
        manifest = self.bundle.manifest
        parts = {name: sum(self.sizes[file] for file in graph.files) for name, graph in manifest.graphs.items()}
        parts["golden"] = sum(self.sizes[file] for file in manifest.golden.files)
        return ", ".join(f"{printable(name)} {megabytes(size)}" for name, size in parts.items())


def describe(bundle: Bundle) -> Description:
    """Raises :class:`BundleError` when the bundle holds a signature that isn't one."""
    sizes = {name: (bundle.path / name).stat().st_size for name in (MANIFEST, *bundle.files)}
    return Description(bundle, bundle.id, sizes, read_signature(bundle))


def _classes(names: tuple[str, ...]) -> str:
    rest = len(names) - LISTED_CLASSES
    listed = phrase(names[:LISTED_CLASSES])
    return f"{len(names)}: {listed}" + (f" and {rest} more, which --json lists" if rest > 0 else "")


def _graph(graph: GraphSpec) -> str:
    return f"{', '.join(map(tensor, graph.inputs))} → {', '.join(map(tensor, graph.outputs))}"
