"""Eq. 7 and 8 by hand, and for the zoo's ResNet18 the paper's printed values."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bibench_deploy.complexity import Complexity, LayerCost, complexity, layer_costs
from bibench_deploy.converters.reader import read
from bibench_deploy.tracks import resnet18
from support.cli_nets import write_net
from support.command import bibench, bibench_here


def test_binary_weights_count_a_32nd_and_64_binary_operations_one() -> None:
    found = complexity(
        [
            LayerCost("stem", "float", params=100, macs=640),
            LayerCost("binary", "binary", params=320, macs=6400, binary_params=320),
            LayerCost("norm", "other", params=10, macs=0),
        ]
    )
    assert (found.params, found.macs) == (430, 7040)
    assert found.compression == pytest.approx(430 / (110 + 10))
    assert found.speedup == pytest.approx(7040 / (640 + 100))
    assert found.overall == pytest.approx(((found.compression**2 + found.speedup**2) / 2) ** 0.5)


def test_factors_and_biases_of_a_binary_layer_are_kept() -> None:
    layer = LayerCost(
        "b", "binary", params=330, macs=640, binary_params=320, factor_params=5, factor_operations=30
    )
    assert layer.compression == pytest.approx(330 / (10 + 10 + 5))
    assert layer.speedup == pytest.approx(640 / (10 + 30))


def test_a_full_precision_network_gains_nothing() -> None:
    found = complexity([LayerCost("a", "float", 7, 70), LayerCost("n", "other", 2, 0)])
    assert (found.compression, found.speedup, found.overall) == (1, 1, 1)


def test_no_weighted_layer_no_complexity() -> None:
    with pytest.raises(ValueError, match="without weighted layers"):
        complexity([])


@pytest.mark.zoo
@pytest.mark.slow
@pytest.mark.parametrize(
    ("algorithm", "compression", "speedup"), [("bnn", 13.27, 12.51), ("dorefa", 13.20, 12.37)]
)
def test_the_zoos_resnet18_is_the_papers(
    algorithm: str, compression: float, speedup: float, tmp_path: Path
) -> None:
    pytest.importorskip("torch")
    path = tmp_path / "resnet18.onnx"
    exported = bibench_here(
        "zoo", "export", "resnet18", "-a", algorithm, "-d", "imagenet", "-o", path, cwd=tmp_path
    )
    assert exported.returncode == 0, exported.stderr
    found = complexity(layer_costs(read(path)))
    assert (round(found.compression, 2), round(found.speedup, 2)) == (compression, speedup)
    # The exporter folds the stem's normalization into its bias: 64 parameters instead of 128.
    assert _weighted(found) == _weighted(complexity(resnet18.layer_costs(algorithm)))


def _weighted(found: Complexity) -> list[tuple[int, int, int]]:
    """What the convolutions and the classifier cost, in any order (a shortcut may be computed first)."""
    return sorted(
        (layer.macs, layer.binary_params, layer.factor_operations) for layer in found.layers if layer.macs
    )


def test_the_command(tmp_path: Path) -> None:
    path = write_net(tmp_path / "net.onnx")
    done = bibench("complexity", path, "--json", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    assert set(document) == {"params", "macs", "compression", "speedup", "overall", "layers"}
    assert document["params"] == sum(layer["params"] for layer in document["layers"])
    assert document["compression"] > 1
    shown = bibench_here("complexity", path, cwd=tmp_path)
    assert "whole model" in shown.stdout
    assert f"{document['overall']:.2f}" in shown.stdout


def test_the_command_says_what_is_wrong(tmp_path: Path) -> None:
    done = bibench_here("complexity", tmp_path / "missing.onnx", cwd=tmp_path)
    assert done.returncode == 2
    assert "missing.onnx" in done.stderr
    assert "Traceback" not in done.stderr
