"""``bibench-deploy inspect``: every layer, what it is, and why it is not binary."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bibench_deploy.cli import app as cli
from bibench_deploy.cli import console
from bibench_deploy.cli.inspect import operator
from bibench_deploy.graph import Layer
from support.cli_nets import binary_net, write_net
from support.command import COMMAND, bibench, environment, is_clean
from support.onnx_models import save

FIELDS = {
    "name", "nodes", "kind", "op", "weight_shape", "scale", "mean_shift", "pad_value", "stride", "groups",
    "params", "macs",
}  # fmt: skip

Inspect = Callable[..., tuple[int, str, str]]


@pytest.fixture
def inspect(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Inspect:
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["bibench-deploy", "inspect", *map(str, arguments)])
        code = console.guarded(cli.app)
        captured = capfd.readouterr()
        return code, captured.out, captured.err

    return run


def test_json(tmp_path: Path) -> None:
    model = write_net(tmp_path / "net.onnx")
    done = bibench("inspect", model, "--json", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    assert document["model"] == str(model)
    assert document["algorithm_like"] == "dorefa|bireal|recu|fda"
    stem, first, second, classifier = document["layers"]
    for layer in document["layers"]:
        assert set(layer) == FIELDS | (
            {"why_not_binary", "looks_binary"} if layer["kind"] == "float" else set()
        )
    assert [layer["kind"] for layer in document["layers"]] == ["float", "binary", "binary", "float"]
    assert stem["why_not_binary"] == "weights are real-valued"
    assert (first["name"], second["name"]) == ("net.0", "net.1")
    expected = {
        "op": "conv2d",
        "weight_shape": [32, 32, 3, 3],
        "scale": "channel",
        "mean_shift": False,
        "pad_value": 0.0,
        "stride": [1, 1],
        "groups": 1,
        "params": 32 * 32 * 9,
        "macs": 32 * 32 * 9 * 64,
    }
    assert {key: first[key] for key in expected} == expected
    assert "/c0/Conv" in first["nodes"]
    assert (classifier["op"], classifier["weight_shape"], classifier["macs"]) == ("linear", [10, 32], 320)


def test_the_table(inspect: Inspect, tmp_path: Path) -> None:
    code, out, err = inspect(write_net(tmp_path / "net.onnx"))
    assert (code, err) == (0, "")
    (row,) = [line.split() for line in out.splitlines() if line.strip().startswith("net.1 ")]
    assert row == ["net.1", "binary", "conv2d", "3×3", "32→32", "channel", "0", "9,216", "589,824"]
    assert "2 binary layers hold 94.0% of 19,616 weights" in out
    assert "dorefa|bireal|recu|fda" in out


@pytest.mark.parametrize(
    ("options", "algorithm"),
    [
        ({}, "dorefa|bireal|recu|fda"),
        ({"scaled": False}, "bnn"),
        ({"runtime_factor": True}, "xnor"),
        ({"binary": False}, "fp32"),
    ],
)
def test_what_a_model_amounts_to(
    inspect: Inspect, tmp_path: Path, options: dict[str, Any], algorithm: str
) -> None:
    _, out, _ = inspect(write_net(tmp_path / "net.onnx", **options), "--json")
    assert json.loads(out)["algorithm_like"] == algorithm


def test_layers_that_look_binary_say_why_they_are_not(inspect: Inspect, tmp_path: Path) -> None:
    code, out, _ = inspect(write_net(tmp_path / "net.onnx", binary=False))
    assert code == 0
    assert "net.0 stayed float: its input is binary, but its weights are real-valued" in out
    assert "No binary layer; 19,616 weights" in out


def test_what_the_file_says_of_its_training(inspect: Inspect, tmp_path: Path) -> None:
    model = binary_net()
    entry = model.metadata_props.add()
    entry.key, entry.value = "bibench.algorithm", "recu"
    code, out, _ = inspect(save(tmp_path / "net.onnx", model))
    assert code == 0
    assert "trained as recu" in out


@pytest.mark.parametrize("name", ["blocks[0].conv", "[/bold]", "[red]a", "net:smile:"])
def test_names_are_shown_as_they_are(inspect: Inspect, tmp_path: Path, name: str) -> None:
    """They may look like the markup of the library that draws the table."""
    model = binary_net(binary=False)
    for node in model.graph.node:
        node.input[:] = [f"{name}.weight" if each == "net.0.weight" else each for each in node.input]
    for tensor in model.graph.initializer:
        tensor.name = f"{name}.weight" if tensor.name == "net.0.weight" else tensor.name
    entry = model.metadata_props.add()
    entry.key, entry.value = "bibench.algorithm", name
    code, out, err = inspect(save(tmp_path / "net.onnx", model))
    assert (code, err) == (0, "")
    assert any(line.strip().startswith(f"{name} ") and "conv2d" in line for line in out.splitlines())
    assert f"{name} stayed float" in out
    assert f"trained as {name}" in out


@pytest.mark.parametrize(
    ("shape", "stride", "groups", "text"),
    [
        ((128, 64, 3, 3), (1, 1), 1, "conv2d 3×3 64→128"),
        ((128, 64, 3, 3), (2, 2), 1, "conv2d 3×3 64→128 /2"),
        ((128, 64, 3, 5), (2, 1), 1, "conv2d 3×5 64→128 /2×1"),
        ((128, 64, 3, 5), (1, 2), 1, "conv2d 3×5 64→128 /1×2"),
        ((32, 1, 3, 3), (1, 1), 32, "conv2d 3×3 32→32 32 groups"),
        ((10, 32), (), 1, "conv2d 32→10"),
        ((), (), 1, "conv2d"),
    ],
)
def test_operators_in_shorthand(
    shape: tuple[int, ...], stride: tuple[int, ...], groups: int, text: str
) -> None:
    layer = Layer("a", (), "float", "conv2d", shape, 0, 0, stride=stride, groups=groups)
    assert operator(layer) == text


def test_onnxruntime_keeps_nothing_in_the_home_and_reports_to_nobody(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    unset = ("env", "-u", "ORT_DISABLE_TELEMETRY", "-u", "XDG_CACHE_HOME")
    done = bibench("inspect", write_net(tmp_path / "net.onnx"), cwd=tmp_path, prefix=unset, HOME=str(home))
    assert (done.returncode, done.stderr) == (0, "")
    assert list(home.rglob("*")) == []


def test_a_pipe_that_closes_is_no_crash(tmp_path: Path) -> None:
    """As ``inspect MODEL | head -1`` closes it."""
    model = write_net(tmp_path / "net.onnx", layers=8, channels=8)
    with subprocess.Popen(
        [*COMMAND, "inspect", str(model), "--json"],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        stderr = process.stderr.read()
        process.wait()
    assert is_clean(stderr), stderr
