"""What a stranger may write into a file: hypothesis strategies that several tests use."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["../out", "/etc/passwd", "\x1b[2J", 10**400]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
"""Any JSON value, and NaN and infinity, which Python's reader takes."""

lasting = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
"""For tests that read files: a machine may be busy, and a folder may be used again."""


def edit_one(data: st.DataObject, plain: Any) -> None:
    """Changes, removes or adds one value somewhere in ``plain``, a JSON object or list that isn't empty."""
    inside = plain
    while True:
        keys = sorted(inside) if isinstance(inside, dict) else list(range(len(inside)))
        key = data.draw(st.sampled_from(keys))
        child = inside[key]
        if isinstance(child, (dict, list)) and child and data.draw(st.booleans()):
            inside = child
            continue
        how = data.draw(st.sampled_from(["change", "remove", "add"]))
        if how == "change":
            inside[key] = data.draw(JSON)
        elif how == "remove":
            del inside[key]
        elif isinstance(inside, dict):
            inside[data.draw(st.text(max_size=5))] = data.draw(JSON)
        else:
            inside.append(data.draw(JSON))
        return


def damaged(data: st.DataObject, content: bytes, most: int = 4) -> bytes:
    """``content`` with one to ``most`` places overwritten, cut out or filled in."""
    result = bytearray(content)
    for _ in range(data.draw(st.integers(1, most))):
        place = data.draw(st.integers(0, max(0, len(result) - 1)))
        result[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    return bytes(result)
