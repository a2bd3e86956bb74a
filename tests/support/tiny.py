"""Small artefacts, made with LCE's own converter from a GraphDef, without this project's converter.

The network, on one 8×8 image of 3 channels in TensorFlow's layout: 3×3 convolution to 32 channels, and, where
it is binarized, a sign; then a 3×3 convolution of ±1 weights; then the mean over the image: 32 numbers.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from bibench_deploy.converters.manifest import Manifest, SourceModel, Tensor, manifest_path

SIZE, CHANNELS, FEATURES = 8, 3, 32
SOURCE_SHA256 = hashlib.sha256(b"the tiny model").hexdigest()


def weights() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The two kernels, HWIO."""
    random = np.random.default_rng(7)
    stem = random.standard_normal((3, 3, CHANNELS, FEATURES)).astype(np.float32)
    signs = np.where(random.random((3, 3, FEATURES, FEATURES)) < 0.5, -1, 1).astype(np.float32)
    return stem, signs


@cache
def tflite(binarized: bool) -> bytes:
    """The artefact of the network."""
    from tensorboard.compat.proto import graph_pb2, types_pb2

    from bibench_deploy.converters.larq.lce import convert

    stem, signs = weights()
    graph = graph_pb2.GraphDef()
    graph.versions.producer = 1882

    def node(op: str, name: str, *inputs: str) -> Any:
        made = graph.node.add()
        made.op, made.name = op, name
        made.input.extend(inputs)
        if op not in ("Const", "Placeholder"):
            made.attr["T"].type = types_pb2.DT_FLOAT
        return made

    def const(name: str, value: np.ndarray[Any, Any]) -> str:
        made = node("Const", name)
        dtype = types_pb2.DT_INT32 if value.dtype == np.int32 else types_pb2.DT_FLOAT
        made.attr["dtype"].type = dtype
        tensor = made.attr["value"].tensor
        tensor.dtype = dtype
        for size in value.shape:
            tensor.tensor_shape.dim.add().size = size
        tensor.tensor_content = value.tobytes()
        return name

    def conv(name: str, x: str, kernel: str) -> str:
        made = node("Conv2D", name, x, kernel)
        made.attr["strides"].list.i.extend([1, 1, 1, 1])
        made.attr["dilations"].list.i.extend([1, 1, 1, 1])
        made.attr["padding"].s = b"SAME"
        made.attr["data_format"].s = b"NHWC"
        return name

    placeholder = node("Placeholder", "x")
    placeholder.attr["dtype"].type = types_pb2.DT_FLOAT
    for size in (1, SIZE, SIZE, CHANNELS):
        placeholder.attr["shape"].shape.dim.add().size = size
    features = conv("stem", "x", const("stem_kernel", stem))
    if binarized:
        zero, one = (const(name, np.array(value, np.float32)) for name, value in (("zero", 0), ("one", 1)))
        minus = const("minus", np.array(-1, np.float32))
        node("GreaterEqual", "positive", features, zero)
        node("SelectV2", "sign", "positive", one, minus)
        features = "sign"
    mixed = conv("mixed", features, const("signs", signs))
    mean = node("Mean", "y", mixed, const("axes", np.array([1, 2], np.int32)))
    mean.attr["Tidx"].type = types_pb2.DT_INT32
    mean.attr["keep_dims"].b = False
    return convert(graph.SerializeToString(), [("x", (1, SIZE, SIZE, CHANNELS))], ["y"])


def add_artefact(workspace: Path, variant: str = "bnn", name: str = "tiny", **facts: Any) -> Path:
    """Put an artefact with a manifest into a workspace; returns its path."""
    workspace.mkdir(parents=True, exist_ok=True)
    data = tflite(binarized=variant != "fp32")
    stem = name if variant != "fp32" else f"{name}-fp32"
    path = workspace / f"{stem}.larq.tflite"
    path.write_bytes(data)
    manifest = Manifest(
        engine="larq",
        model=name,
        variant=variant,
        file=path.name,
        sha256=hashlib.sha256(data).hexdigest(),
        size_bytes=len(data),
        source=SourceModel(file=f"{name}.onnx", sha256=SOURCE_SHA256),
        inputs=[
            Tensor(
                name="image",
                shape=[1, CHANNELS, SIZE, SIZE],
                artefact_shape=[1, SIZE, SIZE, CHANNELS],
                perm=[0, 3, 1, 2],
            )
        ],
        outputs=[Tensor(name="scores", shape=[1, FEATURES], artefact_shape=[1, FEATURES])],
        binary_ops=0 if variant == "fp32" else 1,
        binary_layers=0 if variant == "fp32" else 1,
        versions={"larq-compute-engine": "0.16.0"},
        verified=True,
    ).model_copy(update=facts)
    manifest_path(path).write_text(manifest.model_dump_json(indent=2), encoding="utf-8")
    return path


def expected(images: np.ndarray[Any, Any], binarized: bool) -> np.ndarray[Any, Any]:
    """What the network computes, by numpy, for images in NCHW."""
    stem, signs = weights()
    features = _conv(images, stem)
    if binarized:
        features = np.where(features >= 0, np.float32(1), np.float32(-1))
    return np.asarray(_conv(features, signs).mean(axis=(2, 3)), dtype=np.float32)


def _conv(x: np.ndarray[Any, Any], kernel: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """3×3, stride 1, zero padding."""
    height, width = x.shape[2:]
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    taps = (
        np.einsum("nchw,co->nohw", padded[:, :, i : i + height, j : j + width], kernel[i, j])
        for i in range(3)
        for j in range(3)
    )
    return np.asarray(sum(taps))
