"""Which source of devices a command gets, and the inventory as the one that is always there."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from bibench_deploy.device_profiles import load_profiles
from bibench_deploy.errors import InputError, MissingExtraError
from bibench_deploy.runners.providers import InventoryProvider, provider
from bibench_deploy.runners.providers.labgrid import address_of

PROFILES = load_profiles(())


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    file = tmp_path / "devices.toml"
    file.write_text('[devices.kitchen]\nprofile = "rpi4"\nhost = "192.0.2.1"\ntags = ["nightly"]\n')
    return file


def test_without_a_lab_it_is_the_inventory_and_nothing_is_reserved(inventory: Path) -> None:
    ours = provider(None, inventory, PROFILES)
    assert isinstance(ours, InventoryProvider)
    assert ours.names() == ("kitchen",)
    (device,) = ours.resolve((), ["nightly"])
    with ours.reserved(device, print, threading.Event()) as here:
        assert here is device
        ours.check(here)


def test_an_inventory_that_is_not_needed_is_not_read(tmp_path: Path) -> None:
    """Somebody who measures on this machine alone need not care for it."""
    ours = provider(None, tmp_path / "none.toml", PROFILES)
    with pytest.raises(InputError, match="no such inventory"):
        ours.resolve(["rpi4"], ())


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("labgrid://lab", "lab:20408"),
        ("labgrid://lab.example:1234", "lab.example:1234"),
        ("labgrid://[::1]/", "[::1]:20408"),
    ],
)
def test_the_url_of_a_lab(url: str, address: str) -> None:
    assert address_of(url) == address


@pytest.mark.parametrize(
    "url",
    ["", "lab", "http://lab"]
    + [f"labgrid://{rest}" for rest in ("", "lab:0", "lab:70000", "anna@lab", "lab/x", "lab?x=1", "[::1")],
)
def test_no_url_of_a_lab(url: str, inventory: Path) -> None:
    with pytest.raises(InputError, match="is not the URL of a lab") as error:
        provider(url, inventory, PROFILES)
    assert error.value.where == "--lab"


class NotInstalled:
    """Has an import fail as it does without the package."""

    def find_spec(self, name: str, *place: object) -> None:
        if name == "labgrid":
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)


def test_a_lab_without_its_extra(inventory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "labgrid"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [NotInstalled(), *sys.meta_path])
    with pytest.raises(MissingExtraError) as error:
        provider("labgrid://lab", inventory, PROFILES)
    assert "pip install 'bibench-deploy[labgrid]'" in str(error.value)


def test_without_a_lab_nothing_of_it_is_imported() -> None:
    code = (
        "import sys, bibench_deploy.runners.providers; sys.exit(bool({'grpc', 'labgrid'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
