"""docs/devices.md: its examples are valid, and its table has every profile."""

from __future__ import annotations

import io
import textwrap
from pathlib import Path

import pytest
from rich.console import Console

from bibench_deploy.cli.device_views import profiles_table
from bibench_deploy.device_profiles import features, load_cores, load_profiles, read_inventory

PAGE = (Path(__file__).parents[2] / "docs/devices.md").read_text(encoding="utf-8")


def example(start: str) -> str:
    """The indented block that begins with this line."""
    lines = PAGE.splitlines()
    first = lines.index(f"    {start}")
    block = []
    for line in lines[first:]:
        if line and not line.startswith("    "):
            break
        block.append(line)
    return textwrap.dedent("\n".join(block))


def test_the_inventory(tmp_path: Path) -> None:
    file = tmp_path / "devices.toml"
    file.write_text(example("[devices.kitchen]"), encoding="utf-8")
    kitchen, phone = read_inventory(file).resolve(["kitchen", "phone"], [], load_profiles())
    assert (kitchen.profile.id, phone.profile.reach.port) == ("rpi4", 8022)


def test_a_profile_and_a_core_type_of_ones_own(tmp_path: Path) -> None:
    profile = (
        PAGE[PAGE.index("### One of your own") :].partition("    format = 1")[2].partition("\nCore types")[0]
    )
    (tmp_path / "my-board.toml").write_text("format = 1" + textwrap.dedent(profile), encoding="utf-8")
    core = PAGE[PAGE.index("\nCore types") :].partition("    format = 1")[2]
    (tmp_path / "cores.toml").write_text("format = 1" + textwrap.dedent(core), encoding="utf-8")
    mine, cores = load_profiles([tmp_path])["my-board"], load_cores([tmp_path])
    assert features(mine, cores) >= {"aes", "asimddp"}
    assert cores["My core"].popcount_ceiling == pytest.approx(256 / 3)


def test_the_table_of_profiles_is_what_the_command_prints() -> None:
    out = Console(width=120, file=io.StringIO())
    out.print(profiles_table(load_profiles().values(), load_cores()))
    printed = out.file.getvalue()  # type: ignore[attr-defined]
    assert textwrap.indent(printed, "    ") in PAGE
