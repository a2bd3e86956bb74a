"""The reader's acceptance list: what public training code exports is recognised, or refused with the reason.

Every network of ``fixtures.nets`` is exported by both of PyTorch's exporters, and two things are asked: does
the reader say what the table says, and do the recognised and the fused graph compute what the file computes?
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

torch = pytest.importorskip("torch")

from fixtures.nets import CASES, Case, randomise  # noqa: E402

from bibench_deploy.converters.fusion import fuse  # noqa: E402
from bibench_deploy.converters.reader import read  # noqa: E402
from bibench_deploy.graph import BinaryGraph  # noqa: E402

pytestmark = pytest.mark.zoo
BATCH = 200
TOLERANCE = 1e-4
SHARE_OF_ROWS = 0.99

#: The TorchScript exporter at three operator sets, the newer one at its own; both also without their
#: clean-ups, and with a free batch, which leaves the arithmetic of shapes in the graph.
EXPORTERS = [
    "ts11",
    pytest.param("ts13", marks=pytest.mark.slow),
    "ts17",
    pytest.param("ts17 unfolded", marks=pytest.mark.slow),
    pytest.param("ts17 free", marks=pytest.mark.slow),
    pytest.param("dynamo", marks=pytest.mark.slow),
    pytest.param("dynamo unoptimised", marks=pytest.mark.slow),
]
DYNAMO = ("dynamo unoptimised", "dynamo")
Export = Callable[[Case, str], Path]


def samples(shape: tuple[int, ...]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Random numbers, a third of them where signs and thresholds turn, to the last bit."""
    random = np.random.default_rng(11)
    x = random.standard_normal((BATCH, *shape)).astype(np.float32)
    turning = np.array([0, -0.0, 1e-30, -1e-30, 0.25, -1, 1, np.nextafter(np.float32(0.25), 0)], np.float32)
    return np.where(random.random(x.shape) < 0.3, random.choice(turning, x.shape), x).astype(np.float32)


def write(module: Any, x: Any, exporter: str, path: Path) -> None:
    name, _, how = exporter.partition(" ")
    free = {"input_names": ["x"], "dynamic_axes": {"x": {0: "N"}}} if how == "free" else {}
    opset = int(name.removeprefix("ts"))
    folds = how != "unfolded"
    torch.onnx.export(
        module, (x,), path, dynamo=False, opset_version=opset, do_constant_folding=folds, **free
    )


def write_both(module: Any, x: Any, before: Path, path: Path) -> None:
    """By the newer exporter: before its clean-up, and after it, as ``optimize=True`` has it done."""
    program = torch.onnx.export(module, (x,), dynamo=True, optimize=False, verbose=False)
    program.save(before, external_data=False)
    program.optimize()
    program.save(path, external_data=False)


@pytest.fixture(scope="session")
def export(tmp_path_factory: pytest.TempPathFactory) -> Export:
    """Exports a case once a session."""
    folder = tmp_path_factory.mktemp("spellings")

    def of(case: Case, exporter: str) -> Path:
        return folder / f"{exporter} {case.name}.onnx".replace("/", "|").replace(" ", "_")

    def run(case: Case, exporter: str) -> Path:
        path = of(case, exporter)
        if not path.exists():
            torch.manual_seed(5)
            module = randomise(case.make())
            x = torch.from_numpy(samples(case.shape))
            if exporter in DYNAMO:
                write_both(module, x, *(of(case, name) for name in DYNAMO))
            else:
                write(module, x, exporter, path)
        return path

    return run


def run(model: Any, x: np.ndarray[Any, Any], batch: int) -> np.ndarray[Any, Any]:
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, settings, providers=["CPUExecutionProvider"])
    (tensor,) = session.get_inputs()
    parts = [session.run(None, {tensor.name: x[i : i + batch]})[0] for i in range(0, len(x), batch)]
    return np.concatenate(parts)


def rows_that_agree(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> float:
    assert a.shape == b.shape
    close = np.isclose(a, b, rtol=TOLERANCE, atol=TOLERANCE).reshape(len(a), -1).all(1)
    return float(close.mean())


def assert_same_function(path: Path, graph: BinaryGraph, shape: tuple[int, ...]) -> None:
    """The first layer reads the input itself, so at equality no rounding excuses anything but later flips."""
    x = samples(shape)
    batch = graph.model.graph.inputs[0].shape
    assert batch is not None
    size = int(batch[0])  # a free batch is read as 1
    expected = run(str(path), x, size)
    for stage, proto in (("recognised", graph.proto()), ("fused", fuse(graph).proto())):
        share = rows_that_agree(run(proto.SerializeToString(), x, size), expected)
        assert share >= SHARE_OF_ROWS, f"{stage}: only {share:.1%} of the rows agree with the file"


def assert_recognised(case: Case, exporter: str, graph: BinaryGraph) -> None:
    binary = [layer for layer in graph.layers if layer.kind == "binary"]
    stayed = [layer for layer in graph.layers if layer.kind == "float"]
    reasons = [layer.why_not_binary for layer in stayed]
    assert len(binary) == case.binary, reasons
    assert len(graph.binary_layers) == case.binary
    # The newer exporter folds batch-norm into constant weights: ±1 becomes ±γ/σ, and nobody can tell.
    folded = {"channel"} if exporter == "dynamo" and case.scale == "none" else set()
    assert {layer.scale for layer in binary} <= {case.scale} | folded
    assert {layer.mean_shift for layer in binary} <= {case.mean_shift}
    assert [layer.pad_value for layer in binary] == [pytest.approx(case.pad_value)] * case.binary
    assert all(case.refused in (reason or "") for reason in reasons), reasons
    assert bool(reasons) == bool(case.refused)


@pytest.mark.parametrize("exporter", EXPORTERS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_is_exported_is_recognised_and_computes_the_same(
    case: Case, exporter: str, export: Export
) -> None:
    path = export(case, exporter)
    graph = read(path)
    assert_recognised(case, exporter, graph)
    assert_same_function(path, graph, case.shape)


def test_every_case_has_a_name_of_its_own() -> None:
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names)
