"""A model: what its operators say, then the proof. Where rules and proof disagree, the proof is right.

For Arm there are three checks, from weak to strong: ``opt`` converts it for Arm; the same graph, converted for x86,
runs here and gives paddle's values; a runner for Arm runs it. What fails here in code that all targets have in common
fails on Arm as well; what fails in a kernel for x86 leaves Arm open.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from convert.backends.kernels import Kernels, kernels
from convert.backends.messages import Words, explain_text
from convert.backends.run_graph import LITE, Graph, Tried, run_paddle
from convert.doctor import stress
from convert.doctor.bisect import Fails, locate
from convert.doctor.compare import random_outputs
from convert.doctor.inputs import Sizes
from convert.doctor.lint import Suspicion, suspect
from convert.doctor.trial import GraphRunner, faults, inputs, optimise
from convert.program.files import find_model
from convert.program.integrity import gather
from convert.program.program import Program, kinds, read_program
from edge_seg.bundles.text import tensor
from edge_seg.doctor.report import Finding, Report
from edge_seg.errors import EdgeSegError
from edge_seg.files import scratch_dir
from edge_seg.process.forks import warm
from edge_seg.process.guard import phase
from edge_seg.words import counted

# Operators of detection are in libraries of Paddle Lite that were built "with extra" only.
_EXTRA = ("roi_align", "generate_proposals", "distribute_fpn_proposals", "collect_fpn_proposals", "multiclass_nms")


@dataclass(frozen=True)
class Options:
    """``shapes``: sizes of inputs that the model leaves open. ``runner``: a command that runs graphs on the target.

    ``keep``: a file that takes the ``.nb`` for the target, where opt makes one.
    """

    target: str = "arm"
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    runner: tuple[str, ...] = ()
    keep: Path | None = None


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
            findings += prove(Graph(program, file, weights, scratch), options)
    return Report("model", f"{files.program} for {options.target}", tuple(findings), facts(program, table))


def prove(graph: Graph, options: Options) -> Iterator[Finding]:
    """Converts, loads and runs ``graph``, and holds it against paddle."""
    return _Examination(graph, options).findings()


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
    yield Finding(
        "ok", "operators", f"{counted(own, 'kind')} with kernels for {table.target}, {len(host)} for any host"
    )
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
        self._target = options.target
        self._keep = options.keep
        self._by = GraphRunner(options.target if options.runner else "x86", options.runner)
        self._sizes = Sizes(options.shapes)
        self._runs = inputs(graph, self._sizes)
        self._suspicions = suspect(graph.program)

    def findings(self) -> Iterator[Finding]:
        nb = optimise(self._graph, self._target)
        if isinstance(nb, EdgeSegError):
            yield self._not_converted(nb)
            return
        yield Finding("ok", f"opt for {self._target}", f"converts, {nb.stat().st_size / 1e6:.1f} MB")
        if self._keep:
            shutil.copyfile(nb, self._keep)
        subject = "runner" if self._by.runner else f"run on {self._by.target}"
        if self._by.target != self._target:
            here = optimise(self._graph, self._by.target)
            if isinstance(here, EdgeSegError):
                said = f"can't be run here: {self._plain(here.message)}"
                yield Finding("unproven", subject, said, "run it on a board: --runner", here.code)
                yield from self._conditions()
                return
            nb = here
        expected = run_paddle(self._graph, self._runs)
        if expected.words:
            said = expected.words.said or expected.ending
            yield Finding("warning", "paddle", f"can't run the model itself, so results aren't compared: {said}")
        found = self._by.run(self._graph, nb, self._runs)
        finding = self._ran(subject, expected, found)
        yield finding
        if finding.level == "ok":
            yield from self._stressed(stress.Tried(self._graph, nb, self._by, self._sizes))
        elif finding.level == "unproven":
            yield from self._conditions()

    def _ran(self, subject: str, expected: Tried, found: Tried) -> Finding:
        # What is wrong on x86 isn't always wrong on Arm.
        same = self._by.target == self._target
        if found.words and expected.words:
            return self._neither(subject, found)
        if found.words:
            certain = same or found.words.everywhere
            message, remedy = self._blame(f"Paddle Lite {found.ending}", found.words, self._goes_wrong)
            message += "" if certain else "; a kernel for Arm may do it"
            return Finding("error" if certain else "unproven", subject, message, remedy, "run-failed")
        wrong = list(faults(self._graph, expected, found))
        if not wrong:
            return self._right(subject, expected)
        certain = same or any(suspicion.silent for suspicion in self._suspicions)
        said = f"other values than paddle's: {'; '.join(wrong[:3])}"
        message, remedy = self._blame(said, Words(""), self._goes_wrong)
        message += "" if certain else "; kernels for Arm may do it right"
        return Finding("error" if certain else "unproven", subject, message, remedy, "values-differ")

    def _right(self, subject: str, expected: Tried) -> Finding:
        random = random_outputs(self._graph.program)
        if len(random) == len(self._graph.program.outputs):
            message = "it runs, but what it gives hangs on random numbers, so nothing can be compared"
            return Finding("unproven", subject, message, "leave the random numbers to the host: make them an input")
        message = "the same twice" if expected.words else "the same twice, and paddle's values"
        if random:
            message += f"; {', '.join(sorted(random))} hang on random numbers and aren't compared"
        return Finding("ok", subject, message)

    def _neither(self, subject: str, found: Tried) -> Finding:
        """Paddle can't run it either: the model is at fault, or the inputs, where they had to be guessed."""
        assert found.words is not None
        tensors = self._graph.program.inputs
        guessed = any(-1 in tensor.shape or not tensor.dtype.startswith("float") for tensor in tensors)
        message = f"Paddle Lite can't either: it {found.ending}: {found.words.said}"
        remedy = "the model is damaged, or wants other inputs: give their --shape"
        return Finding("unproven" if guessed else "error", subject, message, remedy, "run-failed")

    def _goes_wrong(self, graph: Graph) -> bool:
        return not self._by.judge(graph, self._runs)

    def _not_converted(self, problem: EdgeSegError) -> Finding:
        def fails(graph: Graph) -> bool:
            return isinstance(optimise(graph, self._target), EdgeSegError)

        said = self._plain(problem.message)
        message, remedy = self._blame(said, explain_text(said), fails)
        return Finding("error", f"opt for {self._target}", message, remedy or problem.remedy, problem.code)

    def _blame(self, what: str, words: Words, fails: Fails) -> tuple[str, str]:
        """Message and remedy for a failure: what the library's words mean, or else which operator it is."""
        said = f": {words.said}" if words.said and words.said not in " ".join(what.split()) else ""
        if words.meaning and words.names:
            return f"{what}{said} – {words.meaning}", words.remedy
        place = locate(self._graph, fails)
        if words.meaning:
            return f"{what}{said} – {f'{place}: ' if place else ''}{words.meaning}", words.remedy
        for suspicion in self._suspicions:
            if suspicion.conditional:
                continue
            if place is None or place.operator.kind in suspicion.kinds or not suspicion.kinds:
                return f"{what}{said} – {place or 'probably'}: {suspicion.message}", suspicion.remedy
        where = f" – it begins with {place}" if place else ""
        return f"{what}{said}{where}", "write that part of the model in other operators, or leave it to the host"

    def _plain(self, message: str) -> str:
        """Without what opt says of its progress when it dies speechless, and without names of scratch files."""
        return message.partition(": Loading ")[0].replace(f"{self._graph.folder}/", "")

    def _stressed(self, tried: stress.Tried) -> Iterator[Finding]:
        """Of a graph that runs: each conditional suspicion that its trial doesn't refute."""
        for suspicion in self._suspicions:
            if suspicion.conditional and not (suspicion.trial and suspicion.trial.passes(tried)):
                yield _warning(suspicion, suspicion.trial.shown if suspicion.trial else "")
        yield from stress.large_values(tried)

    def _conditions(self) -> Iterator[Finding]:
        """All that is suspected, where no run could refute it."""
        yield from map(_warning, self._suspicions)


def _warning(suspicion: Suspicion, shown: str = "") -> Finding:
    """``shown``: what was seen of it."""
    subject = ", ".join(suspicion.kinds[:2]) or "tensors"
    message = f"{suspicion.message} ({shown})" if shown else suspicion.message
    return Finding("warning", subject, message, suspicion.remedy, suspicion.code)
