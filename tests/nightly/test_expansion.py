"""What a plan's jobs are, in which order, and which of them --only means."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bibench_deploy.device_profiles import Device, load_profiles, read_inventory
from bibench_deploy.errors import InputError
from bibench_deploy.nightly.expansion import Board, Wanted, boards_of, choose, expand, find_models
from bibench_deploy.nightly.plan import Plan
from bibench_deploy.nightly.reading import parse_plan
from bibench_deploy.runners.providers import provider

A, B, C = Path("m/a.onnx"), Path("m/b.onnx"), Path("c.onnx")
BOTH = frozenset({"native", "larq"})
PI, HERE = Board("pi", (1, 2, 4), BOTH, 4), Board("local", (1,), BOTH, 2)


def plan_of(models: str, devices: str) -> Plan:
    return parse_plan(f"format = 1\n{models}\n{devices}", "lab.toml")


TWO = plan_of(
    """
[[models]]
file = "m/*.onnx"
engines = ["native", "larq"]
[[models]]
file = "c.onnx"
variants = ["binarized"]
""",
    """
[[devices]]
names = ["pi"]
[[devices]]
names = ["local"]
threads = [2, 1]
cpus = "0"
engines = ["native"]
""",
)
JOBS = expand(TWO, ((A, B), (C,)), ((PI,), (HERE,)))


def test_the_whole_product_in_its_order() -> None:
    assert len(JOBS) == (2 * 2 * 2 + 1) * 3 + (2 * 2 + 1) * 2
    assert JOBS[:7] == (
        Wanted("pi", A, "native", "binarized", 1),
        Wanted("pi", A, "native", "fp32", 1),
        Wanted("pi", A, "native", "binarized", 2),
        Wanted("pi", A, "native", "fp32", 2),
        Wanted("pi", A, "native", "binarized", 4),
        Wanted("pi", A, "native", "fp32", 4),
        Wanted("pi", A, "larq", "binarized", 1),
    )
    assert JOBS[-2:] == (
        Wanted("local", C, "native", "binarized", 1, "0"),
        Wanted("local", C, "native", "binarized", 2, "0"),
    )


def test_units_are_not_torn_apart() -> None:
    """All jobs of one model on one device follow each other: they are measured in turns."""
    units = [(job.device, job.model) for job in JOBS]
    assert [unit for number, unit in enumerate(units) if number == 0 or units[number - 1] != unit] == list(
        dict.fromkeys(units)
    )


def test_what_two_entries_ask_for_is_measured_once() -> None:
    plan = plan_of(
        "[[models]]\nfile = 'm/*.onnx'\n[[models]]\nfile = 'm/a.onnx'\nengines = ['larq', 'native']",
        "[[devices]]\nnames = ['pi']\nthreads = [1]\n[[devices]]\ntags = ['x']\nthreads = [1, 2]",
    )
    jobs = expand(plan, ((A, B), (A,)), ((PI,), (PI,)))
    assert len(jobs) == len(set(jobs)) == 2 * 2 * (2 + 1)
    assert [job.model for job in jobs] == [A] * 8 + [B] * 4


def test_an_engine_that_a_device_lacks_is_left_out() -> None:
    bare = Board("pi", (1,), frozenset({"native"}))
    jobs = expand(TWO, ((A,), ()), ((bare,), ()))
    assert {job.engine for job in jobs} == {"native"}


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        ([], len(JOBS)),
        (["pi"], 27),
        (["pi", "local"], len(JOBS)),
        (["local", "larq"], None),
        (["larq"], 12),
        (["a", "b"], 24 + 8),
        (["a", "pi", "fp32"], 6),
        (["[ab]", "native", "p*"], 12),
        (["model=a"], 12 + 4),
        (["variant=*32", "model=b"], 6 + 2),
        (["device=a"], None),
        (["nothing"], None),
    ],
)
def test_only(only: Sequence[str], expected: int | None) -> None:
    if expected is None:
        with pytest.raises(InputError) as caught:
            choose(JOBS, only)
        assert caught.value.where == "--only"
        assert caught.value.remedy
    else:
        assert len(choose(JOBS, only)) == expected


@given(
    st.lists(st.sampled_from(["pi", "local", "a", "b", "c", "native", "larq", "fp32", "*", "?"]), max_size=4)
)
def test_only_takes_away_and_never_adds(only: list[str]) -> None:
    try:
        chosen = choose(JOBS, only)
    except InputError:
        return
    assert chosen == tuple(job for job in JOBS if job in chosen)
    assert choose(JOBS, [*reversed(only), *only]) == chosen


def test_files(tmp_path: Path) -> None:
    for name in ("m/b.onnx", "m/a.onnx", "m/x/d.onnx", "m/no.txt", "n[1].onnx"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "m/folder.onnx").mkdir()
    entries = [
        "m/*.onnx",
        "m/**/*.onnx",
        "n[1].onnx",
        "none/*",
        str(tmp_path / "m/a.onnx"),
        "m/../m/./a.onnx",
    ]
    text = "".join(f"[[models]]\nfile = '{entry}'\n" for entry in entries)
    found = find_models(plan_of(text, "[[devices]]\nnames = ['pi']"), tmp_path)
    a, b, d = tmp_path / "m/a.onnx", tmp_path / "m/b.onnx", tmp_path / "m/x/d.onnx"
    assert found == ((a, b), (a, b, d), (tmp_path / "n[1].onnx",), (), (a,), (a,))


def test_a_folder_whose_name_is_a_pattern(tmp_path: Path) -> None:
    folder = tmp_path / "lab[1]"
    folder.mkdir()
    (folder / "a.onnx").touch()
    plan = plan_of("[[models]]\nfile = '*.onnx'", "[[devices]]\nnames = ['pi']")
    assert find_models(plan, folder) == ((folder / "a.onnx",),)


def test_devices_of_an_inventory_and_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))  # no registered programs
    inventory = tmp_path / "devices.toml"
    inventory.write_text(
        '[devices.kitchen]\nprofile = "rpi4"\nhost = "a"\ntags = ["x"]\n'
        '[devices.cellar]\nprofile = "rpi3"\nhost = "b"\ntags = ["x"]\n'
    )
    plan = plan_of(
        "[[models]]\nfile = 'a'",
        "[[devices]]\nnames = ['local', 'cellar']\n[[devices]]\ntags = ['x']",
    )
    devices = provider(None, inventory, load_profiles())
    first, second = (boards_of(entry, devices) for entry in plan.devices)
    assert [board.name for board in first] == ["local", "cellar"]
    assert [board.name for board in second] == ["kitchen", "cellar"]
    profiles = load_profiles()
    kitchen = read_inventory(inventory).device("kitchen", profiles)
    assert isinstance(second[0].device, Device)
    assert second[0] == Board("kitchen", profiles["rpi4"].threads, frozenset({"native"}), 4, kitchen)
    assert first[0].device is None
    assert "dabnn" not in first[0].engines, "a model of daBNN's arithmetic has no time worth measuring"
