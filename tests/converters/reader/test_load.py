"""What is read is the reference model, static and checked; what is not read is refused in one message."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, parser

from bibench_deploy.converters.reader import read
from bibench_deploy.converters.reader.load import load
from support.bad_models import BAD_MODELS, BadModel, good, weights, with_external_data
from support.onnx_models import execute, make_model, save

X = np.random.default_rng(5).standard_normal((4, 4, 6, 6)).astype(np.float32)


@pytest.mark.parametrize("bad", BAD_MODELS, ids=lambda bad: bad.name)
def test_refused(bad: BadModel, tmp_path: Path) -> None:
    """With the file, what is wrong, and a way out; whatever caused it."""
    path = bad.make(tmp_path)
    with pytest.raises(bad.error) as refusal:
        read(path)
    error = refusal.value
    assert type(error) is bad.error
    assert error.exit_code == 2
    assert bad.says in error.message
    assert "\n" not in error.message
    assert str(path) in (error.where or "")
    assert error.remedy


def test_a_file_is_read_whole_or_not_at_all(tmp_path: Path) -> None:
    """Cut anywhere, the model either misses something, and is refused, or has lost nothing that counts."""
    proto = make_model(
        "a = Conv (x, w) b = Relu (a) y = Conv (b, v)", {"w": weights(2, 4, 3, 3), "v": weights(2, 2, 1, 1)}
    )
    data = proto.SerializeToString()
    for length in [*range(1, len(data), 7), len(data) - 1]:
        path = tmp_path / "cut.onnx"
        path.write_bytes(data[:length])
        with pytest.raises(Exception) as refusal:  # noqa: PT011 - the type is asserted below
            load(path)
        assert type(refusal.value).__name__ in ("ModelFileError", "UnsupportedModelError"), (
            length,
            refusal.value,
        )


@pytest.mark.parametrize("opset", [11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21])
def test_operator_sets(opset: int, tmp_path: Path) -> None:
    """Reductions, Squeeze, Pad, Clip, Softmax and BatchNormalization were all spelled otherwise before 18."""
    axes = "<axes = [2, 3], keepdims = 0>" if opset < 18 else "<keepdims = 0>"
    mean = f"m = ReduceMean {axes} (c)" if opset < 18 else f"m = ReduceMean {axes} (c, axes)"
    if opset < 13:
        squeeze = "u = Unsqueeze <axes = [0]> (m) q = Squeeze <axes = [0]> (u)"
    else:
        squeeze = "u = Unsqueeze (m, first) q = Squeeze (u, first)"
    body = (
        f"p = Pad (x, pads) c0 = Conv (p, w) n = BatchNormalization (c0, g, g, g, g) c = Clip (n, low, high) \
        {mean} {squeeze} y = Softmax <axis = 1> (q)"
    )
    constants: dict[str, Any] = {
        "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1]),
        "w": weights(3, 4, 3, 3),
        "g": np.array([1, 2, 3], np.float32),
        "low": np.float32(-1),
        "high": np.float32(4),
        "axes": np.array([2, 3]),
        "first": np.array([0]),
    }
    model = make_model(body, constants, opset=opset)
    path = save(tmp_path / "m.onnx", model)
    source = load(path)
    (standard,) = [entry.version for entry in source.proto.opset_import if entry.domain in ("", "ai.onnx")]
    assert standard == max(opset, 18)
    feeds = {"x": X[:1]}
    np.testing.assert_allclose(execute(source.proto, feeds)["y"], execute(model, feeds)["y"], rtol=1e-6)
    np.testing.assert_allclose(execute(read(path).proto(), feeds)["y"], execute(model, feeds)["y"], rtol=1e-6)


def test_the_newest_operator_set_of_the_installed_onnx(tmp_path: Path) -> None:
    newest = onnx.defs.onnx_opset_version()
    source = load(save(tmp_path / "m.onnx", good(opset=newest)))
    assert [entry.version for entry in source.proto.opset_import] == [newest]


@pytest.mark.parametrize("axis", ["N", "batch_size", "1", "0", "?"])
def test_a_free_batch_becomes_1(axis: str, tmp_path: Path) -> None:
    model = good(inputs=f"float[{axis if axis != '?' else 'N'}, 4, 6, 6] x")
    if axis == "?":
        model.graph.input[0].type.tensor_type.shape.dim[0].Clear()
    source = load(save(tmp_path / "m.onnx", model))
    dims = source.proto.graph.input[0].type.tensor_type.shape.dim
    assert [dim.dim_value for dim in dims] == [1, 4, 6, 6]
    output = source.proto.graph.output[0].type.tensor_type.shape.dim
    assert [dim.dim_value for dim in output] == [1, 2, 4, 4]


def test_shapes_that_were_stored_for_a_free_batch_are_forgotten(tmp_path: Path) -> None:
    model = good(body="v = Relu (x) y = Conv (v, w)", inputs="float[N, 4, 6, 6] x")
    model.graph.value_info.append(helper.make_tensor_value_info("v", TensorProto.FLOAT, ["N", 4, 6, 6]))
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 2, 4, 4]))
    source = load(save(tmp_path / "m.onnx", model))
    (value,) = [value for value in source.proto.graph.value_info if value.name == "v"]
    assert [dim.dim_value for dim in value.type.tensor_type.shape.dim] == [1, 4, 6, 6]


def test_a_fixed_batch_stays(tmp_path: Path) -> None:
    model = good(inputs="float[4, 4, 6, 6] x")
    source = load(save(tmp_path / "m.onnx", model))
    assert execute(source.proto, {"x": X})["y"].shape == (4, 2, 4, 4)


def test_functions_are_inlined(tmp_path: Path) -> None:
    """As torch's newer exporter writes them."""
    model = parser.parse_model(
        """
        <ir_version: 8, opset_import: ["": 17, "local": 1]>
        m (float[1, 4, 6, 6] x) => (float[1, 4, 6, 6] y) { v = local.twice (x) y = local.twice (v) }
        <domain: "local", opset_import: ["": 17]> twice (a) => (b) { b = Add (a, a) }
        """
    )
    source = load(save(tmp_path / "m.onnx", model))
    assert [node.op_type for node in source.proto.graph.node] == ["Add", "Add"]
    assert not source.proto.functions
    np.testing.assert_allclose(execute(source.proto, {"x": X[:1]})["y"], 4 * X[:1], rtol=1e-6)


def test_external_data_beside_the_model(tmp_path: Path) -> None:
    path = with_external_data(tmp_path)
    source = load(path)
    np.testing.assert_array_equal(
        execute(source.proto, {"x": X[:1]})["y"], execute(good(), {"x": X[:1]})["y"]
    )
    data = path.read_bytes() + (tmp_path / "data.bin").read_bytes()
    assert source.sha256 == hashlib.sha256(data).hexdigest()


def test_external_data_in_a_folder_below_and_behind_a_link_within(tmp_path: Path) -> None:
    path = with_external_data(tmp_path, location="sub/data.bin")
    (tmp_path / "sub").mkdir()
    (tmp_path / "data.bin").rename(tmp_path / "store.bin")
    (tmp_path / "sub" / "data.bin").symlink_to("../store.bin")
    assert execute(load(path).proto, {"x": X[:1]})["y"].shape == (1, 2, 4, 4)


def test_the_model_itself_may_be_a_link(tmp_path: Path) -> None:
    """Its data lies where the file is, not where the link is."""
    (tmp_path / "real").mkdir()
    path = with_external_data(tmp_path / "real")
    link = tmp_path / "link.onnx"
    link.symlink_to(path)
    assert load(link).name == "link"


def test_other_data_gives_another_sha256(tmp_path: Path) -> None:
    path = with_external_data(tmp_path)
    before = load(path).sha256
    data = bytearray((tmp_path / "data.bin").read_bytes())
    data[0] ^= 1
    (tmp_path / "data.bin").write_bytes(data)
    assert load(path).sha256 != before


def test_metadata_and_name(tmp_path: Path) -> None:
    model = good()
    helper.set_model_props(model, {"bibench.algorithm": "recu", "note": "μ"})
    source = load(save(tmp_path / "ein netz.v2.onnx", model))
    assert source.metadata == {"bibench.algorithm": "recu", "note": "μ"}
    assert source.name == "ein netz.v2"


def test_infinities_that_are_limits_are_no_weights(tmp_path: Path) -> None:
    """A mask of −∞ before a softmax, a clip that is open at one side."""
    constants = {
        "mask": np.where(np.eye(6), 0, -np.inf).astype(np.float32),
        "low": np.float32(0),
        "high": np.float32(np.inf),
    }
    model = make_model("c = Clip (x, low, high) d = Add (c, mask) y = Softmax (d)", constants)
    feeds = {"x": X[:1]}
    source = load(save(tmp_path / "m.onnx", model))
    np.testing.assert_allclose(execute(source.proto, feeds)["y"], execute(model, feeds)["y"], rtol=1e-6)
