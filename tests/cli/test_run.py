"""``bibench-deploy run`` as a user meets it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from support.command import ORDINARY, bibench, bibench_here, is_clean, small_disk, started
from support.tiny import CHANNELS, FEATURES, SIZE, add_artefact, expected

pytestmark = pytest.mark.larq

Array = np.ndarray[Any, Any]


@pytest.fixture(scope="module")
def images() -> Array:
    return np.random.default_rng(1).standard_normal((5, CHANNELS, SIZE, SIZE)).astype(np.float32)


@pytest.fixture
def folder(tmp_path: Path, images: Array) -> Path:
    """tiny.larq.tflite and its twin, x.npz with five images."""
    add_artefact(tmp_path, "bnn")
    add_artefact(tmp_path, "fp32")
    np.savez(tmp_path / "x.npz", image=images)
    return tmp_path


def run(folder: Path, artefact: str, *options: str, x: str = "x.npz") -> subprocess.CompletedProcess[str]:
    return bibench_here("run", artefact, "--input", x, "--output", "y.npz", *options, cwd=folder)


def outputs(folder: Path) -> dict[str, Array]:
    with np.load(folder / "y.npz") as loaded:
        return dict(loaded)


def write_onnx(file: Path, batch: int | str = "N") -> None:
    """A model of two inputs: sum = a + b, and first = a, on rows of four numbers."""
    shape = [batch, 4]
    a, b, total, first = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("a", "b", "sum", "first")
    )
    nodes = [helper.make_node("Add", ["a", "b"], ["sum"]), helper.make_node("Identity", ["a"], ["first"])]
    graph = helper.make_graph(nodes, "two", [a, b], [total, first])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, file)


@pytest.mark.parametrize(
    ("artefact", "binarized"), [("tiny.larq.tflite", True), ("tiny-fp32.larq.tflite", False)]
)
def test_the_outputs_are_those_of_the_network(
    folder: Path, images: Array, artefact: str, binarized: bool
) -> None:
    done = run(folder, artefact)
    assert done.returncode == 0, done.stderr
    assert "5 rows with larq" in done.stdout
    scores = outputs(folder)["scores"]
    assert scores.shape == (5, FEATURES)
    np.testing.assert_allclose(scores, expected(images, binarized), atol=1e-4)


def test_json_tells_what_ran_and_what_was_written(folder: Path) -> None:
    done = run(folder, "tiny.larq.tflite", "--threads", "2", "--json")
    document = json.loads(done.stdout)
    assert document["outputs"] == [{"name": "scores", "shape": [5, FEATURES], "dtype": "float32"}]
    assert (document["engine"], document["rows"], document["threads"]) == ("larq", 5, 2)
    assert document["kernel"] in ("default", "reference", "indirect")


def test_a_lone_array_may_have_any_name(folder: Path, images: Array) -> None:
    np.savez(folder / "x.npz", images)
    assert run(folder, "tiny.larq.tflite").returncode == 0
    assert outputs(folder)["scores"].shape == (5, FEATURES)


def test_arrays_that_the_model_does_not_take_are_named(folder: Path, images: Array) -> None:
    np.savez(folder / "x.npz", image=images, labels=np.arange(5))
    done = run(folder, "tiny.larq.tflite")
    assert done.returncode == 0
    assert "no input 'labels': not used" in done.stderr


@pytest.mark.parametrize("batch", ["N", 1, 4])
def test_an_onnx_model_with_two_inputs_is_executed(tmp_path: Path, batch: int | str) -> None:
    write_onnx(tmp_path / "two.onnx", batch)
    a, b = np.random.default_rng(2).standard_normal((2, 70, 4)).astype(np.float32)
    np.savez(tmp_path / "x.npz", a=a, b=b)
    done = run(tmp_path, "two.onnx", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["engine"] == "onnxruntime"
    found = outputs(tmp_path)
    assert np.array_equal(found["sum"], a + b)
    assert np.array_equal(found["first"], a)


@pytest.mark.parametrize(
    ("arrays", "why"),
    [
        ({"image": np.ones((2, SIZE, SIZE, CHANNELS), np.float32)}, "has the shape (2, 8, 8, 3)"),
        ({"image": np.ones((CHANNELS, SIZE, SIZE), np.float32)}, "has the shape (3, 8, 8)"),
        ({"image": np.ones((2, CHANNELS, SIZE, SIZE), np.uint8)}, "'image' is uint8"),
        ({"image": np.ones((0, CHANNELS, SIZE, SIZE), np.float32)}, "has no rows"),
        ({"a": np.ones(3), "b": np.ones(3)}, "no array 'image'; it holds 'a', 'b'"),
    ],
    ids=["NHWC", "no rows axis", "uint8", "empty", "names"],
)
def test_inputs_that_do_not_fit_are_refused_with_what_was_expected(
    folder: Path, arrays: dict[str, Array], why: str
) -> None:
    np.savez(folder / "x.npz", **arrays)  # type: ignore[arg-type]
    done = run(folder, "tiny.larq.tflite")
    assert done.returncode == 2
    assert why in done.stderr
    assert "the model takes 'image' float32 (N, 3, 8, 8)" in done.stderr
    assert is_clean(done.stderr)
    assert not (folder / "y.npz").exists()


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("absent.tflite", "--input", "x.npz", "--output", "y.npz"), "no such file"),
        (("absent.onnx", "--input", "x.npz", "--output", "y.npz"), "no such file"),
        (("x.npz", "--input", "x.npz", "--output", "y.npz"), "no manifest"),
        (("tiny.larq.tflite", "--input", "absent.npz", "--output", "y.npz"), "no such file"),
        (("tiny.larq.tflite", "--input", "tiny.larq.tflite", "--output", "y.npz"), "not an .npz file"),
        (("tiny.larq.tflite", "--input", "x.npz", "--output", "absent/y.npz"), "no such folder"),
        (("tiny.larq.tflite", "--input", "x.npz", "--output", "/dev/full"), "not a regular file"),
        (("tiny.larq.tflite", "--input", "x.npz", "--output", "."), "not a regular file"),
        (("tiny.larq.tflite", "--input", "x.npz"), "Missing option"),
        (("tiny.larq.tflite", "--input", "x.npz", "--output", "y.npz", "--threads", "0"), "--threads"),
    ],
)
def test_wrong_usage_ends_with_2_and_a_reason(folder: Path, arguments: tuple[str, ...], why: str) -> None:
    done = bibench_here("run", *arguments, cwd=folder)
    assert done.returncode == 2, done.stderr
    assert why in done.stderr
    assert is_clean(done.stderr)
    assert not (folder / "y.npz").exists()


def test_a_file_that_is_no_onnx_model_is_refused(folder: Path) -> None:
    (folder / "broken.onnx").write_bytes(b"\x08\x07nonsense")
    done = run(folder, "broken.onnx")
    assert done.returncode == 2
    assert "onnxruntime can't load it" in done.stderr
    assert is_clean(done.stderr)


def test_a_replaced_artefact_is_not_executed(folder: Path) -> None:
    shutil.copy(folder / "tiny-fp32.larq.tflite", folder / "tiny.larq.tflite")
    done = run(folder, "tiny.larq.tflite")
    assert done.returncode == 2
    assert "sha256 is not the one in its manifest" in done.stderr


def test_a_failure_leaves_the_last_output_alone(folder: Path) -> None:
    assert run(folder, "tiny.larq.tflite").returncode == 0
    before = (folder / "y.npz").read_bytes()
    np.savez(folder / "x.npz", image=np.ones(3))
    assert run(folder, "tiny.larq.tflite").returncode == 2
    assert (folder / "y.npz").read_bytes() == before


def test_a_full_disk_is_said_and_leaves_nothing(folder: Path) -> None:
    np.savez(folder / "many.npz", image=np.ones((600, CHANNELS, SIZE, SIZE), np.float32))
    with small_disk(folder / "disk", "64k") as disk:
        arguments = ("tiny.larq.tflite", "--input", "many.npz", "--output", disk / "y.npz")
        done = bibench("run", *arguments, cwd=folder)
        assert done.returncode == 3, done.stderr
        assert "the disk is full" in done.stderr
        assert is_clean(done.stderr)
        assert os.listdir(disk) == []


def test_a_folder_that_may_not_be_written(folder: Path) -> None:
    (folder / "locked").mkdir(mode=0o555)
    arguments = ("tiny.larq.tflite", "--input", "x.npz", "--output", "locked/y.npz")
    done = bibench("run", *arguments, cwd=folder, prefix=ORDINARY)
    assert done.returncode == 2, done.stderr
    assert "permission" in done.stderr.lower()
    assert is_clean(done.stderr)


def test_ctrl_c_leaves_nothing(folder: Path) -> None:
    """The signal comes when the engine is loaded; so many rows take it seconds."""
    np.savez(folder / "many.npz", image=np.ones((400_000, CHANNELS, SIZE, SIZE), np.float16))
    arguments = ("tiny-fp32.larq.tflite", "--input", "many.npz", "--output", "y.npz")
    before = sorted(os.listdir(folder))
    with started("run", *arguments, cwd=folder) as process:
        wait_until_it_computes(process)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert is_clean(err)
    assert out == ""
    assert sorted(os.listdir(folder)) == before


def wait_until_it_computes(process: subprocess.Popen[str]) -> None:
    """Until the engine's shared object is loaded."""
    if not sys.platform.startswith("linux"):
        pytest.skip("needs /proc")
    maps = Path(f"/proc/{process.pid}/maps")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None
        with contextlib.suppress(OSError):
            if "interpreter_wrapper_lite" in maps.read_text():
                return
        time.sleep(0.01)
    pytest.fail("the engine was not loaded within 60 s")
