"""A model so small that an emulated board runs it at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from support.command import bibench
from support.onnx_models import make_model, save

NAME = "tiny"
_BODY = """
a = Conv <pads = [1, 1, 1, 1]> (image, stem)
s = Sign (a)
b = Conv <pads = [1, 1, 1, 1]> (s, signs)
c = GlobalAveragePool (b)
scores = Flatten (c)
"""


def tiny_workspace(folder: Path) -> Path:
    """A workspace with one binarized model of one binary layer and its twin, converted by the command itself."""
    random = np.random.default_rng(7)
    constants = {
        "stem": random.standard_normal((32, 3, 3, 3)).astype(np.float32),
        "signs": random.choice([-1.0, 1.0], (32, 32, 3, 3)).astype(np.float32),
    }
    folder.mkdir(parents=True, exist_ok=True)
    model = make_model(_BODY, constants, inputs="float[1, 3, 8, 8] image", outputs=("scores",))
    save(folder / f"{NAME}.onnx", model)
    done = bibench("convert", f"{NAME}.onnx", "--engine", "native", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "bibench-workspace"
