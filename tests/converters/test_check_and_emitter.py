"""What ``check`` calls deployable on Larq, the emitter can lower: on every network of the reader's list."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tensorboard")

from fixtures.nets import CASES, Case, randomise  # noqa: E402

from bibench_deploy.converters.capabilities import load  # noqa: E402
from bibench_deploy.converters.deployability import assess  # noqa: E402
from bibench_deploy.converters.fusion import fuse  # noqa: E402
from bibench_deploy.converters.larq.emitter import lower  # noqa: E402
from bibench_deploy.converters.reader import read  # noqa: E402

pytestmark = [pytest.mark.zoo, pytest.mark.larq]


@pytest.mark.parametrize("case", [case for case in CASES if case.binary], ids=lambda case: case.name)
def test_deployable_means_lowered(case: Case, tmp_path: Path) -> None:
    torch.manual_seed(5)
    x = torch.randn(1, *case.shape)
    path = tmp_path / "m.onnx"
    torch.onnx.export(randomise(case.make()), (x,), path, dynamo=False, opset_version=17)
    graph = fuse(read(path))
    judged = assess(graph, load("larq"))
    if case.scale in ("input", "spatial"):
        assert judged.verdict == "not_deployable"
    else:
        assert judged.verdict == "deployable", judged.reasons
        assert set(lower(graph).binary) == {layer.name for layer in graph.binary_layers}
