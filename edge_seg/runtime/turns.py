"""Whose turn it is at an engine: one thread at a time, and only the process that loaded it."""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from collections.abc import Iterator

from edge_seg.errors import EngineError


class Turns:
    """The turns at one engine, for all segmenters over it.

    Every library tested gives mixed results or ends the process when two threads run one predictor at once.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._process = os.getpid()
        self._closed = False

    @contextlib.contextmanager
    def taken(self) -> Iterator[None]:
        """Waits for the turn and holds it. Raises :class:`EngineError` in a forked process, and after :meth:`close`."""
        if os.getpid() != self._process:
            raise EngineError(
                "this Segmenter was loaded before the process forked, and the libraries' threads don't live on in a"
                " fork",
                remedy="load a Segmenter in each process, or start processes by multiprocessing's method 'spawn'",
                code="engine-forked",
            )
        with self._lock:
            if self._closed:
                raise EngineError("this Segmenter was closed", remedy="load another one", code="engine-closed")
            yield

    def close(self) -> bool:
        """Ends all turns once the present one is over; False when they were ended before, or belong to a parent."""
        if os.getpid() != self._process:
            return False
        with self._lock:
            was, self._closed = self._closed, True
            return not was


_turns: weakref.WeakKeyDictionary[object, Turns] = weakref.WeakKeyDictionary()
_making = threading.Lock()


def turns_at(engine: object) -> Turns:
    """The turns at ``engine``, the same for everyone who asks."""
    with _making:
        turns = _turns.get(engine)
        if turns is None:
            turns = _turns[engine] = Turns()
        return turns
