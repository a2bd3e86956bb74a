"""Opening an artefact with the engine that it was made for."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from bibench_deploy.converters.engine import TensorView
from bibench_deploy.converters.manifest import Manifest, Tensor
from bibench_deploy.errors import ArtefactError, BibenchError

from .arrays import InputSpec
from .base import Array, Arrays, Session
from .workspace import Artefact, read_artefact

# As many as ``fastest_kernel`` takes by itself.
FIRST_LOOK_ROUNDS = 3
MOST_SETTLING_ROUNDS = 200
#: Engines without a library for this machine.
_MODELLED = frozenset({"dabnn"})


@dataclass(frozen=True)
class Executable:
    """Something that turns rows into rows.

    Attributes:
        engine: name of what executes it.
        kernel: the engine's kernel; None where there is no choice.
        specs: what it takes.
        batch: rows at once; None where any number will do.
        run: executes one batch, arrays by name in the ONNX model's layout.
    """

    engine: str
    kernel: str | None
    specs: tuple[InputSpec, ...]
    batch: int | None
    run: Callable[[Arrays], dict[str, Array]]


def open_executable(path: Path, threads: int) -> Executable:
    """An artefact with its manifest, or a plain ``.onnx`` model with onnxruntime.

    Raises:
        ArtefactError: artefact or manifest missing, damaged, or of an engine that has no runner.
        ModelFileError: onnxruntime can't load the model.
        EngineError: the engine refuses the artefact.
        MissingExtraError: the engine is not installed.
    """
    if path.suffix == ".onnx":
        from .onnx_model import OnnxSession

        model = OnnxSession(path, threads)
        return Executable("onnxruntime", None, model.inputs, model.batch, model.run)
    artefact = read_artefact(path)
    session = open_artefact(artefact, threads)
    specs = specs_of(artefact.manifest)
    return Executable(artefact.manifest.engine, session.kernel, specs, specs[0].shape[0], session.run)


def specs_of(manifest: Manifest) -> tuple[InputSpec, ...]:
    """What an artefact takes, in the ONNX model's layout."""
    return tuple(InputSpec(tensor.name, tuple(tensor.shape)) for tensor in manifest.inputs)


def open_artefact(artefact: Artefact, threads: int, settle_ms: float = 0) -> Session:
    """A session of the artefact's engine, with the fastest kernel that is correct on this machine.

    Args:
        settle_ms: how long to time the kernels against each other, at least; the longer, the less the choice
            depends on what else the machine does. A choice that decides a measurement deserves some time.

    Raises:
        ArtefactError: no runner for its engine.
        EngineError: the engine refuses the artefact.
        MissingExtraError: the engine is not installed.
    """
    manifest = artefact.manifest
    inputs, outputs = (tuple(map(view, tensors)) for tensors in (manifest.inputs, manifest.outputs))
    try:
        return _runner(manifest.engine, settle_ms)(artefact.path.read_bytes(), inputs, outputs, threads)
    except BibenchError as error:
        error.where = error.where or str(artefact.path)
        raise


def opener(
    engine: str, threads: int = 1
) -> Callable[[bytes, Sequence[TensorView], Sequence[TensorView]], Callable[[Arrays], dict[str, Array]]]:
    """What executes an engine's artefacts by their bytes, for verification.

    No kernel is timed for it: whichever kernel is measured later must agree with this one on its outputs.

    Raises:
        ArtefactError: no runner for the engine.
    """
    runner = _runner(engine, quick=True)

    def run(
        data: bytes, inputs: Sequence[TensorView], outputs: Sequence[TensorView]
    ) -> Callable[[Arrays], dict[str, Array]]:
        return runner(data, inputs, outputs, threads).run

    return run


def executed_by(engine: str) -> str:
    """What executes an engine's artefacts on this machine: the engine, or a model of what it computes."""
    return "semantic model" if engine in _MODELLED else "engine"


def is_timed_here(engine: str) -> bool:
    """Whether this machine can measure an engine: the time of a model of it says nothing."""
    return engine not in _MODELLED


def settling_rounds(fastest_ms: Mapping[str, float], settle_ms: float) -> int:
    """How often each kernel is timed again until the choice stands.

    Args:
        fastest_ms: a first, short look at them.

    Returns:
        0 where there is nothing to choose, or the look already took that long.
    """
    round_ms = sum(fastest_ms.values())
    if len(fastest_ms) < 2 or round_ms <= 0:
        return 0
    rounds = min(MOST_SETTLING_ROUNDS, int(settle_ms / round_ms))
    return rounds if rounds > FIRST_LOOK_ROUNDS else 0


def view(tensor: Tensor) -> TensorView:
    """A manifest's tensor as the converter's view of it."""
    return TensorView(
        name=tensor.name,
        shape=tuple(tensor.shape),
        artefact_shape=tuple(tensor.artefact_shape),
        perm=tuple(tensor.perm),
        flip=tuple(tensor.flip),
    )


def random_inputs(manifest: Manifest) -> dict[str, Array]:
    """Standard normal inputs, always the same: the time of a convolution does not depend on its values."""
    random = np.random.default_rng(0)
    return {
        tensor.name: random.standard_normal(tensor.shape).astype(np.float32) for tensor in manifest.inputs
    }


def _say(message: str) -> None:
    """Something that takes time, on stderr."""
    sys.stderr.write(message + "\n")


def _runner(
    engine: str, settle_ms: float = 0, quick: bool = False
) -> Callable[[bytes, Sequence[TensorView], Sequence[TensorView], int], Session]:
    if engine == "larq":
        from .larq import KERNELS, LarqSession, fastest_kernel

        if quick:  # the first kernel executes every layer that LCE can; the others each refuse some
            return partial(LarqSession, kernel=next(iter(KERNELS)))

        def opened(
            data: bytes, inputs: Sequence[TensorView], outputs: Sequence[TensorView], threads: int
        ) -> Session:
            choice = fastest_kernel(data, inputs, threads)
            rounds = settling_rounds(choice.fastest_ms, settle_ms)
            if rounds:
                choice = fastest_kernel(data, inputs, threads, rounds)
            return LarqSession(data, inputs, outputs, threads, choice.kernel or "auto")

        return opened
    if engine == "native":
        from .native_engine import NativeSession

        return partial(NativeSession, progress=_say)
    if engine == "dabnn":
        from .dabnn import DabnnSession

        return DabnnSession
    raise ArtefactError(
        f"this version can't execute artefacts of the engine '{engine}'",
        remedy="execute it with the version that made it",
    )
