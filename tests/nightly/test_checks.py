"""What 'plan check' says of plans that the schema takes: files, engines, devices, models, time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bibench_deploy.device_profiles import load_profiles
from bibench_deploy.errors import InputError
from bibench_deploy.nightly import pools
from bibench_deploy.nightly.checks import open_plan
from bibench_deploy.nightly.conversion import Task, convert_stale
from bibench_deploy.nightly.foresight import Checked, check
from bibench_deploy.runners.providers import DeviceProvider, provider
from bibench_deploy.runners.registry import Registry
from support.cli_nets import write_net
from support.command import bibench, bibench_here, is_clean
from support.programs import ARM, LARQ, elf

INVENTORY = """
[devices.kitchen]
profile = "rpi4"
host = "192.0.2.1"
tags = ["nightly"]

[devices.phone]
profile = "kirin970"
host = "192.0.2.2"
"""

GOOD = """format = 1

[[models]]
file = "good.onnx"

[[devices]]
tags = ["nightly"]
threads = [1, 2]
"""


@pytest.fixture(scope="module")
def nets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with models: one that every engine takes, XNOR's, and one without a binary layer."""
    folder = tmp_path_factory.mktemp("nets")
    write_net(folder / "good.onnx", layers=1)
    write_net(folder / "xnor.onnx", layers=1, runtime_factor=True)
    write_net(folder / "float.onnx", layers=1, binary=False)
    (folder / "damaged.onnx").write_bytes(b"no model")
    return folder


@pytest.fixture
def lab(nets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for a plan, beside links to the models; an inventory; no registered programs."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.delenv("BIBENCH_STORE", raising=False)
    for model in nets.iterdir():
        (tmp_path / model.name).symlink_to(model)
    (tmp_path / "devices.toml").write_text(INVENTORY)
    return tmp_path


def devices(folder: Path) -> DeviceProvider:
    return provider(None, folder / "devices.toml", load_profiles())


def checked(folder: Path, text: str) -> Checked:
    (folder / "lab.toml").write_text(text)
    return check(folder / "lab.toml", devices(folder), pools.pool(None, 1))


def told(folder: Path, text: str) -> list[str]:
    return [mistake.text("lab.toml") for mistake in checked(folder, text).mistakes]


def test_a_good_plan(lab: Path) -> None:
    found = checked(lab, GOOD)
    assert (found.ok, found.mistakes) == (True, ())
    assert found.foresight is not None
    assert len(found.foresight.wanted) == 4
    assert [task.model.name for task in found.foresight.stale] == ["good.onnx"]
    assert not (lab / "nightly").exists(), "looking changes nothing"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("good.onnx", "bad*.onnx", "lab.toml:4: models[0].file: 'bad*.onnx' fits no file in "),
        (
            "good.onnx",
            "damaged.onnx",
            "lab.toml:4: models[0].file: 'DIR/damaged.onnx': not an ONNX file, or a",
        ),
        (
            "good.onnx",
            "float.onnx",
            "lab.toml:4: models[0].file: 'DIR/float.onnx' is not deployable on native: no layer of this model is",
        ),
        (
            'good.onnx"',
            'good.onnx"\nengines = ["lark"]',
            "lab.toml:5: models[0].engines: no engine 'lark'; choose one of larq, dabnn, native",
        ),
        (
            'good.onnx"',
            'good.onnx"\nengines = ["native", "dabnn"]',
            "lab.toml:7: devices[0]: no program of dabnn is registered for devices (kitchen); see 'bibench-deploy",
        ),
        (
            'good.onnx"',
            'good.onnx"\nallow = ["padding=7"]',
            "lab.toml:5: models[0].allow: --allow padding takes",
        ),
        (
            'good.onnx"',
            'good.onnx"\ndata = "x.npz"',
            "lab.toml:5: models[0].data: there is no file 'DIR/x.npz'",
        ),
        (
            '["nightly"]',
            '["weekly"]',
            "lab.toml:7: devices[0].tags: no device has the tag 'weekly'; the tags are: ",
        ),
        ("tags", 'names = ["pi"]\ntags', "lab.toml:7: devices[0].names: unknown device 'pi'; your inventory"),
        ("tags", 'cpus = "big"\ntags', "lab.toml:7: devices[0].cpus: all cores of kitchen are alike"),
        ("format = 1", "format = 1\nstore = 'x://y'", "lab.toml:2: store: 'x' is no known database"),
        (
            "[[devices]]",
            '[[models]]\nfile = "./*od.onnx"\nallow = ["padding=-1"]\n[[devices]]',
            "lab.toml:7: models[1].file: 'DIR/good.onnx' stands in models[0] too, with another allow or data",
        ),
        (
            "[[devices]]",
            "[budget]\nnight = '3s'\n[[devices]]",
            "lab.toml:7: budget.night: the night takes 1 min to ",
        ),
        (
            "[[devices]]",
            "[budget]\ndevice = '3s'\n[[devices]]",
            "lab.toml:7: budget.device: measuring on kitchen takes 1 min to ",
        ),
    ],
)
def test_a_mistake(lab: Path, old: str, new: str, expected: str) -> None:
    text = GOOD.replace(old, new)
    found = told(lab, text)
    assert len(found) == 1
    assert found[0].startswith(expected.replace("DIR", str(lab)))
    assert not checked(lab, text).ok
    if "onnx'" not in expected and "budget" not in expected:  # what no night could begin with
        with pytest.raises(InputError) as caught:
            open_plan(lab / "lab.toml", devices(lab))
        assert expected.replace("DIR", str(lab)).partition(": ")[2] in caught.value.message


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"threads = [1, 2]": "threads = [4, 8]"},
            "lab.toml:8: warning: devices[0].threads: 8 threads are more than the cores of kitchen (4)",
        ),
        (
            {
                'good.onnx"': 'xnor.onnx"\nengines = ["native", "larq"]',
                'tags = ["nightly"]': 'names = ["local"]',
            },
            "lab.toml:4: warning: models[0].file: 'DIR/xnor.onnx' is not deployable on larq: ",
        ),
        (
            {"[[devices]]": "[[devices]]\nengines = ['native', 'dabnn']"},
            "lab.toml:7: warning: devices[0].engines: no model asks for 'dabnn'",
        ),
        (
            {"[[devices]]": "[budget]\nnight = '80s'\n[[devices]]"},
            "lab.toml:7: warning: budget.night: the night may take 1 min to ",
        ),
        (
            {"format = 1": "format = 1\nstore = 'postgresql://127.0.0.1:1/x'"},
            "lab.toml:2: warning: store: ",
        ),
    ],
)
def test_a_warning_stops_nobody(lab: Path, changes: dict[str, str], expected: str) -> None:
    text = GOOD
    for old, new in changes.items():
        text = text.replace(old, new)
    found = checked(lab, text)
    assert [
        mistake.text("lab.toml").startswith(expected.replace("DIR", str(lab))) for mistake in found.mistakes
    ] == [True]
    assert found.ok
    open_plan(lab / "lab.toml", devices(lab))


def test_a_program_for_other_devices_is_worth_a_warning(lab: Path) -> None:
    """Only a look at the device tells for sure: its userland may have 32 bits."""
    (lab / "lce_benchmark_model").write_bytes(elf(LARQ, machine=ARM))
    Registry().add("larq", lab / "lce_benchmark_model")
    text = GOOD.replace('good.onnx"', 'good.onnx"\nengines = ["larq"]')
    found = checked(lab, text)
    assert found.ok
    assert [mistake.text("lab.toml") for mistake in found.mistakes] == [
        "lab.toml:7: warning: devices[0]: kitchen: no lce_benchmark_model of larq is registered for aarch64-linux; "
        "bibench-deploy engines add larq --target aarch64-linux PATH"
    ]
    assert {job.engine for job in found.foresight.wanted} == {"larq"} if found.foresight else False


def test_models_that_could_not_be_told_apart(lab: Path) -> None:
    (lab / "more").mkdir()
    write_net(lab / "more/good.onnx", layers=2)
    found = told(lab, GOOD.replace("good.onnx", "**/good.onnx"))
    assert found == [
        f"lab.toml:4: models[0].file: '{lab}/more/good.onnx' is called like '{lab}/good.onnx': their results could "
        "not be told apart; rename one"
    ]


def test_models_that_are_the_same(lab: Path) -> None:
    (lab / "same.onnx").write_bytes((lab / "good.onnx").read_bytes())
    found = checked(lab, GOOD.replace('"good.onnx"', '"[gs]*.onnx"'))
    assert found.ok
    assert [mistake.text("lab.toml") for mistake in found.mistakes] == [
        f"lab.toml:4: warning: models[0].file: '{lab}/same.onnx' has the same bytes as '{lab}/good.onnx', and is "
        "measured as that"
    ]


def test_mistakes_of_all_kinds_at_once(lab: Path) -> None:
    text = GOOD.replace("good.onnx", "bad.onnx").replace("nightly", "weekly").replace("[1, 2]", "[0]")
    text += "[[devices]]\nnames = ['phone']\nthread = [1]\n[gate]\nfactor = 0\n"
    places = [line.split(": ")[:2] for line in told(lab, text)]
    assert places == [
        ["lab.toml:4", "models[0].file"],
        ["lab.toml:7", "devices[0].tags"],
        ["lab.toml:8", "devices[0].threads"],
        ["lab.toml:11", "devices[1].thread"],
        ["lab.toml:13", "gate.factor"],
    ]


def test_what_was_converted_is_not_read_again(lab: Path) -> None:
    task = Task(lab / "good.onnx", "dabnn", twin=True)
    converted = convert_stale([task], lab / "nightly", pools.pool(None, 1))
    assert converted.made == 1
    read: list[str] = []
    text = GOOD.replace('good.onnx"', 'good.onnx"\nengines = ["dabnn"]').replace(
        "tags", "names = ['local']\ntags"
    )
    (lab / "lab.toml").write_text(text)
    # Neither here nor on the board can daBNN be measured, so that nothing is left to be read.
    found = check(lab / "lab.toml", devices(lab), pools.pool(None, 1), say=read.append)
    assert not found.ok
    assert read == []


def test_the_command(lab: Path) -> None:
    (lab / "lab.toml").write_text(GOOD + "[gate]\nfactr = 2\n")
    options = ("plan", "check", "lab.toml", "--inventory", "devices.toml")
    wrong = bibench(*options, cwd=lab)
    assert wrong.returncode == 2
    assert wrong.stdout == "lab.toml:10: gate.factr: unknown key; did you mean 'factor'?\n"
    assert is_clean(wrong.stderr)
    (lab / "lab.toml").write_text(GOOD)
    right = bibench_here(*options, cwd=lab, COLUMNS="120")
    assert right.returncode == 0
    assert "kitchen  good    native   binarized, fp32  1, 2        4" in right.stdout
    assert "4 jobs on 1 device: " in right.stdout
    document = json.loads(bibench_here(*options, "--json", cwd=lab).stdout)
    assert (document["ok"], document["mistakes"], len(document["jobs"])) == (True, [], 4)
    assert document["stale"] == [{"model": "good", "engine": "native"}]
    assert document["expected"]["wall_s"]["low"] <= document["expected"]["wall_s"]["high"]


def test_a_store_that_is_none(lab: Path) -> None:
    (lab / "rows.sqlite").write_text("not a database")
    found = told(lab, GOOD.replace("format = 1", "format = 1\nstore = 'rows.sqlite'"))
    assert len(found) == 1
    assert found[0].startswith("lab.toml:2: store: ")
