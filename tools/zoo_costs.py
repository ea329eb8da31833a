"""Writes edge_seg/models/costs.json, which `edge-seg zoo` answers from: run it after a change of the models' layers."""

from __future__ import annotations

import json

from edge_seg.models.build import build_model
from edge_seg.models.cost import measure
from edge_seg.models.stored_cost import FILE, PROBE
from edge_seg.zoo import ZOO


def figures(name: str) -> dict[str, object]:
    """One model's entry: what depends on the number of classes as ``[with none, more for each]``."""
    one, two = (measure(build_model(name, classes), (PROBE, PROBE)) for classes in (1, 2))

    def line(first: int, second: int) -> list[int]:
        return [first - (second - first), second - first]

    return {
        "parameters": line(one.parameters, two.parameters),
        "probe_mac": one.trunk_mac,
        "box_mac": line(one.box_mac, two.box_mac),
        "mask_mac": line(one.mask_mac, two.mask_mac),
    }


if __name__ == "__main__":
    FILE.write_text(json.dumps({name: figures(name) for name in ZOO}, indent=2) + "\n", encoding="utf-8")
