"""``bibench-deploy check`` as a user meets it: on ONNX files, by output and exit code."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

from bibench_deploy.cli import app as cli
from bibench_deploy.cli import console
from bibench_deploy.cli.check import places

RNG = np.random.default_rng(3)


def model(path: Path, *, runtime_factor: bool = False, binary: bool = True, bias: bool = True) -> Path:
    """Three 3×3 convolutions of 32 channels with padding 0, each on the sign of its input."""
    lines, arrays, value = [], {}, "x"
    for i in (1, 2, 3):
        real = RNG.standard_normal((32, 32, 3, 3)).astype(np.float32)
        arrays[f"w{i}"] = np.sign(real) * np.float32(0.1 * i) if binary else real
        lines.append(f"s{i} = Sign ({value})")
        if bias:
            arrays[f"b{i}"] = RNG.standard_normal(32).astype(np.float32)
        lines.append(f"c{i} = Conv <pads = [1, 1, 1, 1]> (s{i}, w{i}{f', b{i}' if bias else ''})")
        if runtime_factor:
            lines.append(f"a{i} = Abs ({value}) k{i} = ReduceMean <axes = [1]> (a{i})")
            lines.append(f"m{i} = Mul (c{i}, k{i})")
        value = f"m{i}" if runtime_factor else f"c{i}"
    proto = parser.parse_model(
        '<ir_version: 8, opset_import: ["": 17]> m (float[1, 32, 8, 8] x) => (float[1, 32, 8, 8] y) {'
        + " ".join([*lines, f"y = Add ({value}, x)"])
        + "}"
    )
    for node in proto.graph.node:
        node.name = f"/net/{node.output[0]}/{node.op_type}"
    proto.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in arrays.items())
    onnx.save(proto, path)
    return path


class Result:
    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def check(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    def run(*arguments: str | Path) -> Result:
        monkeypatch.setattr(sys, "argv", ["bibench-deploy", "check", *map(str, arguments)])
        code = console.guarded(cli.app)
        captured = capfd.readouterr()
        return Result(code, captured.out, captured.err)

    return run


def test_a_deployable_model(check: Any, tmp_path: Path) -> None:
    result = check(model(tmp_path / "net.onnx"))
    assert result.code == 0
    assert "net.onnx: 3 binary layers" in result.out
    assert result.out.count("deployable") == 3


def test_equal_reasons_are_one_line_in_the_table_and_one_each_in_json(check: Any, tmp_path: Path) -> None:
    path = model(tmp_path / "xnor.onnx", runtime_factor=True)
    result = check(path, "--engine", "larq")
    assert result.code == 1
    assert result.out.count("runtime-factor") == 1
    assert "3 layers, first" in result.out
    assert "DoReFa instead of XNOR" in result.out
    document = check(path, "--json").json
    assert document["model"] == str(path)
    assert document["binary_layers"] == 3
    assert list(document["engines"]) == ["larq", "dabnn", "native"]
    reasons = document["engines"]["larq"]["reasons"]
    assert [reason["code"] for reason in reasons] == ["runtime-factor"] * 3
    assert len({reason["layer"] for reason in reasons}) == 3
    assert all(
        {"node", "layer", "code", "message", "remedy", "allow"} == set(reason) and reason["node"]
        for reason in reasons
    )


def test_a_change_of_function_must_be_allowed(check: Any, tmp_path: Path) -> None:
    """The sign of a bare sum of 288 numbers ±1, which is often 0: torch.sign's 0 matters there."""
    path = model(tmp_path / "bare.onnx", bias=False)
    refused = check(path, "-e", "larq")
    assert refused.code == 1
    assert "changes function" in refused.out
    assert "2 layers, first net.c2" in refused.out
    assert "--allow sign-zero=+1" in refused.out
    allowed = check(path, "-e", "larq", "--allow", "sign-zero=+1", "--json")
    assert allowed.code == 0
    changes = allowed.json["engines"]["larq"]["changes"]
    found = {(change["layer"], change["key"]) for change in changes}
    assert {("net.c2", "sign-zero"), ("net.c3", "sign-zero")} <= found


def test_the_native_engine_takes_what_the_libraries_refuse(check: Any, tmp_path: Path) -> None:
    path = model(tmp_path / "xnor.onnx", runtime_factor=True)
    assert check(path, "-e", "larq", "-e", "dabnn").code == 1
    result = check(path, "--engine", "native", "--json")
    assert result.code == 0
    judged = result.json["engines"]["native"]
    assert (judged["verdict"], judged["reasons"]) == ("deployable", [])


def test_a_model_without_binary_layers_says_why_of_each(check: Any, tmp_path: Path) -> None:
    path = model(tmp_path / "fp32.onnx", binary=False)
    result = check(path)
    assert result.code == 1
    assert "No layer of this model is binary" in result.out
    assert result.out.count("real-valued") == 3
    assert "what to do: a binary layer has weights of one magnitude a channel" in result.out
    assert {each["verdict"] for each in check(path, "--json").json["engines"].values()} == {"not_deployable"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--allow", "pading=-1"], "knows no 'pading'"),
        (["--engine", "bolt"], "no engine 'bolt'"),
    ],
)
def test_wrong_usage_ends_with_2(check: Any, tmp_path: Path, arguments: Sequence[str], message: str) -> None:
    result = check(model(tmp_path / "net.onnx"), *arguments)
    assert result.code == 2
    assert message in result.err
    assert "what to do" in result.err
    assert result.out == ""


def test_a_missing_file_ends_with_2(check: Any, tmp_path: Path) -> None:
    result = check(tmp_path / "nothing.onnx", "--json")
    assert result.code == 2
    assert result.out == ""


@pytest.mark.parametrize(
    ("found", "text"),
    [
        ([("n1", "l1")], "l1 (node n1)"),
        ([("", "l1")], "l1"),
        ([("n1", "")], "node n1"),
        ([("", "")], "the model"),
        ([("n1", "l1"), ("n2", "l2"), ("n3", "l2")], "2 layers, first l1 (node n1)"),
        ([("n1", ""), ("n2", "")], "2 nodes, first node n1"),
        ([("n1", "l1"), ("n2", "l1")], "2 nodes, first l1 (node n1)"),
    ],
)
def test_places(found: list[tuple[str, str]], text: str) -> None:
    assert places(found) == text


def test_the_module_imports_nothing_heavy() -> None:
    code = "import sys, bibench_deploy.cli.check; print({'numpy', 'onnx', 'pydantic'} & set(sys.modules))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "set()"
