"""lab.toml: what it means, and every mistake with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from bibench_deploy.errors import InputError
from bibench_deploy.nightly.plan import parse_plan, read_plan

GOOD = """format = 1

[[models]]
file = "a.onnx"

[[models]]
file = "b/*.onnx"
engines = ["larq"]
variants = ["fp32"]

[[devices]]
names = ["rpi4"]

[[devices]]
tags = ["nightly"]
threads = [1, 4]

[gate]
factor = 1.1
"""


def test_a_plan_and_what_it_leaves_out() -> None:
    plan = parse_plan(GOOD, "lab.toml")
    first, second = plan.models
    assert (first.engines, first.variants) == (("native",), ("binarized", "fp32"))
    assert (second.file, second.engines, second.variants) == ("b/*.onnx", ("larq",), ("fp32",))
    assert [devices.threads for devices in plan.devices] == [None, (1, 4)]
    assert (plan.gate.factor, plan.gate.nights, plan.measure.max_time) == (1.1, 7, 5.0)
    assert (plan.store, plan.workspace) == (None, "nightly")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("format = 1", "format = 2", "line 1: format: Input should be 1"),
        ("format = 1", "formats = 1", "line 1: formats: unknown key"),
        ('file = "b/*.onnx"', 'file = ""', "line 7: models.file"),
        ('engines = ["larq"]', "engines = []", "line 8: models.engines"),
        ('variants = ["fp32"]', 'variants = ["int8"]', "line 9: models.variants"),
        ('file = "a.onnx"', 'files = "a.onnx"', "line 3: models.file: Field required"),
        ('file = "a.onnx"', 'file = "a.onnx"\nengine = "larq"', "line 5: models.engine: unknown key"),
        ('tags = ["nightly"]', "tags = []", "line 14: devices: names or tags are needed"),
        ("threads = [1, 4]", "threads = [0]", "line 16: devices.threads"),
        ("factor = 1.1", "factor = 0.5", "line 19: gate.factor"),
        ("factor = 1.1", "factor = 1.1\n[measure]\nmin_time = 9", "measure: max_time is less than min_time"),
        ("[gate]", "[gates]", "line 18: gates: unknown key"),
        ("factor = 1.1", "factor = ", "not TOML"),
    ],
)
def test_a_mistake_and_its_line(old: str, new: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_plan(GOOD.replace(old, new), "lab.toml")
    assert message in caught.value.message
    assert caught.value.where == "lab.toml"


def test_all_mistakes_are_told() -> None:
    wrong = GOOD.replace("factor = 1.1", "factor = 99").replace("[1, 4]", "[-1]")
    with pytest.raises(InputError) as caught:
        parse_plan(wrong, "lab.toml")
    assert "line 16: devices.threads" in caught.value.message
    assert "line 19: gate.factor" in caught.value.message


def test_nothing_to_do_is_a_mistake() -> None:
    with pytest.raises(InputError, match="models: Field required"):
        parse_plan("format = 1\n[[devices]]\nnames = ['a']\n", "lab.toml")


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="can't be read"):
        read_plan(tmp_path / "lab.toml")
