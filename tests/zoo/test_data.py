"""What counts as a data set, and what each damaged one is told."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bibench_deploy.errors import DataError
from bibench_deploy.zoo.data import fashion_mnist, from_npz, read_idx
from bibench_deploy.zoo.registry import Dataset

pytestmark = pytest.mark.zoo

IMAGES = np.random.default_rng(0).integers(0, 256, (30, 9, 8), np.uint8)
LABELS = np.arange(30) % 3


def test_an_npz_with_a_test_set(tmp_path: Path) -> None:
    path = tmp_path / "own.npz"
    np.savez(path, images=IMAGES, labels=LABELS, test_images=IMAGES[:4], test_labels=LABELS[:4])
    data = from_npz(path)
    assert data.dataset == Dataset("own", (1, 9, 8), 3)
    np.testing.assert_array_equal(data.train_images[:, 0], IMAGES)
    np.testing.assert_array_equal(data.test_labels, LABELS[:4])
    assert data.mean == (pytest.approx(IMAGES.mean() / 255, abs=1e-6),)
    assert data.std == (pytest.approx(IMAGES.std() / 255, abs=1e-6),)


def test_without_a_test_set_every_tenth_image_is_held_out(tmp_path: Path) -> None:
    path = tmp_path / "own.npz"
    np.savez(path, images=IMAGES, labels=LABELS)
    data = from_npz(path)
    np.testing.assert_array_equal(data.test_images[:, 0], IMAGES[9::10])
    assert len(data.train_images) == 27
    assert data.fingerprint != _reordered(tmp_path).fingerprint


def test_colour_images_become_channels_first(tmp_path: Path) -> None:
    path = tmp_path / "colour.npz"
    colour = np.random.default_rng(1).integers(0, 256, (30, 9, 8, 3), np.uint8)
    np.savez(path, images=colour, labels=LABELS)
    data = from_npz(path)
    np.testing.assert_array_equal(data.test_images, colour[9::10].transpose(0, 3, 1, 2))
    assert len(data.mean) == len(data.std) == 3


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"labels": None}, "array 'labels' is missing"),
        ({"images": IMAGES.astype(np.float32)}, "float32"),
        ({"images": IMAGES[:, 0]}, "(27, 8)"),
        ({"images": np.zeros((30, 9, 8, 4), np.uint8)}, "4 channels"),
        ({"images": np.zeros((30, 9, 8), np.uint8)}, "the same in every image"),
        ({"labels": LABELS[:29]}, "30 images and 29 labels"),
        ({"labels": LABELS - 1}, "labels run from -1"),
        ({"labels": LABELS.astype(np.float64)}, "labels are float64"),
        ({"test_images": IMAGES}, "only one is there"),
        ({"test_images": IMAGES[:, :8], "test_labels": LABELS}, "(1, 9, 8), test images (1, 8, 8)"),
        ({"test_images": IMAGES, "test_labels": LABELS + 1}, "label 3"),
    ],
)
def test_arrays_that_do_not_fit(tmp_path: Path, change: dict[str, Any], text: str) -> None:
    path = tmp_path / "own.npz"
    arrays = {"images": IMAGES, "labels": LABELS} | change
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    with pytest.raises(DataError) as caught:
        from_npz(path)
    assert text in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 cut short"])
def test_files_that_are_no_npz(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "own.npz"
    path.write_bytes(content)
    with pytest.raises(DataError, match="not a readable"):
        from_npz(path)


def test_a_missing_fashion_mnist_names_the_debian_package(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="apt install dataset-fashion-mnist"):
        fashion_mnist(tmp_path / "none")


def test_idx(tmp_path: Path) -> None:
    path = tmp_path / "i.gz"
    path.write_bytes(gzip.compress(bytes([0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6])))
    np.testing.assert_array_equal(read_idx(path), [[1, 2, 3], [4, 5, 6]])


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "damaged"),
        (b"plain", "damaged"),
        (gzip.compress(b"x" * 100, mtime=0)[:-12], "damaged"),
        (gzip.compress(b"", mtime=0), "not an IDX file"),
        (gzip.compress(bytes([0, 0, 13, 1, 0, 0, 0, 1, 0, 0, 0, 0]), mtime=0), "not an IDX file"),
        (gzip.compress(bytes([0, 0, 8, 2, 0, 0]), mtime=0), "not an IDX file"),
        (gzip.compress(bytes([0, 0, 8, 1, 0, 0, 0, 5, 1]), mtime=0), "1 bytes of data for shape (5,)"),
    ],
)
def test_damaged_idx(tmp_path: Path, content: bytes, text: str) -> None:
    path = tmp_path / "i.gz"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_idx(path)
    assert text in str(caught.value)


def _reordered(folder: Path) -> Any:
    path = folder / "reordered.npz"
    np.savez(path, images=IMAGES[::-1], labels=LABELS)
    return from_npz(path)
