"""bibench-deploy: binarized neural networks on real edge devices.

The Python API has the command line's nouns::

    import bibench_deploy as bd

    graph = bd.inspect("model.onnx")              # BinaryGraph: .layers, .binary_layers
    verdicts = bd.check("model.onnx")             # [Assessment]: .engine, .verdict, .reasons
    result = bd.convert("model.onnx", "folder")   # Conversion: .artefacts, .refused
    outputs = bd.run("folder/model.larq.tflite", {"input": x})

Importing this package imports nothing heavy; each function imports what it needs.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bibench_deploy.api import check, convert, inspect, run

__all__ = ["check", "convert", "inspect", "run"]

# onnxruntime's wheels for Linux report their use to Microsoft over HTTPS, from a data base in the user's home. Who
# converts a model here agreed to nothing of it. onnxruntime reads the variable when it starts; 0 is left as it is.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


def __getattr__(name: str) -> Any:
    if name in __all__:
        from bibench_deploy import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
