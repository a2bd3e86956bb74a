"""Exported files compute what torch computes, from both exporters, and say where they come from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
import torch

from bibench_deploy import files
from bibench_deploy.errors import InputError, OutputPathError, StorageError
from bibench_deploy.zoo.build import ModelSpec, build, deploy, randomize
from bibench_deploy.zoo.export import export_random
from bibench_deploy.zoo.layers import OPERATORS
from bibench_deploy.zoo.onnx_export import Exporter, check_exporter, to_onnx
from bibench_deploy.zoo.registry import DATASETS, OperatorOptions, options

pytestmark = pytest.mark.zoo

DEFAULTS = OperatorOptions()
CASES: list[tuple[str, str, str, Exporter, OperatorOptions]] = [
    *[("resnet20", "cifar10", name, "torchscript", DEFAULTS) for name in ("fp32", *OPERATORS)],
    *[("vgg-tiny", "fashion-mnist", name, "dynamo", DEFAULTS) for name in ("fp32", *OPERATORS)],
    ("vgg-tiny", "fashion-mnist", "bnn", "torchscript", options(sign_zero=0)),
    ("vgg-tiny", "fashion-mnist", "bnn", "torchscript", options(pad_value=1)),
    ("vgg-tiny", "fashion-mnist", "bnn", "dynamo", options(sign_zero=0, pad_value=-1)),
    ("vgg-tiny", "fashion-mnist", "xnor", "torchscript", options(xnor_k="sample", pad_value=1)),
]


@pytest.mark.parametrize(("arch", "dataset", "algorithm", "exporter", "chosen"), CASES)
def test_onnxruntime_agrees_with_torch(
    arch: str, dataset: str, algorithm: str, exporter: Exporter, chosen: OperatorOptions
) -> None:
    known = DATASETS[dataset]
    model = build(ModelSpec(arch, algorithm, known, chosen), seed=1)
    randomize(model, known, seed=1)
    deploy(model)
    proto = to_onnx(model, known.input_shape, exporter=exporter)
    x = torch.randn(48, *known.input_shape, generator=torch.Generator().manual_seed(7))
    with torch.no_grad():
        expected = model(x).numpy()
    logits = _run(proto, x.numpy())
    # A value within a rounding of a threshold flips a sign, so single rows may differ by more.
    close = np.abs(logits - expected).max(axis=1) < 1e-3
    assert close.mean() > 0.9
    assert (logits.argmax(axis=1) == expected.argmax(axis=1)).mean() > 0.9
    assert np.ptp(expected, axis=0).min() > 0.01, "the input makes no difference: nothing was tested"


@pytest.mark.parametrize("exporter", ["torchscript", "dynamo"])
def test_the_batch_size_is_free(exporter: Exporter) -> None:
    known = DATASETS["fashion-mnist"]
    proto = to_onnx(
        build(ModelSpec("vgg-tiny", "xnor", known), seed=0).eval(), known.input_shape, exporter=exporter
    )
    (given,), (result,) = proto.graph.input, proto.graph.output
    assert (given.name, result.name) == ("input", "logits")
    assert [axis.dim_param or axis.dim_value for axis in given.type.tensor_type.shape.dim] == ["N", 1, 28, 28]
    assert [axis.dim_param or axis.dim_value for axis in result.type.tensor_type.shape.dim] == ["N", 10]
    for n in (1, 3):
        assert _run(proto, np.zeros((n, 1, 28, 28), np.float32)).shape == (n, 10)


@pytest.mark.parametrize(
    ("exporter", "opset", "written"),
    [("torchscript", None, 17), ("torchscript", 13, 13), ("dynamo", None, 18), ("dynamo", 20, 20)],
)
def test_operator_set(exporter: Exporter, opset: int | None, written: int) -> None:
    known = DATASETS["fashion-mnist"]
    model = build(ModelSpec("vgg-tiny", "bnn", known), seed=0)
    proto = to_onnx(model, known.input_shape, exporter=exporter, opset=opset)
    assert {entry.domain: entry.version for entry in proto.opset_import}[""] == written


@pytest.mark.parametrize(
    ("exporter", "opset", "text"),
    [
        ("tracing", None, "torchscript, dynamo"),
        ("torchscript", 21, "choose 11 to 20"),
        ("dynamo", 17, "choose 18 to 23"),
    ],
)
def test_what_an_exporter_does_not_write_is_refused(exporter: str, opset: int | None, text: str) -> None:
    with pytest.raises(InputError) as caught:
        check_exporter(exporter, opset)
    assert text in str(caught.value)


def test_the_file_says_where_it_comes_from(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    chosen = options(sign_zero=0, pad_value=-1)
    export_random("vgg-tiny", "bnn", DATASETS["fashion-mnist"], chosen, seed=4, output=path)
    properties = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert properties == {
        "bibench.algorithm": "bnn",
        "bibench.arch": "vgg-tiny",
        "bibench.dataset": "fashion-mnist",
        "bibench.seed": "4",
        "bibench.sign_zero": "0",
        "bibench.padding": "-1",
    }


@pytest.mark.parametrize("exporter", ["torchscript", "dynamo"])
def test_the_same_seed_gives_the_same_file_and_no_paths_of_this_machine(
    tmp_path: Path, exporter: Exporter
) -> None:
    contents = []
    for name in ("a", "b"):
        path = tmp_path / f"{name}.onnx"
        export_random(
            "vgg-tiny", "fda", DATASETS["fashion-mnist"], DEFAULTS, seed=0, exporter=exporter, output=path
        )
        contents.append(path.read_bytes())
    assert contents[0] == contents[1]
    assert str(Path(torch.__file__).parent).encode() not in contents[0]
    assert str(Path(files.__file__).parent).encode() not in contents[0]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m.onnx"
    files.write_atomically(path, b"old")

    def full(source: object, target: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "replace", full)
    with pytest.raises(StorageError, match="disk is full"):
        files.write_atomically(path, b"new")
    assert {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()} == {"m.onnx": b"old"}


@pytest.mark.parametrize(("name", "text"), [("missing/m.onnx", "does not exist"), ("", "is a folder")])
def test_an_output_that_can_not_be_written_is_noticed_first(tmp_path: Path, name: str, text: str) -> None:
    with pytest.raises(OutputPathError) as caught:
        files.check_output(tmp_path / name)
    assert text in str(caught.value)


def _run(proto: onnx.ModelProto, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    chosen = onnxruntime.SessionOptions()
    chosen.intra_op_num_threads = 1
    chosen.log_severity_level = 3
    session = onnxruntime.InferenceSession(proto.SerializeToString(), chosen)
    logits: npt.NDArray[np.float32] = session.run(None, {"input": x})[0]
    return logits
