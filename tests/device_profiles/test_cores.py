"""Core types: names from MIDR, extensions of a board, and the popcount ceiling with its source."""

from __future__ import annotations

from pathlib import Path

import pytest

from bibench_deploy.device_profiles import features, load_cores, load_profiles
from bibench_deploy.device_profiles.cores import cluster_ceiling, core_name
from bibench_deploy.errors import InputError

CORES = load_cores()
PROFILES = load_profiles()


@pytest.mark.parametrize(
    ("midr", "name"),
    [
        ("0x41:0xd08", "Cortex-A72"),
        ("0x41:0xd82", "Cortex-X4"),
        # Linux, arch/arm64/include/asm/cputype.h: Kryo 4xx Gold; 4xx and 5xx Silver. Kryo 5xx Gold, 6xx are Arm's.
        ("0x51:0x804", "Cortex-A76"),
        ("0x51:0x805", "Cortex-A55"),
        ("0x48:0xd40", "Cortex-A76"),  # HiSilicon
        ("0x61:0x023", "Firestorm"),
        ("0x61:0x039", "Avalanche"),
        ("0x61:0x043", "Everest"),
        ("0x41:0xfff", None),
        ("", None),
    ],
)
def test_a_core_is_named_by_its_midr(midr: str, name: str | None) -> None:
    assert core_name(midr, CORES) == name


def test_no_midr_stands_for_two_cores() -> None:
    ids = [midr for core in CORES.values() for midr in core.midr]
    assert len(ids) == len(set(ids))


# EOR, CNT and ADD of 128 bits: 128 multiply-accumulates in three operations. By hand, at the boards' clocks: one
# operation a cycle (A53) 42.7, 1.5 (A72) 64, two (A76) 85.3, four (Firestorm) 170.7.
@pytest.mark.parametrize(
    ("core", "mhz", "gmacs"),
    [
        ("Cortex-A53", 1400, 59.73),
        ("Cortex-A72", 1500, 96.0),
        ("Cortex-A55", 1800, 76.8),
        ("Cortex-A76", 2400, 204.8),
        ("Cortex-X4", 3300, 563.2),
        ("Firestorm", 3200, 546.1),
        ("Cortex-A510", 1800, None),
        ("Cortex-A72", None, None),
        ("no such core", 1000, None),
    ],
)
def test_the_popcount_ceiling_is_known_or_said_to_be_unknown(
    core: str, mhz: int | None, gmacs: float | None
) -> None:
    assert cluster_ceiling(core, mhz, CORES) == (
        pytest.approx(gmacs, rel=1e-3) if gmacs is not None else None
    )


def test_every_ceiling_has_a_source() -> None:
    assert all(core.source for core in CORES.values() if core.vector_ops is not None)


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_every_core_of_a_built_in_board_is_in_the_table(profile: object) -> None:
    assert {cluster.core for cluster in profile.clusters} <= set(CORES)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("board", "has", "has_not"),
    [
        ("rpi4", {"asimd", "crc32"}, {"asimddp", "aes"}),
        ("rpi5", {"asimd", "asimddp", "atomics"}, {"i8mm"}),
        ("kirin970", {"asimd"}, {"asimddp"}),
        ("dimensity9000", {"asimddp", "i8mm"}, {"sve2"}),
        ("generic-x86_64", {"sse2"}, {"avx2"}),
        ("generic-armv7", set(), {"neon"}),
    ],
)
def test_a_board_has_what_all_its_cores_have(board: str, has: set[str], has_not: set[str]) -> None:
    found = features(PROFILES[board], CORES)
    assert found >= has
    assert not found & has_not


def test_a_users_folder_adds_core_types(tmp_path: Path) -> None:
    (tmp_path / "cores.toml").write_text('format = 1\n[cores.Mine]\nisa = ["asimd"]\n', encoding="utf-8")
    assert load_cores([tmp_path])["Mine"].popcount_ceiling is None
    assert set(load_cores([tmp_path])) == {*CORES, "Mine"}
    assert load_profiles([tmp_path]) == PROFILES


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("vector_ops = 2\n", "vector_ops needs a source"),
        ("vector_ops = 0\nsource = 'x'\n", "greater than 0"),
        ("midr = ['d08']\n", "has not the form that is needed"),
        ("pipes = 2\n", "pipes: unknown key"),
    ],
)
def test_a_wrong_table_is_refused(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "cores.toml").write_text("format = 1\n[cores.Mine]\n" + text, encoding="utf-8")
    with pytest.raises(InputError, match=why) as caught:
        load_cores([tmp_path])
    assert caught.value.where == str(tmp_path / "cores.toml")
