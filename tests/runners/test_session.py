"""Opening artefacts: by manifest, with the kernel that is fastest here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bibench_deploy.errors import ArtefactError
from bibench_deploy.runners.session import (
    MOST_SETTLING_ROUNDS,
    open_artefact,
    opener,
    random_inputs,
    settling_rounds,
    view,
)
from bibench_deploy.runners.workspace import read_artefact
from support.tiny import CHANNELS, SIZE, add_artefact, expected


@pytest.mark.parametrize(
    ("fastest_ms", "settle_ms", "rounds"),
    [
        ({}, 500, 0),  # no binary operator
        ({"indirect": 0.1}, 500, 0),  # nothing to choose
        ({"indirect": 30.0, "default": 140.0}, 500, 0),  # the first look took that long
        ({"indirect": 5.0, "default": 20.0}, 500, 20),
        ({"indirect": 0.001, "default": 0.002}, 500, MOST_SETTLING_ROUNDS),
        ({"indirect": 5.0, "default": 20.0}, 0, 0),  # not asked for
    ],
)
def test_kernels_are_timed_until_the_choice_stands(
    fastest_ms: dict[str, float], settle_ms: float, rounds: int
) -> None:
    assert settling_rounds(fastest_ms, settle_ms) == rounds


@pytest.mark.larq
@pytest.mark.parametrize("variant", ["bnn", "fp32"])
@pytest.mark.parametrize("settle_ms", [0, 5])
def test_a_session_computes_the_network(tmp_path: Path, variant: str, settle_ms: float) -> None:
    artefact = read_artefact(add_artefact(tmp_path, variant))
    session = open_artefact(artefact, threads=1, settle_ms=settle_ms)
    image = np.random.default_rng(3).standard_normal((1, CHANNELS, SIZE, SIZE)).astype(np.float32)
    scores = session.run({"image": image})["scores"]
    np.testing.assert_allclose(scores, expected(image, variant == "bnn"), atol=1e-4)
    assert (session.kernel is None) == (variant == "fp32")


@pytest.mark.larq
def test_what_is_timed_takes_the_random_inputs(tmp_path: Path) -> None:
    artefact = read_artefact(add_artefact(tmp_path))
    inputs = random_inputs(artefact.manifest)
    (result,) = open_artefact(artefact, 1).prepared(inputs)()  # type: ignore[misc]
    np.testing.assert_allclose(result, expected(inputs["image"], True), atol=1e-4)


def test_random_inputs_are_always_the_same(tmp_path: Path) -> None:
    manifest = read_artefact(add_artefact(tmp_path)).manifest
    first, second = random_inputs(manifest), random_inputs(manifest)
    assert first["image"].shape == (1, CHANNELS, SIZE, SIZE)
    assert np.array_equal(first["image"], second["image"])


@pytest.mark.larq
def test_verification_gets_the_artefact_by_its_bytes(tmp_path: Path) -> None:
    artefact = read_artefact(add_artefact(tmp_path))
    inputs, outputs = ([view(t) for t in ts] for ts in (artefact.manifest.inputs, artefact.manifest.outputs))
    run = opener("larq")(artefact.path.read_bytes(), inputs, outputs)
    images = random_inputs(artefact.manifest)
    np.testing.assert_allclose(run(images)["scores"], expected(images["image"], True), atol=1e-4)


def test_an_engine_without_a_runner_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match="'other'"):
        opener("other")
