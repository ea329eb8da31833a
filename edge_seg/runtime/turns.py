"""Whose turn it is at an engine: one thread at a time, and only the process that loaded it."""

from __future__ import annotations

import os
import threading
import weakref

from edge_seg.errors import EngineError

_process = os.getpid()


def _forked() -> None:
    global _process
    _process = os.getpid()


os.register_at_fork(after_in_child=_forked)  # asking for it at each image would be a system call more


class Turns:
    """The turns at one engine, for all segmenters over it; a context in which a turn is held.

    Every library tested gives mixed results or ends the process when two threads run one predictor at once.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._process = _process
        self._closed = False

    def __enter__(self) -> None:
        """Waits for the turn. Raises :class:`EngineError` in a forked process, and after :meth:`close`."""
        if self._process != _process:
            raise EngineError(
                "this Segmenter was loaded before the process forked, and the libraries' threads don't live on in a"
                " fork",
                remedy="load a Segmenter in each process, or start processes by multiprocessing's method 'spawn'",
                code="engine-forked",
            )
        self._lock.acquire()
        if self._closed:
            self._lock.release()
            raise EngineError("this Segmenter was closed", remedy="load another one", code="engine-closed")

    def __exit__(self, *_problem: object) -> None:
        self._lock.release()

    def close(self) -> bool:
        """Ends all turns once the present one is over; False when they were ended before, or belong to a parent."""
        if self._process != _process:
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
