"""Images and labels to train on: Fashion-MNIST from Debian's package, or arrays of the user."""

from __future__ import annotations

import gzip
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bibench_deploy.errors import DataError
from bibench_deploy.zoo.registry import Dataset

FASHION_MNIST_FOLDER = Path("/usr/share/datasets/fashion-mnist")
FASHION_MNIST_PACKAGE = "dataset-fashion-mnist"
HELD_OUT = 10  # one image in so many is held out for testing where no test set is given

_IDX_UINT8 = 8


@dataclass(frozen=True)
class ImageData:
    """Images and labels, split in a training and a test set.

    Attributes:
        name: identifier or file name it came by.
        train_images, test_images: uint8 (N, C, H, W).
        train_labels, test_labels: int64 (N,), 0 … classes − 1.
        mean, std: of the training images' channels, after division by 255; a network's input is
            ``(images / 255 − mean) / std``.
    """

    name: str
    train_images: npt.NDArray[np.uint8]
    train_labels: npt.NDArray[np.int64]
    test_images: npt.NDArray[np.uint8]
    test_labels: npt.NDArray[np.int64]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def dataset(self) -> Dataset:
        """Shape of an image and number of classes."""
        _, channels, height, breadth = self.train_images.shape
        return Dataset(self.name, (channels, height, breadth), int(self.train_labels.max()) + 1)

    @property
    def fingerprint(self) -> int:
        """CRC-32 of the training set, to notice other data under the same name."""
        return zlib.crc32(self.train_labels.tobytes(), zlib.crc32(self.train_images.tobytes()))


def fashion_mnist(folder: Path = FASHION_MNIST_FOLDER) -> ImageData:
    """Fashion-MNIST (Xiao et al. 2017, arXiv:1708.07747): 60,000 + 10,000 grey images of 28×28, 10 classes.

    Raises:
        DataError: the files are missing or damaged.
    """
    if not folder.is_dir():
        raise DataError(
            "Fashion-MNIST is not installed",
            where=str(folder),
            remedy=f"apt install {FASHION_MNIST_PACKAGE}, or give arrays with --data FILE.npz",
        )
    arrays = [
        read_idx(folder / f"{part}-{kind}.gz")
        for part in ("train", "t10k")
        for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")
    ]
    return _checked("fashion-mnist", str(folder), *arrays)


def from_npz(path: Path) -> ImageData:
    """Arrays ``images``, ``labels`` and, if there, ``test_images``, ``test_labels`` of an .npz file.

    Images are uint8 (N, H, W) or (N, H, W, C) with one or three channels. Without a test set, every tenth
    image is held out as one.

    Raises:
        DataError: the file is missing, no .npz, or its arrays don't fit.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except FileNotFoundError as missing:
        raise DataError("no such file", where=str(path), remedy="check the path given to --data") from missing
    except (ValueError, EOFError, AttributeError, zipfile.BadZipFile, zlib.error) as damaged:
        raise DataError(
            f"not a readable .npz file ({damaged})", where=str(path), remedy="write it with numpy.savez"
        ) from damaged
    for name in ("images", "labels"):
        if name not in arrays:
            raise DataError(
                f"array '{name}' is missing", where=str(path), remedy="store 'images' and 'labels' in it"
            )
    if ("test_images" in arrays) != ("test_labels" in arrays):
        raise DataError(
            "of 'test_images' and 'test_labels' only one is there",
            where=str(path),
            remedy="store both, or none",
        )
    images, labels = arrays["images"], arrays["labels"]
    if "test_images" in arrays:
        return _checked(path.stem, str(path), images, labels, arrays["test_images"], arrays["test_labels"])
    if len(images) != len(labels) or len(images) < 2 * HELD_OUT:
        raise DataError(
            f"{len(images)} images and {len(labels)} labels",
            where=str(path),
            remedy=f"give as many labels as images, and at least {2 * HELD_OUT}",
        )
    held_out = np.arange(len(images)) % HELD_OUT == HELD_OUT - 1
    return _checked(
        path.stem, str(path), images[~held_out], labels[~held_out], images[held_out], labels[held_out]
    )


def read_idx(path: Path) -> npt.NDArray[np.uint8]:
    """One gzipped IDX file of unsigned bytes.

    IDX: two zero bytes, a type byte (8: uint8), the number of axes, their sizes as big-endian 32-bit, data.

    Raises:
        DataError: the file is missing or damaged.
    """
    remedy = f"apt install --reinstall {FASHION_MNIST_PACKAGE}"
    try:
        content = gzip.decompress(path.read_bytes())
    except FileNotFoundError as missing:
        raise DataError("no such file", where=str(path), remedy=remedy) from missing
    except (gzip.BadGzipFile, EOFError, zlib.error) as damaged:
        raise DataError(f"damaged ({damaged})", where=str(path), remedy=remedy) from damaged
    rank = content[3] if len(content) > 3 else 0
    header = 4 + 4 * rank
    if content[:3] != bytes((0, 0, _IDX_UINT8)) or len(content) < header:
        raise DataError("not an IDX file of unsigned bytes", where=str(path), remedy=remedy)
    shape = tuple(int.from_bytes(content[4 + 4 * i : 8 + 4 * i], "big") for i in range(rank))
    data = np.frombuffer(content, np.uint8, offset=header)
    if data.size != np.prod(shape, dtype=np.int64):
        raise DataError(f"{data.size} bytes of data for shape {shape}", where=str(path), remedy=remedy)
    return data.reshape(shape).copy()  # of a buffer that torch could not write to


def _checked(
    name: str,
    where: str,
    images: npt.NDArray[np.generic],
    labels: npt.NDArray[np.generic],
    test_images: npt.NDArray[np.generic],
    test_labels: npt.NDArray[np.generic],
) -> ImageData:
    train = _images(images, where)
    test = _images(test_images, where)
    if train.shape[1:] != test.shape[1:]:
        raise DataError(
            f"training images are {train.shape[1:]}, test images {test.shape[1:]}",
            where=where,
            remedy="crop them",
        )
    train_labels = _labels(labels, len(train), where)
    held_labels = _labels(test_labels, len(test), where)
    if held_labels.max() > train_labels.max():
        raise DataError(
            f"the test set has label {held_labels.max()}, the training set ends at {train_labels.max()}",
            where=where,
            remedy="train on every class",
        )
    scaled = train.reshape(len(train), train.shape[1], -1)
    mean = scaled.mean(axis=(0, 2), dtype=np.float64) / 255
    std = scaled.std(axis=(0, 2), dtype=np.float64) / 255
    if not (std > 0).all():
        raise DataError("a channel is the same in every image", where=where, remedy="check the images")
    return ImageData(
        name,
        train,
        train_labels,
        test,
        held_labels,
        tuple(round(float(value), 6) for value in mean),
        tuple(round(float(value), 6) for value in std),
    )


def _images(array: npt.NDArray[np.generic], where: str) -> npt.NDArray[np.uint8]:
    if array.dtype != np.uint8 or array.ndim not in (3, 4) or not len(array):
        raise DataError(
            f"images are {array.dtype} {array.shape}",
            where=where,
            remedy="store uint8 of shape (N, H, W) or (N, H, W, C)",
        )
    images = array.astype(np.uint8, copy=False)
    images = images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)
    if images.shape[1] not in (1, 3):
        raise DataError(
            f"images have {images.shape[1]} channels", where=where, remedy="store (N, H, W, C), C 1 or 3"
        )
    return np.ascontiguousarray(images)


def _labels(array: npt.NDArray[np.generic], count: int, where: str) -> npt.NDArray[np.int64]:
    if array.shape != (count,) or array.dtype.kind not in "iu":
        raise DataError(
            f"labels are {array.dtype} {array.shape} for {count} images",
            where=where,
            remedy="store one integer an image",
        )
    labels = array.astype(np.int64)
    if labels.min() < 0 or labels.max() < 1:
        raise DataError(
            f"labels run from {labels.min()} to {labels.max()}", where=where, remedy="number classes from 0"
        )
    return labels
