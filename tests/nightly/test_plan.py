"""lab.toml: what it means, and every mistake with its line."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bibench_deploy.errors import InputError
from bibench_deploy.nightly import plan as plan_module
from bibench_deploy.nightly.plan import TABLES, store_of, workspace_of
from bibench_deploy.nightly.reading import parse_plan, plan_text, understand
from bibench_deploy.runners.cooldown import Bound

JSON = st.recursive(
    st.booleans() | st.integers(-2, 2) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["names", "x", "y"]), inner),
    max_leaves=4,
)

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
        ("format = 1", "format = 2", "lab.toml:1: format: Input should be 1"),
        ("format = 1", "formats = 1", "lab.toml:1: formats: unknown key; did you mean 'format'?"),
        ("format = 1", "format = 1\nname = 'a b'", "lab.toml:2: name: 'a b' can't name a plan"),
        ("format = 1", "format = 1\nkeep_days = 0", "lab.toml:2: keep_days: "),
        ('file = "b/*.onnx"', 'file = ""', "lab.toml:7: models[1].file: "),
        ('engines = ["larq"]', "engines = []", "lab.toml:8: models[1].engines: "),
        ('variants = ["fp32"]', 'variants = ["int8"]', "lab.toml:9: models[1].variants: "),
        ('file = "a.onnx"', 'files = "a.onnx"', "lab.toml:3: models[0].file: is needed"),
        (
            'file = "a.onnx"',
            'file = "a.onnx"\nengine = "larq"',
            "lab.toml:5: models[0].engine: unknown key; did",
        ),
        ('tags = ["nightly"]', "tags = []", "lab.toml:14: devices[1]: names or tags are needed"),
        ("threads = [1, 4]", "threads = [0]", "lab.toml:16: devices[1].threads: "),
        ("threads = [1, 4]", "cpus = 'huge'", "lab.toml:16: devices[1].cpus: 'huge' is neither"),
        ("factor = 1.1", "factor = 0.5", "lab.toml:19: gate.factor: "),
        ("factor = 1.1", "since = 'monday'", "lab.toml:19: gate.since: 'monday' is no date"),
        ("factor = 1.1", "since = 7", "lab.toml:19: gate.since: a date is needed"),
        (
            "factor = 1.1",
            "factor = 1.1\n[measure]\nmin_time = 9",
            "lab.toml:20: measure: max_time is less than min_time",
        ),
        (
            "[gate]",
            "[measure]\ncool_down = 'warm'\n[gate]",
            "lab.toml:19: measure.cool_down: 'warm' is no temperature to wait for; write auto, or degrees Celsius",
        ),
        ("[gate]", "[measure]\ncool_down = 500\n[gate]", "lab.toml:19: measure.cool_down: '500' is no"),
        ("[gate]", "[measure]\ncool_down = nan\n[gate]", "lab.toml:19: measure.cool_down: 'nan' is no"),
        ("[gate]", "[measure]\ncool_down = true\n[gate]", "lab.toml:19: measure.cool_down: a temperature"),
        ("[gate]", "[measure]\ncool_down.celsius = 50\n[gate]", "measure.cool_down: a temperature"),
        ("[gate]", "[measure]\ncooldown = 50\n[gate]", "unknown key; did you mean 'cool_down'?"),
        (
            "[gate]",
            "[budget]\nnight = '6 hours'\n[gate]",
            "lab.toml:19: budget.night: '6 hours' is no duration",
        ),
        ("[gate]", "budget.night = true\n[gate]", "lab.toml:18: devices[1].budget: unknown key"),
        ("[gate]", "[budget]\nnight = true\n[gate]", "lab.toml:19: budget.night: a duration is needed"),
        ("[gate]", "[budget]\nnight = '8d'\n[gate]", "lab.toml:19: budget.night: "),
        ("[gate]", "[retries]\nattempts = 0\n[gate]", "lab.toml:19: retries.attempts: "),
        ("[gate]", "[gates]", "lab.toml:18: gates: unknown key; did you mean 'gate'?"),
        ("factor = 1.1", "factor = ", "lab.toml:19: plan: not TOML: Invalid value"),
        ("[gate]", "[gate]\n[gate]", "lab.toml:19: plan: not TOML: Cannot declare"),
        ("factor = 1.1", 'factor = """', "lab.toml:20: plan: not TOML: "),
    ],
)
def test_a_mistake_and_its_line(old: str, new: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_plan(GOOD.replace(old, new), "lab.toml")
    assert message in caught.value.message
    assert caught.value.where == "lab.toml"


@pytest.mark.parametrize(
    ("written", "bound"),
    [('"auto"', Bound()), ("50", Bound(50.0)), ("47.5", Bound(47.5)), ('"50"', Bound(50.0))],
)
def test_what_turns_wait_for(written: str, bound: Bound) -> None:
    assert parse_plan(f"{GOOD}\n[measure]\ncool_down = {written}\n", "lab.toml").measure.cool_down == bound
    assert parse_plan(GOOD, "lab.toml").measure.cool_down is None


def test_all_mistakes_are_told_once_each_in_their_order() -> None:
    wrong = GOOD.replace("factor = 1.1", "factor = 99").replace("[1, 4]", "[-1, 0]").replace("format = 1", "")
    with pytest.raises(InputError) as caught:
        parse_plan(wrong, "lab.toml")
    told = [line.split(": ")[:2] for line in caught.value.message.splitlines()[1:]]
    assert told == [
        ["lab.toml:16", "devices[1].threads"],
        ["lab.toml:16", "devices[1].threads"],
        ["lab.toml:19", "gate.factor"],
        ["lab.toml", "format"],
    ]


def test_what_is_right_is_kept_for_further_checks() -> None:
    wrong = GOOD.replace('file = "a.onnx"', 'files = "a"').replace("[1, 4]", "[0]").replace("1.1", "99")
    partial = understand(wrong, "lab.toml").partial
    assert partial is not None
    assert [entry.file for entry in partial.plan.models] == ["b/*.onnx"]
    assert [entry.threads for entry in partial.plan.devices] == [None, None]
    assert partial.written(("models", 0, "file")) == ("models", 1, "file")
    assert partial.written(("devices", 1, "tags", 0)) == ("devices", 1, "tags", 0)
    assert partial.written(("gate",)) == ("gate",)


@pytest.mark.parametrize(
    "text", ["", "models = 3", "[[models]]\nfile = 3", "devices = [1, 2]\nmodels = [[]]", "a ="]
)
def test_of_some_plans_nothing_is_left(text: str) -> None:
    read = understand(text, "lab.toml")
    assert read.plan is None
    assert read.partial is None
    assert read.mistakes


@settings(max_examples=40)
@given(st.dictionaries(st.sampled_from([*sorted(TABLES["models"].model_fields), "x"]), JSON), JSON, JSON)
def test_no_plan_escapes_as_another_error(models: dict[str, Any], devices: Any, gate: Any) -> None:
    """Whatever stands in it: a plan, or mistakes."""
    import tomlkit

    document = {"format": 1, "models": [models], "devices": devices, "gate": gate}
    read = understand(tomlkit.dumps(document), "lab.toml")
    assert (read.plan is None) == bool(read.mistakes)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("'90s'", 90), ("'1.5h'", 5400), ("'1h30m'", 5400), ("'1d'", 86400), ("45", 45), ("0.5", 0.5)],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_plan(GOOD + f"[budget]\nnight = {text}\n", "lab.toml").budget.night == seconds


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-20T06:00:00Z", datetime(2026, 11, 20, 6, tzinfo=UTC)),
        ("'2026-11-20T06:00:00+01:00'", datetime(2026, 11, 20, 5, tzinfo=UTC)),
        ("2026-11-20", datetime(2026, 11, 20).astimezone()),
        ("2026-11-20 06:00:00", datetime(2026, 11, 20, 6).astimezone()),
    ],
)
def test_since(text: str, moment: datetime) -> None:
    assert parse_plan(GOOD + f"since = {text}\n", "lab.toml").gate.since == moment


def test_a_plan_is_called_like_its_file_unless_it_says_otherwise(tmp_path: Path) -> None:
    assert parse_plan(GOOD, "a/board-farm.toml").name == "board-farm"
    assert parse_plan("name = 'x'\n" + GOOD, "lab.toml").name == "x"
    with pytest.raises(InputError, match="can't name a plan"):
        parse_plan(GOOD, "my lab.toml")


def test_paths_are_relative_to_the_plan(tmp_path: Path) -> None:
    plan = parse_plan("store = 'rows.sqlite'\n" + GOOD, "lab.toml")
    assert workspace_of(plan, tmp_path / "lab.toml") == tmp_path / "nightly"
    assert store_of(plan, tmp_path / "lab.toml").path == tmp_path / "rows.sqlite"
    assert store_of(plan, tmp_path / "lab.toml", str(tmp_path / "b.db")).path == tmp_path / "b.db"
    plain = parse_plan(GOOD, "lab.toml")
    assert store_of(plain, tmp_path / "lab.toml").path == tmp_path / "nightly/results.sqlite"


def test_the_docstring_is_a_plan() -> None:
    block = (plan_module.__doc__ or "").split("::", 1)[1].split("What is left out")[0]
    text = "\n".join(line.removeprefix("    ") for line in block.splitlines())
    plan = parse_plan(text, "lab.toml")
    no_defaults = {"store": True, "models": True, "devices": True, "budget": True, "gate": True}
    no_defaults |= {"measure": {"cool_down"}}
    usual = parse_plan(GOOD, "lab.toml").model_dump(exclude=no_defaults)  # type: ignore[arg-type]
    assert plan.model_dump(exclude=no_defaults) == usual  # type: ignore[arg-type]


def test_the_example_is_a_plan() -> None:
    path = Path(__file__).parents[2] / "examples/lab.toml"
    assert parse_plan(plan_text(path), str(path)).name == "lab"


def test_nothing_to_do_is_a_mistake() -> None:
    with pytest.raises(InputError, match="models: is needed"):
        parse_plan("format = 1\n[[devices]]\nnames = ['a']\n", "lab.toml")


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="can't be read"):
        plan_text(tmp_path / "lab.toml")
