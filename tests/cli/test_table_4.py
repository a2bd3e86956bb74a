"""The paper's Table 4, column "Deployable", asked of networks that the zoo exports."""

from __future__ import annotations

import sys
from itertools import cycle, repeat
from pathlib import Path

import pytest

from bibench_deploy.cli import app as cli
from bibench_deploy.cli import console
from bibench_deploy.converters.capabilities import load
from bibench_deploy.converters.deployability import Assessment, assess
from bibench_deploy.converters.fusion import fuse
from bibench_deploy.converters.reader import read
from bibench_deploy.graph import BinaryGraph

pytest.importorskip("torch")
pytestmark = pytest.mark.zoo

#: What Table 4 denies and the emitter makes possible: ReActNet's shift on daBNN, taken back in the next bias.
ABSORBED = {"reactnet"}
#: Algorithm → what stands in the way on larq, on dabnn; nothing means deployable.
TABLE_4: dict[str, tuple[set[str], set[str]]] = {
    "bnn": (set(), set()),
    "xnor": ({"runtime-factor"}, {"runtime-factor"}),
    "dorefa": (set(), set()),
    "bireal": (set(), set()),
    "xnorpp": ({"spatial-factor"}, {"spatial-factor"}),
    "reactnet": (set(), {"mean-shift"}),
    "recu": (set(), set()),
    "fda": (set(), set()),
}
BINARY_LAYERS = {"resnet18": 19, "resnet20": 20, "vgg-small": 5}


def export(path: Path, arch: str, algorithm: str, *options: str) -> Path:
    arguments = ["zoo", "export", arch, "--algorithm", algorithm, "--dataset", "cifar10", "-o", str(path)]
    before, sys.argv = sys.argv, ["bibench-deploy", *arguments, *options]
    try:
        assert console.guarded(cli.app) == 0
    finally:
        sys.argv = before
    return path


def judged(path: Path) -> tuple[Assessment, Assessment, BinaryGraph]:
    graph = fuse(read(path))
    return assess(graph, load("larq")), assess(graph, load("dabnn")), graph


def assert_as_in_the_paper(algorithm: str, larq: Assessment, dabnn: Assessment) -> None:
    table = list(TABLE_4[algorithm])
    if algorithm in ABSORBED:
        assert table[1] == {"mean-shift"}
        assert "mean-shift-absorbed" in {note.code for note in dabnn.notes}
        table[1] = set()
    for assessment, reasons in zip((larq, dabnn), table, strict=True):
        assert {reason.code for reason in assessment.reasons} == reasons
        assert assessment.verdict == ("not_deployable" if reasons else "deployable")


@pytest.mark.parametrize("algorithm", TABLE_4)
def test_the_papers_algorithms(algorithm: str, tmp_path: Path) -> None:
    larq, dabnn, graph = judged(export(tmp_path / "m.onnx", "resnet20", algorithm))
    assert_as_in_the_paper(algorithm, larq, dabnn)
    for reason in (*larq.reasons, *dabnn.reasons):
        assert reason.layer in {layer.name for layer in graph.layers}


#: Every algorithm with every architecture and with every exporter; the newer one takes seconds a small network.
EVERYWHERE = [
    *((algorithm, arch, "torchscript") for algorithm in TABLE_4 for arch in ("resnet18", "vgg-small")),
    *zip(TABLE_4, cycle(("resnet20", "vgg-small")), repeat("dynamo")),
]


@pytest.mark.slow
@pytest.mark.parametrize(("algorithm", "arch", "exporter"), EVERYWHERE)
def test_the_papers_algorithms_everywhere(algorithm: str, arch: str, exporter: str, tmp_path: Path) -> None:
    larq, dabnn, graph = judged(export(tmp_path / "m.onnx", arch, algorithm, "--exporter", exporter))
    assert_as_in_the_paper(algorithm, larq, dabnn)
    assert len(graph.binary_layers) == BINARY_LAYERS[arch]


def test_a_real_valued_model_is_for_neither(tmp_path: Path) -> None:
    larq, dabnn, _ = judged(export(tmp_path / "m.onnx", "resnet20", "fp32"))
    assert {reason.code for reason in (*larq.reasons, *dabnn.reasons)} == {"no-binary-layer"}
    assert larq.verdict == dabnn.verdict == "not_deployable"
