"""Paddle Lite's optimiser: ``.pdmodel`` + ``.pdiparams`` → ``.nb``, in a child process.

Every bad input kills ``opt``'s process, and some (a program cut short) give a ``.nb`` that holds half a model with exit
code 0. So it runs in a child, and its product is believed only after another child has read it back.
"""

from __future__ import annotations

import functools
import json
import re
import sys
from pathlib import Path

from edge_seg.errors import ConversionError, MissingDependencyError
from edge_seg.install import pip_install
from edge_seg.process.child import Outcome, no_core_file, run_module
from edge_seg.words import counted

LIMIT_S = 300.0
MODEL_TYPE = "naive_buffer"

# A .nb begins with its format (uint16) and opt's version in 16 bytes: text, a zero, then whatever memory held.
_VERSION = slice(2, 18)
_UNSUPPORTED = re.compile(r"unsupported ops are: (.+?)\.?\s*$", re.MULTILINE)
_LOADING = re.compile(r"^Loading .* data from (.+)$", re.MULTILINE)
_FATAL = re.compile(r"^\[F [^\]]*\]\s*(.+)$", re.MULTILINE | re.DOTALL)


def optimise(
    program: Path,
    weights: Path,
    places: str,
    nb: Path,
    *,
    inputs: tuple[str, ...],
    outputs: int,
    weight_bits: int = 0,
    fp16: bool = False,
) -> None:
    """Writes ``nb`` for ``places`` ("arm", "x86"), the same bytes each time.

    ``weight_bits`` 8 or 16 stores the weights that are still in float as integers; ``fp16`` computes in half precision.

    Raises :class:`ConversionError`, with the operator or file that ``opt`` named, when it fails, or when the ``.nb``
    can't be read back with the ``inputs`` (names) and the number of ``outputs`` that the graph has.
    """
    what = f"Paddle Lite's opt ({program.name} for {places})"
    nb.unlink(missing_ok=True)
    try:
        outcome = run_module(
            "convert.backends.opt",
            "optimise",
            program,
            weights,
            places,
            nb,
            str(weight_bits),
            "fp16" if fp16 else "",
            limit_s=LIMIT_S,
        )
        if not outcome.ok or not nb.is_file() or nb.stat().st_size == 0:
            raise _failure(what, outcome)
        _clear_uninitialised(nb)
        _read_back(what, nb, inputs, outputs)
    except BaseException:
        nb.unlink(missing_ok=True)
        raise


def _read_back(what: str, nb: Path, inputs: tuple[str, ...], outputs: int) -> None:
    outcome = run_module("convert.backends.opt", "read", nb, limit_s=LIMIT_S)
    if not outcome.ok:
        raise _failure(f"reading {nb.name}, which {what} has just written,", outcome)
    found = json.loads(outcome.stdout.splitlines()[-1])
    if tuple(found["inputs"]) != inputs or len(found["outputs"]) != outputs:
        raise ConversionError(
            f"{what} wrote a {nb.name} with inputs {found['inputs']} and {counted(len(found['outputs']), 'output')}; "
            f"expected inputs {list(inputs)} and {counted(outputs, 'output')}",
            remedy="the exported program is incomplete: convert again, and report it if it happens twice",
            code="opt-failed",
        )


@functools.cache
def version() -> str:
    """The version of ``opt`` ("v2.13-rc"): part of every ``.nb``."""
    outcome = run_module("convert.backends.opt", "version", limit_s=LIMIT_S)
    if not outcome.ok:
        raise _failure("Paddle Lite's opt", outcome)
    return outcome.stdout.split()[-1]


def _clear_uninitialised(nb: Path) -> None:
    with nb.open("r+b") as file:
        field = file.read(_VERSION.stop)[_VERSION]
        file.seek(_VERSION.start)
        file.write(field.split(b"\0")[0].ljust(len(field), b"\0"))


def refuse_missing(outcome: Outcome) -> None:
    """Raises :class:`MissingDependencyError` when a child ended because there is no Paddle Lite."""
    if "No module named 'paddlelite'" in outcome.stderr:
        raise MissingDependencyError(
            "Paddle Lite's optimiser isn't installed",
            remedy=f"install it with: {pip_install('lite')} (Python 3.10, x86-64)",
        )


def _failure(what: str, outcome: Outcome) -> ConversionError:
    refuse_missing(outcome)
    unsupported = _UNSUPPORTED.search(outcome.stderr)
    if unsupported:
        return ConversionError(
            f"{what} has no kernel for the operator(s) {unsupported[1]}",
            remedy="replace the operator in the model, or convert to another recipe",
            code="unsupported-operator",
        )
    fatal = _FATAL.search(outcome.stderr)
    said = " ".join(fatal[1].split()) if fatal else outcome.tail()
    loading = _LOADING.findall(outcome.stdout)
    where = f" while loading {loading[-1]}" if loading and "successfully loaded" not in outcome.stdout else ""
    return ConversionError(f"{what} {outcome.ending()}{where}{': ' + said if said else ''}", code="opt-failed")


def _child(task: str, *arguments: str) -> None:
    no_core_file()
    import paddlelite.lite as lite  # type: ignore[import-not-found,import-untyped,unused-ignore]

    if task == "version":
        print(lite.Opt().version())
    elif task == "read":
        config = lite.MobileConfig()
        config.set_model_from_file(arguments[0])
        predictor = lite.create_paddle_predictor(config)
        print(json.dumps({"inputs": predictor.get_input_names(), "outputs": predictor.get_output_names()}))
    else:
        program, weights, places, nb, weight_bits, precision = arguments
        opt = lite.Opt()
        opt.set_model_file(program)
        opt.set_param_file(weights)
        opt.set_optimize_out(nb.removesuffix(".nb"))
        opt.set_model_type(MODEL_TYPE)
        if precision == "fp16":
            opt.enable_fp16()  # before the places: after them, it does nothing and says nothing
        opt.set_valid_places(places)
        if int(weight_bits):
            opt.set_quant_model(True)
            opt.set_quant_type(f"QUANT_INT{weight_bits}")
        opt.run()


if __name__ == "__main__":
    _child(*sys.argv[1:])
