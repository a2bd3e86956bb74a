"""Every output of the file is an output of the artefact, under its name: equal ones, too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bibench_deploy.converters.engine import load_engine
from bibench_deploy.converters.fusion import fuse
from bibench_deploy.converters.reader import read
from bibench_deploy.runners.session import opener
from support.extras import needs
from support.onnx_models import execute, make_model, save

RNG = np.random.default_rng(7)
CONSTANTS = {
    "w": RNG.choice(np.float32([-1, 1]), (32, 32, 1, 1)),
    "v": RNG.standard_normal((32, 4, 3, 3)).astype(np.float32),
    "zero": np.float32(0),
    "one": np.float32(1),
    "minus": np.float32(-1),
}
LAYER = "a = Conv (x, v) c = GreaterOrEqual (a, zero) s = Where (c, one, minus) b = Conv (s, w)"
CASES = {
    "another name": ("i = Identity (b)", ("b", "i")),
    "times 1": ("i = Mul (b, one) j = Add (i, zero)", ("b", "i", "j")),
    "computed twice": ("r = Relu (b) t = Relu (b)", ("r", "t")),
    "layer computed twice": ("d = Conv (s, w)", ("b", "d")),
    "flattened": ("p = GlobalAveragePool (b) f = Flatten (p)", ("p", "f")),
    "the input": ("i = Identity (x)", ("i", "b")),
    "read by the other": ("r = Relu (b)", ("r", "b", "a")),
    "listed twice": ("", ("b", "b")),
}


@pytest.mark.parametrize("engine", [pytest.param("larq", marks=pytest.mark.larq), "dabnn", "native"])
@pytest.mark.parametrize("case", CASES)
def test_outputs(case: str, engine: str, tmp_path: Path) -> None:
    if engine == "larq":
        needs("larq_compute_engine", "larq")
    more, outputs = CASES[case]
    model = make_model(f"{LAYER} {more}", CONSTANTS, outputs=outputs)
    graph = fuse(read(save(tmp_path / "m.onnx", model)))
    assert [value.name for value in graph.model.graph.outputs] == list(dict.fromkeys(outputs))
    emitted = load_engine(engine).emit(graph)
    x = {"x": RNG.standard_normal((1, 4, 6, 6)).astype(np.float32)}
    found = opener(engine)(emitted.data, emitted.inputs, emitted.outputs)(x)
    wanted = execute(model, x)
    assert found.keys() == wanted.keys()
    for name, array in wanted.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-5, atol=1e-5)
