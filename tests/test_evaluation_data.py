"""A user's arrays become the model's batches, or are refused with what is wrong with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bibench_deploy.converters.reader import read
from bibench_deploy.errors import DataError
from bibench_deploy.evaluation_data import input_specs, load_evaluation, random_rows
from bibench_deploy.graph import BinaryGraph
from support.onnx_models import make_model, save

RNG = np.random.default_rng(6)
F = np.float32
IMAGES = RNG.integers(0, 256, (5, 3, 4, 6), dtype=np.uint8)
MEAN, STD = np.array([0.1, 0.2, 0.3], F), np.array([0.5, 0.6, 0.7], F)
X = RNG.standard_normal((5, 3, 4, 6)).astype(F)


def model(folder: Path, inputs: str = "float[1, 3, 4, 6] x", body: str = "y = Relu (x)") -> BinaryGraph:
    return read(save(folder / "m.onnx", make_model(body, inputs=inputs)))


def npz(folder: Path, **arrays: Any) -> Path:
    path = folder / "data.npz"
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
@pytest.mark.parametrize("name", ["x", "whatever"])
def test_inputs_as_the_model_takes_them(name: str, dtype: Any, tmp_path: Path) -> None:
    found = load_evaluation(npz(tmp_path, **{name: X.astype(dtype)}), model(tmp_path))
    assert found.labels is None
    assert [batch["x"].shape for batch in found.batches] == [(1, 3, 4, 6)] * 5
    np.testing.assert_allclose(np.concatenate([batch["x"] for batch in found.batches]), X.astype(dtype))
    assert {batch["x"].dtype for batch in found.batches} == {np.dtype(F)}


@pytest.mark.parametrize(
    ("mean", "std"),
    [(MEAN, STD), (F(0.25), F(0.5)), (np.array([0.25]), np.array([0.5])), (MEAN.reshape(3, 1, 1), STD)],
)
def test_images_are_normalised(mean: Any, std: Any, tmp_path: Path) -> None:
    found = load_evaluation(npz(tmp_path, images=IMAGES, mean=mean, std=std), model(tmp_path))
    shape = (-1, 1, 1) if np.size(mean) > 1 else ()
    expected = (IMAGES / 255 - np.reshape(mean, shape)) / np.reshape(
        std, (-1, 1, 1) if np.size(std) > 1 else ()
    )
    np.testing.assert_allclose(np.concatenate([batch["x"] for batch in found.batches]), expected, atol=1e-6)


def test_grey_images_need_no_axis_of_channels(tmp_path: Path) -> None:
    graph = model(tmp_path, "float[1, 1, 4, 6] x")
    found = load_evaluation(npz(tmp_path, images=IMAGES[:, 0], mean=F(0), std=F(1)), graph)
    np.testing.assert_allclose(found.batches[3]["x"], IMAGES[3:4, :1] / 255, rtol=1e-6)


def test_images_for_a_model_that_takes_rows_of_numbers(tmp_path: Path) -> None:
    found = load_evaluation(
        npz(tmp_path, images=IMAGES, mean=F(0), std=F(1)), model(tmp_path, "float[1, 72] x")
    )
    np.testing.assert_allclose(found.batches[3]["x"], IMAGES[3:4].reshape(1, 72) / 255, rtol=1e-6)


def test_rows_that_do_not_fill_the_last_batch_are_left_out_with_their_labels(tmp_path: Path) -> None:
    graph = model(tmp_path, "float[2, 3, 4, 6] x")
    found = load_evaluation(npz(tmp_path, x=X, labels=np.array([4, 3, 2, 1, 0])), graph)
    assert [batch["x"].shape[0] for batch in found.batches] == [2, 2]
    assert found.labels is not None
    np.testing.assert_array_equal(found.labels, [4, 3, 2, 1])


def test_several_inputs(tmp_path: Path) -> None:
    graph = model(
        tmp_path, "float[1, 3] a, int64[1, 2] b", "c = Cast <to = 1> (b) d = ReduceSum (c) y = Add (a, d)"
    )
    a, b = RNG.standard_normal((4, 3)).astype(F), np.arange(8).reshape(4, 2)
    found = load_evaluation(npz(tmp_path, a=a, b=b), graph)
    assert [spec.dtype for spec in input_specs(graph)] == ["float32", "int64"]
    np.testing.assert_array_equal(found.batches[2]["a"], a[2:3])
    np.testing.assert_array_equal(found.batches[2]["b"], b[2:3])


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        pytest.param({"x": X[:, :2]}, "has the shape (5, 2, 4, 6)", id="channels missing"),
        pytest.param({"x": X.transpose(0, 2, 3, 1)}, "has the shape (5, 4, 6, 3)", id="channels last"),
        pytest.param({"x": X[0]}, "has the shape (3, 4, 6)", id="a single sample"),
        pytest.param({"x": X[:0]}, "no rows", id="no rows"),
        pytest.param({"x": IMAGES}, "is uint8", id="images that were not normalised"),
        pytest.param({"a": X, "b": X}, "no array 'x'", id="no input of that name"),
        pytest.param({"x": np.where(X > 2, np.nan, X)}, "'x' holds numbers that", id="NaN"),
        pytest.param({"x": np.where(X > 2, np.inf, X)}, "'x' holds numbers that", id="infinite"),
        pytest.param({"x": X, "labels": np.arange(4)}, "labels of shape (4,) for 5", id="a label too few"),
        pytest.param({"x": X, "labels": np.eye(5)}, "labels of shape (5, 5)", id="labels one-hot"),
        pytest.param({"x": X, "labels": np.array(list("abcde"))}, "labels are <U1", id="labels of text"),
        pytest.param({"x": X, "labels": np.arange(5) / 2}, "labels are float64", id="labels of fractions"),
        pytest.param({"images": IMAGES}, "with 'mean' and 'std' beside it", id="images without mean"),
        pytest.param(
            {"images": IMAGES / 255, "mean": MEAN, "std": STD}, "must be uint8", id="images of floats"
        ),
        pytest.param(
            {"images": IMAGES.transpose(0, 2, 3, 1), "mean": MEAN, "std": STD},
            "'images' has the shape (5, 4, 6, 3)",
            id="images with channels last",
        ),
        pytest.param(
            {"images": IMAGES.transpose(0, 1, 3, 2), "mean": MEAN, "std": STD},
            "'images' has the shape (5, 3, 6, 4)",
            id="images on their side",
        ),
        pytest.param(
            {"images": IMAGES[:, 0], "mean": MEAN, "std": STD}, "'images' has the shape", id="grey for colour"
        ),
        pytest.param(
            {"images": IMAGES, "mean": MEAN[:2], "std": STD}, "'mean' has the shape (2,)", id="means missing"
        ),
        pytest.param({"images": IMAGES, "mean": MEAN, "std": 0 * STD}, "'std' must be positive", id="std 0"),
        pytest.param(
            {"images": IMAGES, "mean": MEAN * np.nan, "std": STD}, "not finite", id="mean not a number"
        ),
    ],
)  # fmt: skip
def test_refused(arrays: dict[str, Any], says: str, tmp_path: Path) -> None:
    path = npz(tmp_path, **arrays)
    with pytest.raises(DataError) as refusal:
        load_evaluation(path, model(tmp_path))
    assert says in refusal.value.message
    assert refusal.value.where == str(path)
    assert refusal.value.remedy
    assert refusal.value.exit_code == 2


def test_fewer_rows_than_a_batch_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="5 rows, but the model takes 8 at once"):
        load_evaluation(npz(tmp_path, x=X), model(tmp_path, "float[8, 3, 4, 6] x"))


@pytest.mark.parametrize(
    "write",
    [
        pytest.param(lambda path: None, id="missing"),
        pytest.param(lambda path: path.mkdir(), id="a folder"),
        pytest.param(lambda path: path.write_bytes(b""), id="empty"),
        pytest.param(lambda path: path.write_bytes(b"PK\x03\x04 and no more"), id="truncated"),
        pytest.param(lambda path: path.write_bytes(bytes(range(256))), id="random bytes"),
        pytest.param(lambda path: np.save(path.open("wb"), X), id="an .npy"),
        pytest.param(lambda path: np.savez(path, x=np.array([object()])), id="pickled objects"),
    ],
)
def test_a_file_that_is_no_npz_is_refused(write: Any, tmp_path: Path) -> None:
    graph = model(tmp_path)
    path = tmp_path / "data.npz"
    write(path)
    with pytest.raises(DataError) as refusal:
        load_evaluation(path, graph)
    assert refusal.value.where == str(path)


def test_random_rows_are_the_same_every_time(tmp_path: Path) -> None:
    graph = model(tmp_path, "float[2, 3, 4, 6] x")
    first, again, other = (random_rows(graph, seed) for seed in (0, 0, 1))
    assert len(first) == 32
    assert {row["x"].shape for row in first} == {(2, 3, 4, 6)}
    numbers = np.concatenate([row["x"] for row in first])
    np.testing.assert_array_equal(numbers, np.concatenate([row["x"] for row in again]))
    assert (numbers != np.concatenate([row["x"] for row in other])).any()
    assert abs(numbers.mean()) < 0.1
    assert abs(numbers.std() - 1) < 0.1
