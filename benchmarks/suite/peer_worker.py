"""A process that times a model in a library which is not an engine of the tool.

    python peer_worker.py onnxruntime|litert

It speaks the protocol of ``bibench_deploy.runners.worker``. onnxruntime has its own thread pool and all its
optimisations; LiteRT executes with XNNPACK, its default.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bibench_deploy.runners.worker import Opened, main, time_runs


def onnxruntime_call(path: Path, threads: int) -> Callable[[], object]:
    """One execution of an ONNX model on a standard normal input."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    feeds = {given.name: _values([1, *given.shape[1:]])}
    return lambda: session.run(None, feeds)


def litert_call(path: Path, threads: int) -> Callable[[], object]:
    """One execution of a .tflite model without custom operators; its input is set once."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=threads)
    interpreter.allocate_tensors()
    (given,) = interpreter.get_input_details()
    interpreter.set_tensor(given["index"], _values(given["shape"]))
    invoke: Callable[[], object] = interpreter.invoke
    return invoke


CALLS = {"onnxruntime": onnxruntime_call, "litert": litert_call}


def opened(library: str, path: Path, threads: int) -> Opened:
    """A model, open; there is no choice of kernel."""
    return Opened(partial(time_runs, CALLS[library](path, threads)))


def _values(shape: Any) -> Any:
    return np.random.default_rng(0).standard_normal([int(size) for size in shape]).astype(np.float32)


if __name__ == "__main__":
    main(partial(opened, sys.argv[1]))
