"""A user's arrays: what fits a model, what is refused and why, and how rows go through batches."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bibench_deploy.errors import DataError, OutputPathError
from bibench_deploy.runners.arrays import InputSpec, execute, match_inputs, read_npz, write_npz

IMAGE = InputSpec("image", (1, 3, 8, 8))
MASK = InputSpec("mask", (1, 5), "int64")


def images(rows: int = 2, dtype: str = "float32") -> np.ndarray[Any, Any]:
    return np.ones((rows, 3, 8, 8), dtype)


def test_arrays_are_taken_by_name_and_the_others_are_named() -> None:
    taken, unused = match_inputs({"labels": np.zeros(2), "image": images()}, [IMAGE], "x.npz")
    assert list(taken) == ["image"]
    assert unused == ["labels"]


def test_a_lone_array_fits_a_lone_input_under_any_name() -> None:
    taken, unused = match_inputs({"arr_0": images()}, [IMAGE], "x.npz")
    assert taken["image"].shape == (2, 3, 8, 8)
    assert unused == []


@pytest.mark.parametrize("dtype", ["float16", "float64", ">f4"])
def test_floating_point_is_rounded_to_the_models_type(dtype: str) -> None:
    taken, _ = match_inputs({"image": images(dtype=dtype)}, [IMAGE], "x.npz")
    assert taken["image"].dtype == np.float32


def test_a_free_size_takes_any() -> None:
    spec = InputSpec("image", (None, 3, None, 8))
    taken, _ = match_inputs({"image": np.ones((4, 3, 99, 8), np.float32)}, [spec], "x.npz")
    assert taken["image"].shape == (4, 3, 99, 8)


@pytest.mark.parametrize(
    ("arrays", "specs", "why"),
    [
        ({"a": images(), "b": images()}, [IMAGE], "no array 'image'; it holds 'a', 'b'"),
        ({}, [IMAGE], "no array 'image'; it holds nothing"),
        ({"image": images()}, [IMAGE, MASK], "no array 'mask'"),
        ({"x": images()}, [IMAGE, MASK], "no array 'image', 'mask'"),
        ({"image": images()[0]}, [IMAGE], r"'image' has the shape \(3, 8, 8\)"),
        ({"image": images().transpose(0, 2, 3, 1)}, [IMAGE], r"'image' has the shape \(2, 8, 8, 3\)"),
        ({"image": np.float32(1)}, [IMAGE], r"'image' has the shape \(\)"),
        ({"image": images(0)}, [IMAGE], "'image' has no rows"),
        ({"image": images(dtype="uint8")}, [IMAGE], "'image' is uint8"),
        ({"image": images(dtype="complex64")}, [IMAGE], "'image' is complex64"),
        ({"image": images().astype(str)}, [IMAGE], "'image' is <U"),
        (
            {"image": images(2), "mask": np.ones((3, 5), np.int64)},
            [IMAGE, MASK],
            "different numbers of rows: {'image': 2, 'mask': 3}",
        ),
        ({"image": images(), "mask": np.ones((2, 5), np.int32)}, [IMAGE, MASK], "'mask' is int32"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_was_expected(
    arrays: dict[str, Any], specs: list[InputSpec], why: str
) -> None:
    with pytest.raises(DataError, match=why) as caught:
        match_inputs(arrays, specs, "x.npz")
    assert caught.value.where == "x.npz"
    assert "'image' float32 (N, 3, 8, 8)" in str(caught.value)


def not_numpy(file: Path) -> None:
    file.write_bytes(b"not an archive")


def empty(file: Path) -> None:
    file.write_bytes(b"")


def cut_off(file: Path) -> None:
    np.savez(file, image=images())
    file.write_bytes(file.read_bytes()[:-100])


def flipped_bit(file: Path) -> None:
    np.savez_compressed(file, image=np.random.default_rng(0).random((9, 9, 9)))
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0x40
    file.write_bytes(bytes(data))


def single_array(file: Path) -> None:
    with file.open("wb") as stream:
        np.save(stream, images())


def pickled(file: Path) -> None:
    np.savez(file, image=np.array([{"a": 1}], dtype=object))


@pytest.mark.parametrize("make", [not_numpy, empty, cut_off, flipped_bit, single_array, pickled])
def test_a_file_that_is_no_npz_of_plain_arrays_is_refused(tmp_path: Path, make: Any) -> None:
    file = tmp_path / "x.npz"
    make(file)
    with pytest.raises(DataError) as caught:
        read_npz(file)
    assert caught.value.where == str(file)
    assert "numpy.savez" in str(caught.value)


@pytest.mark.parametrize("name", ["absent.npz", ""])
def test_a_missing_file_or_a_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_npz(tmp_path / name)


@given(st.integers(1, 9), st.integers(1, 5))
def test_every_row_comes_back_once_whatever_the_batch(rows: int, batch: int) -> None:
    sizes = []

    def double(feeds: dict[str, np.ndarray[Any, Any]]) -> dict[str, np.ndarray[Any, Any]]:
        sizes.append(len(feeds["x"]))
        return {"y": 2 * feeds["x"]}

    x = np.arange(rows * 3, dtype=np.float32).reshape(rows, 3)
    assert np.array_equal(execute(double, {"x": x}, batch)["y"], 2 * x)
    assert set(sizes) == {batch}


def test_a_batch_is_filled_with_real_values() -> None:
    """Zeros could meet a division; the last row is a valid input."""
    seen = []
    x = np.array([[1.0], [2.0], [3.0]], np.float32)
    execute(lambda feeds: seen.append(feeds["x"]) or feeds, {"x": x}, 2)  # type: ignore[func-returns-value]
    assert [batch.ravel().tolist() for batch in seen] == [[1, 2], [3, 3]]


@pytest.mark.parametrize("output", [np.float32(1), np.ones((1, 4), np.float32)])
def test_an_output_without_rows_is_refused(output: Any) -> None:
    with pytest.raises(DataError, match="no axis for the 2 rows"):
        execute(lambda feeds: {"y": np.asarray(output)}, {"x": np.ones((2, 1))}, 2)


def test_what_is_written_is_read_again_under_any_name(tmp_path: Path) -> None:
    arrays = {"a/b:0": images(), "file": np.arange(3), "": np.float32(1).reshape(1)}
    write_npz(tmp_path / "y.npz", arrays)
    again = read_npz(tmp_path / "y.npz")
    assert set(again) == set(arrays)
    assert all(np.array_equal(again[name], arrays[name]) for name in arrays)


def test_a_written_file_has_a_new_files_permissions_and_nothing_lies_beside_it(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    write_npz(tmp_path / "y.npz", {"y": images()})
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "y.npz")}
    assert len(modes) == 1
    assert sorted(os.listdir(tmp_path)) == ["plain", "y.npz"]


def test_a_device_is_not_replaced_by_a_file(tmp_path: Path) -> None:
    fifo = tmp_path / "y.npz"
    os.mkfifo(fifo)
    with pytest.raises(OutputPathError, match="not a regular file"):
        write_npz(fifo, {"y": images()})
    assert stat.S_ISFIFO(fifo.stat().st_mode)


def test_a_failure_half_way_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "y.npz"
    write_npz(file, {"y": np.zeros(3)})
    before = file.read_bytes()
    with pytest.raises(ValueError, match="allow_pickle"):
        write_npz(file, {"y": images(), "z": np.array([{}], dtype=object)})
    assert file.read_bytes() == before
    assert os.listdir(tmp_path) == ["y.npz"]
