"""A model: what its operators say, then the proof. Where rules and proof disagree, the proof is right.

For Arm there are three witnesses, from weak to strong: ``opt`` converts it for Arm; the same graph, converted for x86,
runs here and gives paddle's values; a runner for Arm runs it. What fails here in code that all targets have in common
fails on Arm as well; what fails in a kernel for x86 leaves Arm open.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from convert import doctor_limits
from convert.doctor_files import find_model
from convert.doctor_inputs import Sizes
from convert.doctor_kernels import Kernels, kernels
from convert.doctor_locate import Fails, goes_wrong, locate, not_converted
from convert.doctor_program import Program, gather, kinds, read_program
from convert.doctor_proof import LITE, Graph, Tried, faults, inputs, optimise, run_by, run_lite, run_paddle
from convert.doctor_report import Finding, Report
from convert.doctor_rules import suspect
from convert.doctor_words import NO_WORDS, Words, explain_text
from convert.forks import warm
from edge_seg.bundles.text import tensor
from edge_seg.errors import EdgeSegError
from edge_seg.files import scratch_dir
from edge_seg.guard import phase

# Operators of detection are in libraries of Paddle Lite that were built "with extra" only.
_EXTRA = ("roi_align", "generate_proposals", "distribute_fpn_proposals", "collect_fpn_proposals", "multiclass_nms")


@dataclass(frozen=True)
class Options:
    """``shapes``: sizes of inputs that the model leaves open. ``runner``: a command that runs graphs on the target."""

    target: str = "arm"
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    runner: tuple[str, ...] = ()


def examine_model(path: Path, options: Options) -> Report:
    """An exported model. Raises :class:`EdgeSegError` when there is no whole model at ``path``."""
    files = find_model(path)
    phase(f"examining {files.program}")
    program = read_program(files.program)
    with scratch_dir(Path(tempfile.gettempdir()) / "doctor") as scratch, warm(LITE, "paddlelite.lite"):
        file, weights = gather(files, program, scratch)
        table = kernels(options.target)
        findings = list(describe(program, table))
        if weights is None:
            findings.append(NO_WEIGHTS)
        if not any(finding.level == "error" for finding in findings):
            assert weights is not None
            findings += _Examination(Graph(program, file, weights, scratch), options).findings()
    return Report("model", f"{files.program} for {options.target}", tuple(findings), facts(program, table))


NO_WEIGHTS = Finding(
    "error",
    "weights",
    "the model has none, and opt aborts without a file of weights",
    "give the model a parameter that is used (multiply by a create_parameter of 1.0), or export the whole model",
    "no-weights",
)


def facts(program: Program, table: Kernels) -> dict[str, Any]:
    """What scripts may want to know of a model."""
    return {
        "target": table.target,
        "paddle": ".".join(map(str, program.version)),
        "inputs": [tensor(spec) for spec in program.inputs],
        "outputs": [tensor(spec) for spec in program.outputs],
        "operators": {kind: {"count": count, "kernel": table.place(kind)} for kind, count in kinds(program)},
    }


def describe(program: Program, table: Kernels) -> Iterator[Finding]:
    """Inputs, outputs, and which operators have which kernels."""
    version = ".".join(map(str, program.version))
    ends = (", ".join(map(tensor, specs)) or "none" for specs in (program.inputs, program.outputs))
    yield Finding("ok", "model", "{} → {}; exported by paddle {}".format(*ends, version))
    if not program.inputs or not program.outputs:
        yield Finding(
            "error",
            "model",
            "it has no inputs" if not program.inputs else "it has no outputs",
            "export it with an input_spec, from a layer whose forward(self, …) takes and returns tensors",
            "no-inputs",
        )
    places: dict[str, list[str]] = {}
    for kind, count in kinds(program):
        places.setdefault(table.place(kind), []).append(f"{kind} ×{count}" if count > 1 else kind)
    missing, fused, host = (places.pop(place, []) for place in ("none", "fused", "host"))
    own = sum(len(names) for names in places.values())
    yield Finding("ok", "operators", f"{own} kinds with kernels for {table.target}, {len(host)} for any host")
    if host and table.target == "arm":
        extra = any(name.startswith(_EXTRA) for name in host)
        library = "; needs a Paddle Lite library built with extra" if extra else ""
        yield Finding("note", "operators", f"on one core, in plain C++: {', '.join(host)}{library}")
    if fused:
        yield Finding("note", "operators", f"without kernels, unless opt can do away with them: {', '.join(fused)}")
    if missing:
        yield Finding(
            "error",
            "operators",
            f"Paddle Lite has no kernel for {', '.join(missing)} on {table.target}",
            "write them in other operators, or leave that part of the model to the host",
            "unsupported-operator",
        )


class _Examination:
    def __init__(self, graph: Graph, options: Options) -> None:
        self._graph = graph
        self._options = options
        self._sizes = Sizes(options.shapes)
        self._runs = inputs(graph, self._sizes)
        self._suspicions = suspect(graph.program)

    def findings(self) -> Iterator[Finding]:
        runs, target = self._runs, self._options.target
        nb = optimise(self._graph, target)
        if isinstance(nb, EdgeSegError):
            yield self._not_converted(f"opt for {target}", nb)
            return
        yield Finding("ok", f"opt for {target}", f"converts, {nb.stat().st_size / 1e6:.1f} MB")
        expected = run_paddle(self._graph, runs)
        if expected.words:
            said = expected.words.said or expected.ending
            yield Finding("warning", "paddle", f"can't run the model itself, so results aren't compared: {said}")
        if target == "x86":
            found = run_lite(self._graph, nb, runs)
            yield self._ran("run on x86", expected, found, certain=True)
            if not found.words:
                yield from doctor_limits.examine(self._graph, nb, self._sizes, self._suspicions)
        elif self._options.runner:
            yield self._ran("runner", expected, run_by(self._options.runner, self._graph, nb, runs), certain=True)
            yield from self._conditions()
        else:
            yield from self._twin(expected)

    def _twin(self, expected: Tried) -> Iterator[Finding]:
        """What the same graph, converted for x86, says of one for Arm."""
        nb = optimise(self._graph, "x86")
        if isinstance(nb, EdgeSegError):
            said = f"can't be run here: {nb.message}"
            yield Finding("unproven", "run on x86", said, "run it on a board: --runner", nb.code)
            yield from self._conditions(all_of_them=True)
            return
        found = run_lite(self._graph, nb, self._runs)
        everywhere = found.words is not None and found.words.everywhere
        finding = self._ran("run on x86", expected, found, certain=everywhere)
        yield finding
        if finding.level == "unproven":
            yield from self._conditions(all_of_them=True)
        elif not found.words:
            yield from doctor_limits.examine(self._graph, nb, self._sizes, self._suspicions)

    def _ran(self, subject: str, expected: Tried, found: Tried, *, certain: bool) -> Finding:
        """``certain``: what is wrong here is wrong on the target as well."""
        if found.words:
            message, remedy = self._blame(f"Paddle Lite {found.ending}", found.words, goes_wrong(self._runs))
            if certain:
                return Finding("error", subject, message, remedy, "run-failed")
            return Finding("unproven", subject, f"{message}; a kernel for Arm may do it", remedy, "run-failed")
        wrong = list(faults(self._graph, expected, found))
        if not wrong:
            compared = "" if expected.words else ", and paddle's values"
            return Finding("ok", subject, f"the same twice{compared}")
        said = f"other values than paddle's: {'; '.join(wrong[:3])}"
        message, remedy = self._blame(said, NO_WORDS, goes_wrong(self._runs))
        if certain or any(suspicion.silent for suspicion in self._suspicions):
            return Finding("error", subject, message, remedy, "values-differ")
        return Finding("unproven", subject, f"{message}; kernels for Arm may do it right", remedy, "values-differ")

    def _not_converted(self, subject: str, problem: EdgeSegError) -> Finding:
        said = problem.message.partition(": Loading ")[0]  # without fatal words there are those on progress
        message, remedy = self._blame(said, explain_text(said), not_converted(self._options.target))
        return Finding("error", subject, message, remedy or problem.remedy, problem.code)

    def _blame(self, what: str, words: Words, fails: Fails) -> tuple[str, str]:
        """Message and remedy for a failure: what the library's words mean, or else which operator it is."""
        said = f": {words.said}" if words.said and words.said not in " ".join(what.split()) else ""
        if words.meaning:
            return f"{what}{said} – {words.meaning}", words.remedy
        place = locate(self._graph, fails)
        for suspicion in self._suspicions:
            if place is None or place.operator.kind in suspicion.kinds or not suspicion.kinds:
                return f"{what}{said} – {place or 'probably'}: {suspicion.message}", suspicion.remedy
        where = f" – it begins with {place}" if place else ""
        return f"{what}{said}{where}", "write that part of the model in other operators, or leave it to the host"

    def _conditions(self, *, all_of_them: bool = False) -> Iterator[Finding]:
        yield from (doctor_limits.warning(s) for s in self._suspicions if all_of_them or s.conditional)
