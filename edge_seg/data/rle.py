"""COCO's compressed run lengths, read without pycocotools, which trusts what it is given."""

from __future__ import annotations


def decompress(text: str) -> list[int] | None:
    """The run lengths (of 0, of 1, of 0, … down the columns) in ``text``, or None when it isn't such a string.

    Each number is written in groups of 5 bits, the lowest first, as characters from "0": bit 5 says that another group
    follows, bit 4 of the last one that the number is negative. From the fourth on a number is the difference from the
    one two places before (``rleToString`` in cocoapi's maskApi.c).
    """
    lengths: list[int] = []
    value, shift = 0, 0
    for character in text:
        group = ord(character) - 48
        if not 0 <= group < 64:
            return None
        value |= (group & 31) << shift
        shift += 5
        if group & 32:
            continue
        if group & 16:
            value -= 1 << shift
        lengths.append(value + lengths[-2] if len(lengths) > 2 else value)
        value, shift = 0, 0
    return lengths if shift == 0 else None
