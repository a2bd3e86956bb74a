"""``bibench-deploy zoo`` as a user meets it: what it prints, exit codes, messages."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import onnx
import pytest

from bibench_deploy.cli import console
from bibench_deploy.cli.app import app

pytestmark = pytest.mark.zoo


def _zoo(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["bibench-deploy", "zoo", *map(str, arguments)])
    return console.guarded(app)


def test_list_as_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert _zoo(monkeypatch, "list", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    algorithms = {entry["id"]: (entry["scale"], entry["mean_shift"]) for entry in document["algorithms"]}
    assert algorithms == {
        "fp32": ("none", False),
        "bnn": ("none", False),
        "xnor": ("input", False),
        "dorefa": ("channel", False),
        "bireal": ("channel", False),
        "xnorpp": ("spatial", False),
        "reactnet": ("channel", True),
        "recu": ("channel", False),
        "fda": ("channel", False),
    }
    names = [entry["id"] for entry in document["architectures"]]
    assert names == ["resnet18", "resnet34", "resnet20", "vgg-small", "vgg-tiny"]


def test_list_as_tables(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    assert _zoo(monkeypatch, "list") == 0
    out = capsys.readouterr().out
    assert all(name in out for name in ("reactnet", "arXiv:2003.03488", "vgg-small", "cifar10"))


def test_export_writes_the_file_and_says_so_on_stderr(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "m.onnx"
    assert _zoo(monkeypatch, "export", "resnet20", "-a", "bireal", "-d", "cifar10", "-o", path) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "wrote" in captured.err
    signs = [node for node in onnx.load(path).graph.node if node.op_type == "GreaterOrEqual"]
    # Weights of 20 layers, activations of 18: a block's first convolution and its shortcut share one sign.
    assert len(signs) == 38


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["export", "resnet50", "-d", "cifar10"], "unknown architecture 'resnet50'"),
        (["export", "resnet18", "-a", "reacnet", "-d", "cifar10"], "did you mean 'reactnet'?"),
        (["export", "resnet18", "-d", "cifar"], "did you mean 'cifar10'?"),
        (["export", "resnet18"], "no data set given"),
        (["export", "resnet20", "-d", "imagenet"], "not defined for imagenet"),
        (["export", "resnet20", "-d", "cifar10", "--sign-zero", "-1"], "choose 1 or 0"),
        (["export", "resnet20", "-d", "cifar10", "--padding", "3"], "choose 0, 1 or -1"),
        (["export", "resnet20", "-d", "cifar10", "--exporter", "onnx"], "torchscript, dynamo"),
        (["export", "resnet20", "-d", "cifar10", "--opset", "8"], "choose 11 to 20"),
        (["export", "resnet20", "--checkpoint", "none.ckpt"], "no such checkpoint"),
        (["train", "vgg"], "unknown architecture 'vgg'"),
        (["train", "vgg-tiny", "-a", "bin"], "unknown algorithm 'bin'"),
        (["train", "vgg-tiny", "--lr", "0"], "can't train"),
        (["train", "vgg-tiny", "--data", "none.npz"], "no such file"),
    ],
)
def test_wrong_usage_is_one_message_with_a_remedy(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    arguments: list[str],
    text: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert _zoo(monkeypatch, *arguments, "-o", tmp_path / "m.onnx") == 2
    captured = capsys.readouterr()
    assert text in captured.err
    assert "what to do:" in captured.err
    assert "Traceback" not in captured.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["export", "train"])
def test_without_torch_the_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, command: str
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    extra = ["-d", "cifar10"] if command == "export" else []
    assert _zoo(monkeypatch, command, "resnet20", *extra, "-o", tmp_path / "m.onnx") == 2
    assert "pip install 'bibench-deploy[zoo]'" in capsys.readouterr().err
