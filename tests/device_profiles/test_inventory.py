"""The inventory: boards found by name, tag or ssh alias; and what a wrong file is answered with."""

from __future__ import annotations

from pathlib import Path

import pytest

from bibench_deploy.device_profiles import HostEntry, Inventory, load_profiles, read_inventory, split_names
from bibench_deploy.errors import InputError

PROFILES = load_profiles()
LAB = """\
[devices.kitchen]
profile = "raspberrypi4"   # an alias
host = "192.168.1.20"
user = "pi"
port = 2222
key = "keys/kitchen"
known_hosts = "~/lab_hosts"
jump = "gate@lab.example:2200"
workdir = "~/my work"
tags = ["nightly", "arm"]

[devices.rpi4]
profile = "rpi4"
host = "pi.local"
tags = ["nightly"]

[devices."shelf.2"]
profile = "generic-x86_64"
host = "fe80::1%eth0"
"""


def inventory(folder: Path, text: str = LAB) -> Inventory:
    file = folder / "devices.toml"
    file.write_text(text, encoding="utf-8")
    return read_inventory(file)


def names(folder: Path, wanted: list[str], tags: list[str]) -> list[str]:
    return [device.name for device in inventory(folder).resolve(wanted, tags, PROFILES)]


def test_an_entry_is_read_whole(tmp_path: Path) -> None:
    (kitchen,) = inventory(tmp_path).resolve(["kitchen"], [], PROFILES)
    assert kitchen.entry == HostEntry(
        profile="raspberrypi4",
        host="192.168.1.20",
        user="pi",
        port=2222,
        key=tmp_path / "keys/kitchen",
        known_hosts=Path.home() / "lab_hosts",
        jump="gate@lab.example:2200",
        workdir="my work",
        tags=("nightly", "arm"),
    )
    assert (kitchen.profile.id, kitchen.host, kitchen.workdir) == ("rpi4", "192.168.1.20", "my work")


def test_a_profile_without_an_entry_is_an_ssh_alias(tmp_path: Path) -> None:
    (device,) = inventory(tmp_path).resolve(["rpi4b"], [], PROFILES)
    assert (device.name, device.host, device.profile.id, device.entry) == ("rpi4b", "rpi4b", "rpi4", None)
    assert device.workdir == ".cache/bibench-deploy"


def test_an_entry_goes_before_the_profile_of_its_name(tmp_path: Path) -> None:
    (device,) = inventory(tmp_path).resolve(["rpi4"], [], PROFILES)
    assert device.host == "pi.local"


@pytest.mark.parametrize(
    ("wanted", "tags", "found"),
    [
        (["rpi4", "kitchen"], [], ["rpi4", "kitchen"]),
        (["kitchen", "kitchen"], [], ["kitchen"]),
        ([], ["nightly"], ["kitchen", "rpi4"]),
        ([], ["arm", "nightly"], ["kitchen", "rpi4"]),
        (["shelf.2", "rpi4"], ["nightly"], ["shelf.2", "rpi4", "kitchen"]),
        ([], [], []),
    ],
)
def test_names_go_before_tags_and_each_device_comes_once(
    tmp_path: Path, wanted: list[str], tags: list[str], found: list[str]
) -> None:
    assert names(tmp_path, wanted, tags) == found


def test_what_no_one_knows_is_answered_with_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown device 'cellar'") as caught:
        names(tmp_path, ["cellar"], [])
    assert "kitchen, rpi4, shelf.2" in str(caught.value)
    assert "generic-aarch64" in str(caught.value)
    with pytest.raises(InputError, match="no device has the tag 'daily'") as caught:
        names(tmp_path, [], ["daily"])
    assert "arm, nightly" in str(caught.value)


@pytest.mark.parametrize(
    ("wanted", "meant"), [("kitchn", "kitchen"), ("rpi44", "rpi4"), ("raspbery-pi-5", "raspberry-pi-5")]
)
def test_a_name_that_is_nearly_one_is_asked_for(tmp_path: Path, wanted: str, meant: str) -> None:
    with pytest.raises(InputError, match=f"unknown device '{wanted}'") as caught:
        names(tmp_path, [wanted], [])
    assert str(caught.value.remedy).startswith(f"did you mean '{meant}'? ")


def test_an_entry_of_an_unknown_profile_is_named(tmp_path: Path) -> None:
    lab = inventory(tmp_path, '[devices.a]\nprofile = "rpi99"\nhost = "a"\n')
    with pytest.raises(InputError, match="unknown device profile 'rpi99'") as caught:
        lab.resolve(["a"], [], PROFILES)
    assert str(caught.value.where).endswith("devices.toml [devices.a]")


ENTRY = '[devices.a]\nprofile = "rpi4"\nhost = "a"\n'


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[devices.a\n", r"not a TOML file \(.*line 1"),
        (ENTRY + "port = 22\nport = 23\n", r"not a TOML file \(.*line 5"),
        (ENTRY + "prot = 22\n", r"prot: unknown key.*did you mean 'port'"),
        (ENTRY + "colour = 1\n", r"colour: unknown key.*its keys are: profile, host"),
        (ENTRY + 'password = "s3cret"\n', "a password has no place here.*ssh-copy-id"),
        (ENTRY + "port = 0\n", "port: Input should be greater"),
        (ENTRY + "port = 65536\n", "port: Input should be less"),
        (ENTRY + "tags = 'x'\n", "tags: Input should be"),
        (ENTRY + "tags = ['a b']\n", r"tags\.0: .* has not the form that is needed"),
        (ENTRY + "key = ''\n", "key: a file name is needed"),
        (ENTRY + "user = '-oProxyCommand=x'\n", "user: .* has not the form that is needed"),
        (ENTRY + "jump = '-oProxyCommand=x'\n", "jump: .* has not the form that is needed"),
        (ENTRY + "workdir = '~'\n", "workdir: a folder of its own"),
        (ENTRY + "workdir = '/'\n", "workdir: a folder of its own"),
        (ENTRY + "workdir = 'a/../..'\n", r"workdir: '\.\.' in a path"),
        (ENTRY + "workdir = '$HOME/x'\n", "workdir: a path is not expanded"),
        (ENTRY + 'workdir = "a\\nb"\n', "workdir: a control character"),
        (
            "[devices.a]\nprofile = 'rpi4'\nhost = '-oProxyCommand=x'\n",
            "host: .* has not the form that is needed",
        ),
        ("[devices.a]\nprofile = 'rpi4'\n", "host: Field required"),
        ("[devices.a]\nhost = 'a'\n", "profile: Field required"),
        ("[devices.'a b']\nprofile = 'rpi4'\nhost = 'a'\n", "'a b' can't name a device"),
        ("[devices.local]\nprofile = 'rpi4'\nhost = 'a'\n", "'local' always is this machine"),
        ("[device.a]\nprofile = 'rpi4'\n", r"device: not a table \[devices.NAME\]"),
        ("devices = 1\n", r"devices: not a table \[devices.NAME\]"),
        ("[devices]\na = 1\n", "not a valid device"),
    ],
)
def test_a_wrong_file_is_named_with_its_table_and_key(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(InputError, match=f"(?s){why}") as caught:
        inventory(tmp_path, text)
    assert str(caught.value.where).startswith(str(tmp_path / "devices.toml"))


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "devices.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="not a TOML file"):
        read_inventory(tmp_path / "devices.toml")


def test_a_given_file_must_be_there_and_be_a_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such inventory"):
        read_inventory(tmp_path / "absent.toml")
    with pytest.raises(InputError, match="can't be read"):
        read_inventory(tmp_path)


def test_the_users_own_may_be_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert read_inventory() == Inventory(tmp_path / "bibench-deploy/devices.toml")
    (tmp_path / "bibench-deploy").mkdir()
    (tmp_path / "bibench-deploy/devices.toml").write_text(LAB, encoding="utf-8")
    assert list(read_inventory().entries) == ["kitchen", "rpi4", "shelf.2"]


@pytest.mark.parametrize(
    ("values", "found"),
    [([], ()), (["a"], ("a",)), (["a,b", "c", "a"], ("a", "b", "c")), (["a, b"], ("a", "b"))],
)
def test_a_list_of_names(values: list[str], found: tuple[str, ...]) -> None:
    assert split_names(values) == found


@pytest.mark.parametrize("value", ["", "a,", ",a", "a,,b"])
def test_an_empty_name_is_refused(value: str) -> None:
    with pytest.raises(InputError, match="an empty name"):
        split_names([value])
