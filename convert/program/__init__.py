"""Programs in Paddle's inference format: the one reader, editor, integrity check and executor.

Public: ``Program``, ``Operator``, ``read_program`` here; :class:`convert.program.edit.ProgramEdit` and
:class:`convert.program.executor.Executor`, which load more.
"""

from convert.program.program import Operator, Program, read_program

__all__ = ["Operator", "Program", "read_program"]
