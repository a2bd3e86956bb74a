"""Changing the inventory's file: comments stay, what is there is not overwritten, and it is whole or as before."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bibench_deploy.device_profiles import read_inventory
from bibench_deploy.device_profiles.inventory_file import add_device, remove_device
from bibench_deploy.errors import InputError, OutputPathError

MINE = """\
# my boards

[devices.kitchen] # on the shelf
profile = "rpi4"
host = "pi.local"  # fixed lease
user = "pi"

# the phone
[devices.phone]
profile = "kirin990"
host = "192.168.1.9"
port = 8022
"""
PI = {"profile": "rpi4", "host": "10.0.0.2"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "devices.toml"
    path.write_text(MINE, encoding="utf-8")
    return path


def test_a_device_is_added_and_all_that_was_written_stays(file: Path) -> None:
    after = add_device(file, "new", {**PI, "port": 2222, "tags": ["a", "b"], "workdir": "my work"})
    assert file.read_text(encoding="utf-8").startswith(MINE)
    assert list(after.entries) == ["kitchen", "phone", "new"]
    assert read_inventory(file) == after
    assert after.entries["new"].tags == ("a", "b")


def test_the_first_device_makes_the_users_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    add_device(None, "kitchen", PI)
    assert (tmp_path / "config/bibench-deploy/devices.toml").read_text() == (
        '[devices.kitchen]\nprofile = "rpi4"\nhost = "10.0.0.2"\n'
    )


def test_a_given_file_is_made_but_not_its_folder(tmp_path: Path) -> None:
    add_device(tmp_path / "new.toml", "kitchen", PI)
    assert list(read_inventory(tmp_path / "new.toml").entries) == ["kitchen"]
    with pytest.raises(OutputPathError, match="the folder does not exist"):
        add_device(tmp_path / "absent/new.toml", "kitchen", PI)


def test_nothing_is_overwritten_unless_asked_to(file: Path) -> None:
    with pytest.raises(InputError, match="a device 'kitchen' already"):
        add_device(file, "kitchen", PI)
    assert file.read_text(encoding="utf-8") == MINE


def test_a_replaced_device_keeps_comments_and_loses_what_is_not_given(file: Path) -> None:
    add_device(file, "kitchen", PI, replace=True)
    expected = MINE.replace('"pi.local"', '"10.0.0.2"').replace('user = "pi"\n', "")
    assert file.read_text(encoding="utf-8") == expected


def test_a_device_is_removed_and_the_others_stay(file: Path) -> None:
    after = remove_device(file, "kitchen")
    assert list(after.entries) == ["phone"]
    text = file.read_text(encoding="utf-8")
    assert "# my boards" in text
    assert "[devices.phone]\nprofile" in text
    remove_device(file, "phone")
    assert read_inventory(file).entries == {}


def test_what_is_not_there_can_not_be_removed(file: Path) -> None:
    with pytest.raises(InputError, match="no device 'cellar' in the inventory") as caught:
        remove_device(file, "cellar")
    assert "kitchen, phone" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "keys", "why"),
    [
        ("local", PI, "always is this machine"),
        ("a b", PI, "can't name a device"),
        ("a", {**PI, "port": 0}, "port: Input should be"),
        ("a", {**PI, "host": "-oProxyCommand=reboot"}, "host: .* has not the form that is needed"),
        ("a", {**PI, "prot": 1}, "prot: unknown key"),
    ],
)
def test_a_wrong_key_is_refused_before_anything_is_written(
    file: Path, name: str, keys: dict[str, Any], why: str
) -> None:
    with pytest.raises(InputError, match=why):
        add_device(file, name, keys)
    assert file.read_text(encoding="utf-8") == MINE


def test_a_broken_file_is_not_touched(file: Path) -> None:
    file.write_text(MINE + "[devices.kitchen]\n", encoding="utf-8")
    with pytest.raises(InputError, match="not a TOML file"):
        add_device(file, "a", PI)
    assert file.read_text(encoding="utf-8") == MINE + "[devices.kitchen]\n"


def test_a_link_stays_a_link(file: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.toml"
    link.symlink_to(file)
    add_device(link, "new", PI)
    assert link.is_symlink()
    assert "new" in read_inventory(file).entries


@pytest.mark.parametrize(
    "text",
    [
        'devices = { a = { profile = "rpi4", host = "h" } }\n',
        '[devices]\na = { profile = "rpi4", host = "h" }\n',
        '[devices.a]\nprofile = "rpi4"\nhost = "h"\n[devices."b.c"]\nprofile = "rpi4"\nhost = "h"\n',
        "\r\n# a comment\r\n[devices]\r\n",
    ],
)
def test_however_toml_is_spelled(tmp_path: Path, text: str) -> None:
    file = tmp_path / "devices.toml"
    file.write_bytes(text.encode())
    before = read_inventory(file)
    after = add_device(file, "new", PI)
    assert dict(after.entries) == {**before.entries, "new": after.entries["new"]}
    assert dict(remove_device(file, "new").entries) == dict(before.entries)


def test_a_spelling_that_can_not_be_changed_is_left_to_the_user(tmp_path: Path) -> None:
    file = tmp_path / "devices.toml"
    text = 'devices.a.profile = "rpi4"\ndevices.a.host = "h"\n'
    file.write_text(text)
    assert list(read_inventory(file).entries) == ["a"]
    with pytest.raises(InputError, match="can't be changed here"):
        add_device(file, "new", PI)
    assert file.read_text() == text


VALUES = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=12)


@settings(deadline=None)
@given(folder=VALUES, name=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,8}", fullmatch=True))
def test_any_text_comes_back_as_it_was_given(
    tmp_path_factory: pytest.TempPathFactory, folder: str, name: str
) -> None:
    file = tmp_path_factory.mktemp("i") / "devices.toml"
    if name == "local":
        return
    try:
        added = add_device(file, name, {**PI, "workdir": "/" + folder})
    except InputError:
        assert not file.exists()
        return
    assert added.entries[name].workdir == ("/" + folder).rstrip("/")
    assert tomllib.loads(file.read_text(encoding="utf-8"))["devices"][name]["workdir"] == "/" + folder
