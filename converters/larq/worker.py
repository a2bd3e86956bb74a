"""Runs LCE's converter in a process of its own; ``lce.convert`` starts it by path; it imports nothing else.

``python worker.py CONVERTER GRAPH RESULT NAMES SHAPES OUTPUTS TARGET``: names separated by commas, shapes as
``1x32x32x3``.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
from pathlib import Path


def main(converter: str, graph: str, result: str, names: str, shapes: str, outputs: str, target: str) -> None:
    """Convert one GraphDef; errors of the converter end the process with its message on stderr."""
    loader = importlib.machinery.ExtensionFileLoader("_tf_tfl_flatbuffer", converter)
    spec = importlib.util.spec_from_file_location("_tf_tfl_flatbuffer", converter, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    inputs = names.split(",")
    data = module.convert_graphdef_to_tflite_flatbuffer(
        Path(graph).read_bytes(),
        inputs,
        ["DT_FLOAT"] * len(inputs),
        [[int(size) for size in shape.split("x")] for shape in shapes.split(",")],
        outputs.split(","),
        False,
        target,
        None,
    )
    Path(result).write_bytes(data)


if __name__ == "__main__":
    main(*sys.argv[1:])
