"""The one place that knows private names of larq-compute-engine (LCE) 0.16.0.

``import larq_compute_engine`` imports TensorFlow, only because its ``converter.py`` does. Both of its shared
objects are self-contained, so they are loaded by file path: a converter from a serialized GraphDef and an
interpreter. That relies on file and function names that LCE doesn't promise; hence the exact version.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from bibench_deploy.errors import ConversionError, EngineError, MissingExtraError

VERSION = "0.16.0"
DISTRIBUTION = "larq-compute-engine"
_CONVERTER = "larq_compute_engine/mlir/_tf_tfl_flatbuffer.so"
_INTERPRETER = "larq_compute_engine/tflite/python/interpreter_wrapper_lite.so"
#: Parts of the extra beside LCE itself; each is named in ``versions``.
_COMPANIONS = ("tensorboard", "tflite", "flatbuffers", "numpy")
#: Longest that a conversion may take. ResNet18 takes 2 s; a converter that hangs must not hang the tool.
TIMEOUT_S = 600.0
#: Set to show the converter's own chatter on stderr.
DEBUG_VARIABLE = "BIBENCH_LARQ_DEBUG"


def versions() -> dict[str, str]:
    """Versions of LCE and of what is used to write and read its files.

    Raises:
        MissingExtraError: a part of the extra is missing, LCE is of another version, or numpy is 2 or newer
            (LCE's interpreter then refuses every input without saying why).
    """
    found: dict[str, str] = {}
    for name in (DISTRIBUTION, *_COMPANIONS):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError as error:
            raise MissingExtraError("larq", f"the Larq engine ('{name}' is not installed)") from error
    if found[DISTRIBUTION] != VERSION:
        raise MissingExtraError(
            "larq", f"the Larq engine (it works with {DISTRIBUTION} {VERSION}, not {found[DISTRIBUTION]})"
        )
    if int(found["numpy"].split(".")[0]) >= 2:
        raise MissingExtraError("larq", f"the Larq engine (LCE needs numpy below 2, not {found['numpy']})")
    return found


def convert(
    graph: bytes,
    inputs: Sequence[tuple[str, Sequence[int]]],
    outputs: Sequence[str],
    where: str | None = None,
    target: str = "arm",
) -> bytes:
    """A serialized GraphDef as a .tflite flatbuffer with Larq's operators.

    LCE's converter runs in a process of its own: on some graphs MLIR aborts instead of raising, and its
    diagnostics exist only as text on stderr.

    Args:
        graph: a serialized ``GraphDef``; all inputs float32.
        inputs: (node name, shape) of every placeholder, in order.
        outputs: node names, in order.
        where: what the error should name, such as the model's file.
        target: LCE's target, "arm" or "xcore".

    Raises:
        ConversionError: the converter refused the graph, crashed or took too long; with its diagnostics.
        MissingExtraError: see ``versions``.
    """
    versions()
    with tempfile.TemporaryDirectory(prefix="bibench-larq-") as folder:
        source, result = Path(folder) / "graph.pb", Path(folder) / "model.tflite"
        source.write_bytes(graph)
        return run_worker(_command(source, result, inputs, outputs, target), result, where)


def _command(
    source: Path,
    result: Path,
    inputs: Sequence[tuple[str, Sequence[int]]],
    outputs: Sequence[str],
    target: str,
) -> list[str]:
    """How the worker is started."""
    worker = Path(__file__).with_name("worker.py")
    command = [sys.executable, "-I", str(worker), str(_located(_CONVERTER)), str(source), str(result)]
    shapes = ["x".join(str(size) for size in shape) for _, shape in inputs]
    return [*command, ",".join(name for name, _ in inputs), ",".join(shapes), ",".join(outputs), target]


def run_worker(command: Sequence[str], result: Path, where: str | None) -> bytes:
    """Run a converter in a process of its own and take its result.

    Raises:
        ConversionError: it failed, was killed or took too long.
    """
    try:
        done = subprocess.run(command, capture_output=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise ConversionError(
            f"LCE's converter gave no result within {TIMEOUT_S:.0f} s", where=where, remedy=_REPORT
        ) from error
    chatter = done.stderr.decode(errors="replace")
    if os.environ.get(DEBUG_VARIABLE):
        print(chatter, file=sys.stderr)
    if done.returncode == 0 and result.is_file():
        return result.read_bytes()
    how = f"was killed by signal {-done.returncode}" if done.returncode < 0 else "failed"
    raise ConversionError(f"LCE's converter {how}: {diagnostics(chatter)}", where=where, remedy=_REPORT)


_REPORT = f"set {DEBUG_VARIABLE}=1 to see all that it printed"


def diagnostics(chatter: str, limit: int = 5) -> str:
    """The lines of MLIR's output that say what is wrong, without locations; the last line where none does."""
    lines = [line.strip() for line in chatter.splitlines() if line.strip()]
    errors = [re.sub(r"^.*?\berror: ", "", line) for line in lines if re.search(r"\berror: ", line)]
    told = list(dict.fromkeys(errors))[:limit] or lines[-1:]
    return "; ".join(line[:500] for line in told) or "it printed nothing"


def interpreter(data: bytes, threads: int, reference: bool, indirect: bool, xnnpack: bool) -> Any:
    """LCE's interpreter of an artefact (its ``LiteInterpreter``: predict, input_shapes, output_shapes).

    Args:
        data: the .tflite bytes.
        threads: number of threads.
        reference, indirect, xnnpack: which kernels execute binary convolutions, and whether XNNPACK
            executes the float ones.

    Raises:
        EngineError: it refused the artefact.
        MissingExtraError: see ``versions``.
    """
    try:
        return _interpreter_module().LiteInterpreter(data, threads, reference, indirect, xnnpack)
    except (RuntimeError, ValueError) as error:
        raise EngineError(
            f"LCE's interpreter refused the artefact: {error}", remedy="convert the model again"
        ) from error


@cache
def _interpreter_module() -> Any:
    versions()
    path = str(_located(_INTERPRETER))
    loader = importlib.machinery.ExtensionFileLoader("interpreter_wrapper_lite", path)
    spec = importlib.util.spec_from_file_location("interpreter_wrapper_lite", path, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def _located(name: str) -> Path:
    """Path of one of LCE's files.

    Raises:
        MissingExtraError: the installation lacks it.
    """
    path = Path(str(metadata.distribution(DISTRIBUTION).locate_file(name)))
    if not path.is_file():
        raise MissingExtraError("larq", f"the Larq engine (this installation of LCE lacks {name})")
    return path
