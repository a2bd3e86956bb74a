"""The rows that verify an artefact on a device: which are stored, and that they come back as they were."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bibench_deploy.conversion import convert
from bibench_deploy.converters.agreement import LARGEST, ROW_TOLERANCE, row_differences
from bibench_deploy.converters.check_rows import (
    FEWEST_BATCHES,
    MOST_ROWS,
    check_path,
    choose,
    described,
    pack,
    read_check,
)
from bibench_deploy.converters.manifest import Manifest, SourceModel, Tensor, read_manifest
from bibench_deploy.errors import ArtefactError
from support.cli_nets import write_net

Array = np.ndarray[Any, Any]


def doubled(batch: Mapping[str, Array]) -> dict[str, Array]:
    return {"y": batch["x"] * 2}


def batches(count: int, shape: tuple[int, ...] = (1, 5)) -> list[dict[str, Array]]:
    random = np.random.default_rng(3)
    return [{"x": random.standard_normal(shape).astype(np.float32)} for _ in range(count)]


def manifest(**facts: Any) -> Manifest:
    tensors = {"inputs": "x", "outputs": "y"}
    views = {key: [Tensor(name=name, shape=[1, 5], artefact_shape=[1, 5])] for key, name in tensors.items()}
    return Manifest(
        engine="native", model="m", variant="bnn", file="m.bbm", sha256="", size_bytes=1,
        source=SourceModel(file="m.onnx", sha256=""), binary_ops=1, binary_layers=1, versions={}, **views, **facts,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("expected", "got", "difference"),
    [
        ([[1, 2, 4]], [[1, 2, 4]], 0),
        ([[1, 2, 4]], [[1, 2.5, 4]], 0.125),
        ([[1, 2, 4]], [[1, np.nan, 4]], LARGEST),
        ([[1, np.inf, 4]], [[1, 2, 4]], LARGEST),
        ([[0, 0]], [[0, 0]], 0),
    ],
)
def test_a_rows_difference_is_relative_to_its_largest_number(
    expected: list[Any], got: list[Any], difference: float
) -> None:
    assert row_differences(np.array(expected, np.float32), np.array(got, np.float32)) == [difference]


@pytest.mark.parametrize(
    ("shape", "stored"),
    [
        ((1, 5), MOST_ROWS),
        ((4, 5), 2),  # rows of a model with a fixed batch
        ((16, 5), FEWEST_BATCHES),
        ((1, 3, 224, 224), 3),  # a megabyte of float16
        ((1, 3, 1024, 1024), FEWEST_BATCHES),
    ],
)
def test_how_many_rows_are_stored(shape: tuple[int, ...], stored: int) -> None:
    rows = choose(batches(12, shape), doubled, doubled)
    assert len(rows.inputs) == len(rows.expected) == len(rows.proven) == stored
    assert rows.rows == stored * shape[0]


def test_rows_that_the_proven_engine_reproduces_are_preferred() -> None:
    candidates = batches(12)
    flips = iter([1.5, 1, 1.5, 1, 1, 1.5, 1, 1, 1, 1, 1, 1])
    rows = choose(candidates, doubled, lambda batch: {"y": batch["x"] * np.float32(2 * next(flips))})
    assert len(rows.inputs) == MOST_ROWS
    for expected, proven in zip(rows.expected, rows.proven, strict=True):
        assert row_differences(expected["y"], proven["y"]).max() <= ROW_TOLERANCE


def test_without_such_rows_others_are_stored() -> None:
    rows = choose(batches(3), doubled, lambda batch: {"y": batch["x"]})
    assert len(rows.inputs) == 3


def test_what_is_stored_is_what_was_computed_with(tmp_path: Path) -> None:
    rows = choose(batches(4), doubled, lambda batch: {"y": batch["x"] * np.float32(2.000001)})
    data = pack(rows, ["x"], ["y"])
    assert data == pack(rows, ["x"], ["y"])
    artefact = tmp_path / "m.bbm"
    check_path(artefact).write_bytes(data)
    back = read_check(artefact, manifest(check=described(data, rows)))
    assert back is not None
    assert back.rows == 4
    for kind in ("inputs", "expected", "proven"):
        for got, want in zip(getattr(back, kind), getattr(rows, kind), strict=True):
            for name, array in want.items():
                np.testing.assert_array_equal(got[name], array)
    # float16 was enough for the inputs, because the reference had the rounded ones.
    np.testing.assert_array_equal(back.expected[0]["y"], back.inputs[0]["x"] * 2)


def test_an_artefact_without_rows_has_none(tmp_path: Path) -> None:
    assert read_check(tmp_path / "m.bbm", manifest()) is None


@pytest.mark.parametrize("damage", ["missing", "cut", "another"])
def test_damaged_rows_are_refused(tmp_path: Path, damage: str) -> None:
    rows = choose(batches(2), doubled, doubled)
    data = pack(rows, ["x"], ["y"])
    artefact, entry = tmp_path / "m.bbm", described(data, rows)
    if damage == "cut":
        check_path(artefact).write_bytes(data[:-1])
    elif damage == "another":
        foreign = pack(rows, ["x"], [])
        check_path(artefact).write_bytes(foreign)
        entry = described(foreign, rows)
    with pytest.raises(ArtefactError, match=r"m\.bbm\.check\.npz"):
        read_check(artefact, manifest(check=entry))


def test_convert_stores_rows_beside_every_artefact(tmp_path: Path) -> None:
    done = convert(write_net(tmp_path / "net.onnx"), tmp_path / "w", engines=["native"])
    assert len(done.artefacts) == 2  # the model and its fp32 twin
    for artefact in done.artefacts:
        rows = read_check(artefact.path, read_manifest(artefact.path))
        assert rows is not None
        assert rows.rows == MOST_ROWS
        for expected, proven in zip(rows.expected, rows.proven, strict=True):
            assert row_differences(expected["y"], proven["y"]).max() <= ROW_TOLERANCE
