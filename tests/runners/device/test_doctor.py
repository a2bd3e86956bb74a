"""The doctor: what would spoil a measurement, from facts alone; each with the reason and the remedy."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bibench_deploy.device_profiles import load_cores, load_profiles
from bibench_deploy.runners.device.doctor import diagnose, examine
from bibench_deploy.runners.device.facts import DeviceFacts
from bibench_deploy.runners.device.probe import parse
from support.probe_texts import ELF32_ARM, M1, PHONE, PI4, WORK

CORES = load_cores()
PROFILES = load_profiles()


def facts_of(text: str) -> DeviceFacts:
    return parse(text.encode(), CORES)


def found(text: str, profile: str = "rpi4") -> dict[str, str]:
    """Code → severity."""
    return {finding.code: finding.severity for finding in diagnose(facts_of(text), PROFILES[profile])}


def pi(*changes: tuple[str, str]) -> str:
    text = PI4.replace("=ondemand", "=performance")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return text


def test_a_board_that_is_fine_has_no_finding() -> None:
    assert found(pi()) == {}


def test_a_device_that_says_nothing_has_no_finding() -> None:
    assert found("") == {}


@pytest.mark.parametrize(
    ("change", "code", "severity"),
    [
        (("governor=performance", "governor=powersave"), "governor", "warning"),
        (("governor=performance", "governor=conservative"), "governor", "warning"),
        (("governor=performance", "governor=ondemand"), "governor", "note"),
        (("governor=performance", "governor=schedutil"), "governor", "note"),
        (("limit_khz=1500000", "limit_khz=600000"), "clock-limit", "warning"),
        (("throttled=0x0", "throttled=0x1"), "under-voltage", "warning"),
        (("throttled=0x0", "throttled=0x10000"), "under-voltage", "warning"),
        (("throttled=0x0", "throttled=0x2"), "throttled", "warning"),
        (("throttled=0x0", "throttled=0x4"), "throttled", "warning"),
        (("throttled=0x0", "throttled=0x8"), "throttled", "warning"),
        (("throttled=0x0", "throttled=0x80000"), "throttled", "warning"),
        (("machine=aarch64", "machine=armv7l"), "32-bit-kernel", "impossible"),
        (("machine=aarch64", "machine=x86_64"), "architecture", "impossible"),
        (
            ("elf=127 69 76 70 2 1 1 0 0 0 0 0 0 0 0 0 3 0 183 0", f"elf={ELF32_ARM}"),
            "32-bit-userland",
            "warning",
        ),
        (("load=0.08", "load=2.10"), "busy", "warning"),
        (("zone.0.temp=48686", "zone.0.temp=81000"), "hot", "warning"),
        (("executed=42", "executed=126"), "workdir-noexec", "impossible"),
        (("23555072", "102400"), "workdir-room", "warning"),
        (("23555072", "2048"), "workdir-full", "impossible"),
        (("work.checked", "work.is_file=yes\nwork.checked"), "workdir-file", "impossible"),
        (
            ("written=yes", "written=no\nwork.refusal=mkdir: x: Read-only file system"),
            "workdir-read-only",
            "impossible",
        ),
        (
            ("written=yes", "written=no\nwork.refusal=mkdir: x: No space left on device"),
            "workdir-full",
            "impossible",
        ),
        (
            ("written=yes", "written=no\nwork.refusal=mkdir: x: Disk quota exceeded"),
            "workdir-full",
            "impossible",
        ),
        (
            ("written=yes", "written=no\nwork.refusal=mkdir: x: Permission denied"),
            "workdir-refused",
            "impossible",
        ),
        (("written=yes", "written=no"), "workdir-refused", "impossible"),
    ],
)
def test_each_thing_that_spoils_a_run_is_found_alone(
    change: tuple[str, str], code: str, severity: str
) -> None:
    assert found(pi(change)) == {code: severity}


def test_under_voltage_and_throttling_are_told_apart_from_what_was_before() -> None:
    now = diagnose(facts_of(pi(("throttled=0x0", "throttled=0x50005"))), PROFILES["rpi4"])
    before = diagnose(facts_of(pi(("throttled=0x0", "throttled=0x50000"))), PROFILES["rpi4"])
    assert [finding.what for finding in now] == [
        "the board gets too little voltage at this moment",
        "the board holds its clock down at this moment",
    ]
    assert [finding.what for finding in before] == [
        "the board had too little voltage since it was switched on",
        "the board held its clock down since it was switched on",
    ]


@pytest.mark.parametrize(
    ("load", "busy"), [("load=2.00 1 1", False), ("load=2.01 1 1", True), ("load=0.00 1 1", False)]
)
def test_half_of_the_cores_make_a_device_busy(load: str, busy: bool) -> None:
    assert ("busy" in found(pi(("load=0.08 0.03 0.01", load)))) is busy


def test_android_is_answered_in_its_own_terms() -> None:
    phone = PHONE.replace("executed=42", "executed=126").replace("=schedutil", "=powersave")
    findings = {finding.code: finding for finding in diagnose(facts_of(phone), PROFILES["kirin990"])}
    assert findings["termux-exec"].severity == "impossible"
    assert "F-Droid" in findings["termux-exec"].remedy
    assert "only root" in findings["governor"].remedy


@pytest.mark.parametrize(
    ("percent", "status", "low"),
    [
        (14, "Discharging", True),
        (19, "Discharging", True),
        (20, "Discharging", False),
        (14, "Charging", False),
    ],
)
def test_a_low_battery(percent: int, status: str, low: bool) -> None:
    text = PHONE.replace("battery=78", f"battery={percent}").replace("Discharging", status)
    assert ("battery" in found(text, "snapdragon855plus")) is low


def test_a_mac_on_its_last_percents() -> None:
    assert found(M1, "apple-m1") == {"battery": "warning"}


def test_the_worst_comes_first() -> None:
    text = pi(
        ("governor=performance", "governor=ondemand"),
        ("load=0.08", "load=9.0"),
        ("executed=42", "executed=126"),
    )
    assert list(found(text).values()) == ["impossible", "warning", "note"]


@given(
    machine=st.sampled_from(["aarch64", "armv7l", "x86_64", "riscv64", ""]),
    bits=st.integers(0, 2**20),
    free=st.integers(-5, 10**9),
    profile=st.sampled_from(sorted(PROFILES)),
)
def test_every_finding_says_what_why_and_what_to_do(machine: str, bits: int, free: int, profile: str) -> None:
    text = f"machine={machine}\nthrottled=throttled={bits:#x}\n" + WORK.replace("23555072", str(free))
    for finding in diagnose(facts_of(text), PROFILES[profile]):
        assert finding.what
        assert finding.why
        assert finding.remedy


def test_a_wrong_profile_is_said_once() -> None:
    """Both the doctor and the comparison with the profile see the architecture."""
    facts = facts_of(pi(("machine=aarch64", "machine=x86_64")))
    codes = [finding.code for finding in examine(facts, PROFILES["rpi4"], CORES)]
    assert codes == ["architecture"]
