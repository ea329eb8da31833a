"""The cost of the zoo's models as stored in ``costs.json``: an answer without paddle, and without building a model.

``tools/zoo_costs.py`` writes the file anew after a change of a model; a test compares it with what the layers cost.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).with_name("costs.json")
PROBE = 64
"""Height and width in pixels of the input that the trunk's MAC are counted on."""


@dataclass(frozen=True)
class Cost:
    """Trained parameters (no normalisation statistics), and MAC: multiply-accumulates of convolutions, matrices.

    ``trunk_mac`` (backbone, FPN, RPN) is for an image, ``box_mac`` for a proposal, ``mask_mac`` for a detection.
    """

    parameters: int
    trunk_mac: int
    box_mac: int
    mask_mac: int

    @property
    def bytes(self) -> int:
        """Size of the parameters in fp32."""
        return 4 * self.parameters

    def total_mac(self, proposals: int, objects: int) -> int:
        """MAC of one image with that many proposals and detections."""
        return self.trunk_mac + proposals * self.box_mac + objects * self.mask_mac


def scaled_trunk(probe_mac: int, size: tuple[int, int]) -> int:
    """The trunk's MAC at ``size`` (height, width) from those of the probe, by the area.

    P6, rounded up, makes less than 0.1 % of it.
    """
    return probe_mac * size[0] * size[1] // PROBE**2


def stored_cost(name: str, size: tuple[int, int], classes: int) -> Cost:
    """The cost of the zoo's model ``name`` at input ``size`` (height, width) with ``classes`` (no background).

    Everything but the trunk is linear in the number of classes: ``[with none, more for each]`` in the file.
    """
    figures = json.loads(FILE.read_text(encoding="utf-8"))[name]
    parameters, box, mask = (
        base + classes * each for base, each in (figures[key] for key in ("parameters", "box_mac", "mask_mac"))
    )
    return Cost(parameters, scaled_trunk(figures["probe_mac"], size), box, mask)
