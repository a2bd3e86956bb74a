"""Device profiles: facts, found by id or alias, from the package or a user's folder."""

from __future__ import annotations

import csv
from importlib.resources import files
from pathlib import Path

import pytest

from bibench_deploy.device_profiles import DeviceProfile, find_profile, load_profiles
from bibench_deploy.errors import InputError

MINE = 'format = 1\nid = "{id}"\nname = "my board"\narch = "aarch64"\nsource = "its label"\n'

CLUSTER = "[[clusters]]\ncore = 'a'\ncount = 1\nmax_mhz = {mhz}\n"


def write(folder: Path, name: str, text: str) -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def test_every_device_of_the_papers_table_has_a_profile() -> None:
    table = files("bibench_deploy.results.published") / "bibench_hardware_latency_ms.csv"
    with table.open(encoding="utf-8", newline="") as stream:
        measured = {row["device"] for row in csv.DictReader(stream)}
    assert {p.published for p in load_profiles().values()} - {None} == measured


@pytest.mark.parametrize(
    "name",
    [
        "rpi5", "rpi-zero2w", "rk3588", "jetson-orin-nano", "snapdragon8gen2", "snapdragon8gen3", "dimensity9300",
        "m1", "m1-max", "m2", "m3", "m4", "kirin990", "rpi3b+", "snapdragon855+",
        "generic-aarch64", "generic-x86_64", "generic-armv7",
    ],
)  # fmt: skip
def test_boards_that_people_own_have_one_too(name: str) -> None:
    assert find_profile(name, load_profiles())


def test_phones_are_reached_through_termux() -> None:
    phone = load_profiles()["kirin990"]
    assert (phone.reach.port, phone.reach.user, phone.reach.workdir) == (8022, None, ".cache/bibench-deploy")


def test_a_clock_that_is_not_known_is_left_out() -> None:
    assert [cluster.max_mhz for cluster in load_profiles()["kirin990"].clusters] == [2860, None, None]


def test_the_raspberry_pi_4() -> None:
    pi = load_profiles()["rpi4"]
    (cluster,) = pi.clusters
    assert (cluster.core, cluster.count, cluster.max_mhz) == ("Cortex-A72", 4, 1500)
    assert (pi.cores, pi.arch, pi.soc) == (4, "aarch64", "Broadcom BCM2711")


def test_a_generic_profile_has_no_number_of_cores() -> None:
    assert load_profiles()["generic-aarch64"].cores is None


def test_no_name_stands_for_two_built_in_profiles() -> None:
    names = [name for p in load_profiles().values() for name in (p.id, *p.aliases)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", ["rpi4", "rpi4b", "raspberrypi4"])
def test_a_profile_is_found_by_id_or_alias(name: str) -> None:
    assert find_profile(name, load_profiles()).id == "rpi4"


def test_an_unknown_profile_is_answered_with_those_that_are_known() -> None:
    with pytest.raises(InputError, match="unknown device profile 'rpi9'") as caught:
        find_profile("rpi9", load_profiles())
    assert ", ".join(sorted(load_profiles())) in str(caught.value)


def test_a_users_folder_adds_profiles_and_replaces_built_in_ones(tmp_path: Path) -> None:
    write(tmp_path, "mine.toml", MINE.format(id="mine"))
    write(tmp_path, "rpi4.toml", MINE.format(id="rpi4"))
    profiles = load_profiles([tmp_path])
    assert profiles["mine"].name == profiles["rpi4"].name == "my board"
    assert "generic-x86_64" in profiles


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("format = 1\nid = ", "not a TOML file"),
        ("format = 2\n" + MINE.format(id="mine")[11:], "format: Input should be 1"),
        (MINE.format(id="mine") + "colour = 'red'\n", "colour: unknown key"),
        (MINE.format(id="mine") + "threads = [0]\n", "threads.0: Input should be greater than 0"),
        (MINE.format(id="mine").replace("aarch64", "sparc"), "arch: Input should be"),
        (
            MINE.format(id="mine") + "".join(CLUSTER.format(mhz=mhz) for mhz in (1, 2)),
            "the fastest comes first",
        ),
        (MINE.format(id="mine") + "[reach]\nworkdir = '/'\n", "reach.workdir: a folder of its own"),
        (MINE.format(id="other"), "'other' lies in a file of another name"),
        (MINE.format(id="mine") + 'aliases = ["local"]\n', "'local' always is this machine"),
    ],
)
def test_an_invalid_profile_is_named_with_its_file_and_field(tmp_path: Path, text: str, why: str) -> None:
    file = write(tmp_path, "mine.toml", text)
    with pytest.raises(InputError, match=why) as caught:
        load_profiles([tmp_path])
    assert caught.value.where == str(file)


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        load_profiles([tmp_path / "absent"])


def test_a_profile_is_a_fact_and_does_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_profiles()["rpi4"].name = "something else"  # type: ignore[misc]
    assert isinstance(load_profiles()["rpi4"], DeviceProfile)
