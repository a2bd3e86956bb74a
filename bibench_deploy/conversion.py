"""From an ONNX file to verified artefacts: the pipeline behind ``bibench-deploy convert``.

read → fuse → for every engine: assess → (changes that were allowed) → emit and audit → verify → write. Nothing
is written under its final name before it is verified.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from bibench_deploy.artefacts import Artefact, keep
from bibench_deploy.converters.capabilities import known_engines, load
from bibench_deploy.converters.changes import apply_changes
from bibench_deploy.converters.check_rows import MOST_ROWS, CheckRows, choose
from bibench_deploy.converters.deployability import Allowed, Assessment, Reason, assess
from bibench_deploy.converters.engine import Emitted, Engine, engine_names, load_engine
from bibench_deploy.converters.fusion import fuse
from bibench_deploy.converters.manifest import SourceModel
from bibench_deploy.converters.reader import read
from bibench_deploy.converters.reader.algorithm import algorithm_of
from bibench_deploy.converters.twin import VARIANT as TWIN
from bibench_deploy.converters.twin import fp32_twin
from bibench_deploy.converters.verification import Reference, verify
from bibench_deploy.errors import InputError, MissingExtraError, NotDeployableError
from bibench_deploy.evaluation_data import Evaluation, load_evaluation, random_rows
from bibench_deploy.files import make_folder, write_atomically
from bibench_deploy.graph import BinaryGraph, steps
from bibench_deploy.runners.session import executed_by, opener

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Refusal:
    """An engine that can't take the model, that nothing is emitted for yet, or that is not installed.

    Attributes:
        missing: what is not installed; None if that is not the reason.
    """

    engine: str
    assessment: Assessment
    missing: MissingExtraError | None = None


@dataclass(frozen=True)
class Conversion:
    """What came of one model.

    Attributes:
        model: its name; binary_layers: how many were recognised.
        graph: the fused graph; None for a Keras model or SavedModel, which has none.
    """

    model: str
    binary_layers: int
    graph: BinaryGraph | None
    artefacts: tuple[Artefact, ...]
    refused: tuple[Refusal, ...]


def convert(
    model: Path,
    folder: Path,
    engines: Sequence[str] = (),
    data: Path | None = None,
    allowed: Allowed | None = None,
    twin: bool = True,
    save_graph: bool = False,
    progress: Progress = lambda message: None,
) -> Conversion:
    """Convert an ONNX model for the engines that can take it.

    Args:
        folder: the workspace; made if it is missing.
        engines: names; all known engines if empty.
        data: an .npz file of real inputs to verify with (see ``evaluation_data``).
        allowed: changes of function that are allowed.
        twin: emit the fp32 twin too.
        save_graph: write the fused graph as ``<stem>.graph.onnx``.
        progress: told what is being done.

    Raises:
        InputError: an unknown engine.
        ModelFileError, UnsupportedModelError, DataError, OutputPathError: see the stages.
        NotDeployableError: the model has no binary layer.
        MissingExtraError: an engine that was asked for is not installed, or none is.
        ConversionError, VerificationError: an artefact failed its audit or computes something else.
        StorageError: the disk is full.
    """
    allowed = allowed or Allowed()
    names = list(dict.fromkeys(engines)) or known_engines()
    unknown = [name for name in names if name not in known_engines()]
    if unknown:
        raise InputError(f"no engine '{unknown[0]}'", remedy=f"choose one of: {', '.join(known_engines())}")
    make_folder(folder)
    progress(f"reading {model.name}")
    graph = fuse(read(model))
    if not graph.binary_layers:
        raise no_binary_layer(graph)
    algorithm = algorithm_of(graph)
    evaluation = load_evaluation(data, graph) if data else Evaluation((), None)
    if save_graph:
        write_atomically(folder / f"{graph.source.name}.graph.onnx", graph.proto().SerializeToString())
    artefacts: list[Artefact] = []
    refused: list[Refusal] = []
    references = _References()
    whole = fp32_twin(graph) if twin else None
    for name in names:
        assessment = assess(graph, load(name), allowed)
        if assessment.verdict != "deployable" or name not in engine_names():
            refused.append(Refusal(name, assessment))
            continue
        engine = load_engine(name)
        target = apply_changes(graph, assessment.changes, allowed)
        changes = tuple(change.message for change in assessment.changes)
        variants = [(algorithm, target, evaluation, changes)]
        if whole is not None:
            variants.append((TWIN, whole, Evaluation((), None), ()))
        try:
            for variant, model_graph, inputs, made in variants:
                reference = references.of(model_graph, inputs)
                what = "the fp32 twin" if variant == TWIN else variant
                progress(f"{graph.source.name}: emitting {what} for {name}")
                artefacts.append(_artefact(engine, reference, variant, folder, made, progress))
        except MissingExtraError as error:
            if name in engines:
                raise
            refused.append(Refusal(name, assessment, error))
        except NotDeployableError as error:
            refused.append(Refusal(name, _after_all(assessment, error)))
    missing = [refusal.missing for refusal in refused if refusal.missing is not None]
    if missing and not artefacts:
        raise missing[0]
    name, layers = graph.source.name, len(graph.binary_layers)
    return Conversion(name, layers, graph, tuple(artefacts), tuple(refused))


#: What a layer has to be, for whoever meant it to be binary.
BINARY_NEEDS = (
    "a binary layer has weights of one magnitude a channel, and right in front of it a sign: torch.sign(x), or "
    "x >= a constant (a steep tanh is none)"
)


def no_binary_layer(graph: BinaryGraph) -> NotDeployableError:
    """Why a model without a binary layer is refused, with the layers that look as if meant to be binary."""
    suspects = [layer for layer in graph.layers if layer.looks_binary]
    if suspects:
        first = suspects[0]
        look = "looks" if len(suspects) == 1 else "look"
        detail = (
            f"{len(suspects)} {look} as if meant to be; {first.name} stayed float: {first.why_not_binary}"
        )
    else:
        detail = "its weights are real-valued"
    return NotDeployableError(
        f"no layer of this model is binary ({detail})",
        where=str(graph.source.path),
        remedy=f"{BINARY_NEEDS}; 'bibench-deploy inspect' shows every layer and why it is float",
    )


def _after_all(assessment: Assessment, error: NotDeployableError) -> Assessment:
    """What becomes of a verdict when the emitter refuses what the rules let pass."""
    message = f"{error.where}: {error.message}" if error.where else error.message
    reason = Reason("", "", "operator-form", message, error.remedy or "")
    return replace(assessment, verdict="not_deployable", reasons=(reason,))


class _References:
    """One for each graph: every engine takes the same, unless changes were allowed for it."""

    def __init__(self) -> None:
        self._made: list[Reference] = []

    def of(self, graph: BinaryGraph, evaluation: Evaluation) -> Reference:
        """The graph's."""
        for reference in self._made:
            if reference.graph is graph:
                return reference
        reference = Reference(graph, random_rows(graph), evaluation.batches, evaluation.labels)
        self._made.append(reference)
        return reference


def _artefact(
    engine: Engine,
    reference: Reference,
    variant: str,
    folder: Path,
    changes: tuple[str, ...],
    progress: Progress,
) -> Artefact:
    graph = reference.graph
    emitted = engine.emit(graph)
    progress(f"{graph.source.name}: verifying the {engine.name} artefact ({variant})")
    verification = verify(reference, emitted, opener(engine.name), executed_by(engine.name))
    stem = graph.source.name + (f"-{TWIN}" if variant == TWIN else "")
    path = folder / f"{stem}.{engine.name}{emitted.suffix}"
    source = graph.source
    facts = SourceModel(file=source.path.name, sha256=source.sha256, metadata=source.metadata)
    check = _check_rows(engine, reference, emitted) if verification.ok else None
    return keep(path, engine, facts, variant, emitted, verification, changes, _way_out(graph), check)


def _check_rows(engine: Engine, reference: Reference, emitted: Emitted) -> CheckRows:
    """Rows to verify the artefact with on a device: real ones first, where there are any."""
    names = [view.name for view in emitted.outputs]
    return choose(
        [*reference.data[: MOST_ROWS // 2], *random_rows(reference.graph, seed=1)],
        lambda batch: dict(zip(names, reference.run(names, batch), strict=True)),
        opener(engine.name)(emitted.data, emitted.inputs, emitted.outputs),
    )


def _way_out(graph: BinaryGraph) -> str:
    """What to do about an artefact that differs."""
    report = "please report it with the model: this is a bug of the converter"
    if any(node.attributes["at_threshold"].as_float() == 0 for node in steps(graph.model.graph)):
        return (
            "the model has torch.sign: if your data makes its input exactly 0, the engine gives +1 for the "
            f"model's 0; allow that with --allow sign-zero=+1. If not, {report}"
        )
    return report


def as_json(conversion: Conversion) -> dict[str, Any]:
    """The document of ``convert --json``."""
    return {
        "artefacts": [
            {
                "engine": artefact.manifest.engine,
                "variant": artefact.manifest.variant,
                "path": str(artefact.path),
                "sha256": artefact.manifest.sha256,
                "size_bytes": artefact.manifest.size_bytes,
                "binary_ops": artefact.manifest.binary_ops,
                "verified": artefact.manifest.verified,
                "verification": artefact.manifest.verification,
                "changes": artefact.manifest.changes,
            }
            for artefact in conversion.artefacts
        ],
        "refused": [
            {
                "engine": refusal.engine,
                "verdict": refusal.assessment.verdict,
                "reasons": [asdict(reason) for reason in refusal.assessment.reasons],
                "notes": [note.message for note in refusal.assessment.notes],
                "missing_extra": refusal.missing.extra if refusal.missing else None,
            }
            for refusal in conversion.refused
        ],
    }
