"""Layers timed one by one: what ``bibench-run --per-op`` prints, and the real program on a real model."""

from __future__ import annotations

import json
from typing import Any

import pytest
from rich.console import Console

from bibench_deploy.errors import EngineError
from bibench_deploy.results import Store
from bibench_deploy.results.operator_tables import operator_documents, show_operators
from bibench_deploy.runners.operators import Operator, options, read_operators, shares
from support.rows import make_row

LINES: list[dict[str, Any]] = [
    {"name": "conv0", "opcode": "conv", "median_ns": 6000, "float_macs": 120000, "ceiling_gmacs": 40.0},
    {"name": "conv1", "opcode": "bconv", "median_ns": 3000, "binary_macs": 1.5e6, "ceiling_gmacs": 1000.0},
    {"name": "pool", "opcode": "max_pool", "median_ns": 1000},
]
PRINTED = "".join(json.dumps(line) + "\n" for line in LINES)


def test_rates_shares_and_ceilings_follow_from_the_times() -> None:
    found = read_operators(PRINTED)
    assert shares(found) == pytest.approx([0.6, 0.3, 0.1])
    assert [operator.kind for operator in found] == ["float", "binary", None]
    assert [operator.gmacs for operator in found] == [pytest.approx(20), pytest.approx(500), None]
    assert [operator.of_ceiling for operator in found] == [pytest.approx(0.5), pytest.approx(0.5), None]
    assert operator_documents(found)[1]["percent_of_ceiling"] == pytest.approx(50)


@pytest.mark.parametrize(
    "text", ["nonsense", "{}", '{"name": "a", "opcode": "b", "median_ns": "soon"}', "[1]"]
)
def test_other_output_is_an_error_and_no_layer(text: str) -> None:
    with pytest.raises(EngineError, match="times of layers can't be read"):
        read_operators(text)


def test_cores_are_passed_on() -> None:
    assert options(2, (4, 5))[-2:] == ["--cpus", "4,5"]
    assert "--cpus" not in options(2)


def test_a_store_keeps_layers_and_a_table_shows_them(
    tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store.at(str(tmp_path / "store.sqlite"))
    store.append([make_row(engine="native", operators=read_operators(PRINTED)), make_row()])
    native, larq = store.read().rows
    assert all(isinstance(operator, Operator) for operator in native.operators)
    show_operators([native, larq], Console(width=80))
    printed = capsys.readouterr().out.splitlines()
    assert [line.split() for line in printed if line.startswith("conv1")] == [
        ["conv1", "bconv", "3.0", "30.0", "%", "500.0", "50", "%"]
    ]
    assert printed[-1] == "layers: not applicable (larq does not tell their times)"
