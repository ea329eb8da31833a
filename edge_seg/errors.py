"""What goes wrong, in one vocabulary.

Every error that a user can cause is an :class:`EdgeSegError`: it says what is wrong (which file, which value), what was
expected, and what to do. The command line prints it without a traceback and exits with its ``exit_code``.
"""

from __future__ import annotations


class EdgeSegError(Exception):
    """A failure with a message for the user, a remedy and a stable code for scripts.

    ``code`` is what the runner's ``error`` line and ``--json`` output carry; ``exit_code`` is the process's.
    """

    code = "failure"
    exit_code = 1

    def __init__(self, message: str, *, remedy: str = "", code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        if code is not None:
            self.code = code

    def __str__(self) -> str:
        return f"{self.message}\n  {self.remedy}" if self.remedy else self.message

    def as_json(self) -> dict[str, str]:
        return {"code": self.code, "message": self.message, "remedy": self.remedy}


class UsageError(EdgeSegError):
    """An option or argument has a value that can't be used."""

    code = "usage"
    exit_code = 2


class DataError(EdgeSegError):
    """A dataset, or one file of it, can't be used."""

    code = "data"


class ImageError(EdgeSegError):
    """An image can't be read or isn't of a kind that the runtime takes."""

    code = "image"


class RunError(EdgeSegError):
    """A run folder (a training's output) is missing, incomplete or of another schema."""

    code = "run"


class BundleError(EdgeSegError):
    """A bundle is missing, altered, of another schema, or not for this machine."""

    code = "bundle"


class ConversionError(EdgeSegError):
    """A model can't be exported, optimised, or its converted form differs from the original."""

    code = "conversion"


class EngineError(EdgeSegError):
    """An inference engine is missing, refused its input, or died."""

    code = "engine"


class TargetError(EdgeSegError):
    """A board can't be reached, refused, or has no room for what it is given."""

    code = "target"


class MissingDependencyError(EdgeSegError):
    """A library that this command needs isn't installed."""

    code = "missing-dependency"
