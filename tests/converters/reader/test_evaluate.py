"""How onnxruntime is asked: what it gives is what the model says."""

from __future__ import annotations

import numpy as np
import pytest

from bibench_deploy.converters.reader.evaluate import session
from support.onnx_models import make_model

RANDOM = np.random.default_rng(1)
SIGNS = np.sign(RANDOM.standard_normal((16, 32, 3, 3))).astype(np.float32)
CHANNEL = (RANDOM.random((16, 1, 1)) + 0.1).astype(np.float32)


@pytest.mark.parametrize(
    "behind",
    [
        "y = Mul (c, m)",
        "y = BatchNormalization (c, v, zero, zero, v)",
        "d = Mul (c, m) y = BatchNormalization (d, v, zero, zero, v)",
    ],
)
def test_a_sum_of_signs_that_is_zero_stays_zero(behind: str) -> None:
    """A sign may follow. With the factor multiplied into the weights, onnxruntime's own way, it does not."""
    model = make_model(
        f"c = Conv (x, w) {behind}",
        {"w": SIGNS, "m": CHANNEL, "v": CHANNEL.reshape(-1), "zero": np.zeros(16, np.float32)},
        inputs="float[1, 32, 9, 9] x",
        outputs=("y", "c"),
    )
    x = np.sign(RANDOM.standard_normal((1, 32, 9, 9))).astype(np.float32)
    (sums,) = session(model, optimize=False).run(["c"], {"x": x})
    del model.graph.output[1]  # a value that is shown is not fused
    (got,) = session(model).run(None, {"x": x})
    assert (sums == 0).sum() > 10
    assert ((got == 0) == (sums == 0)).all()
