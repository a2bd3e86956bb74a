"""The probe: its script under the shells of real devices, the reading of its output, profiles that are denied."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bibench_deploy.device_profiles import DeviceProfile, load_cores, load_profiles
from bibench_deploy.errors import PermanentDeviceError
from bibench_deploy.runners.device.facts import Battery, DeviceFacts, WorkFolder, Zone
from bibench_deploy.runners.device.probe import contradictions, parse, probe
from bibench_deploy.runners.device.probe_script import probe_script
from bibench_deploy.runners.transport.base import Completed
from bibench_deploy.runners.transport.local import LocalTransport
from support.probe_texts import ELF32_ARM, ELF64_AARCH64, M1, PHONE, PI4, clocks, cpuinfo

CORES = load_cores()
PROFILES = load_profiles()
# mksh is Android's shell, zsh was macOS's for a while; busybox ash is that of OpenWrt, Alpine and Buildroot.
SHELLS = {
    "dash": ["dash"],
    "bash": ["bash"],
    "ash": ["busybox", "ash"],
    "mksh": ["mksh"],
    "zsh": ["zsh"],
}


def facts_of(text: str) -> DeviceFacts:
    return parse(text.encode(), CORES)


def shell(name: str) -> list[str]:
    if shutil.which(SHELLS[name][0]) is None:
        pytest.skip(f"this machine has no {name}")
    return SHELLS[name]


@pytest.fixture
def pi4_tree(tmp_path: Path) -> Path:
    """/proc and /sys of a Raspberry Pi 4, as far as the probe looks, with what real sysfs does to readers."""
    root = tmp_path / "pi4"
    lines = [line.removeprefix("cpuinfo=") for line in PI4.splitlines() if line.startswith("cpuinfo=")]
    files = {
        "proc/cpuinfo": "\n".join(lines) + "\n",
        "proc/meminfo": "MemTotal:        3884360 kB\nMemFree: 1 kB\nMemAvailable:    3412340 kB\n",
        "proc/loadavg": "0.08 0.03 0.01 1/131 1020\n",
        "proc/self/status": "Name:\tcat\nCpus_allowed:\tf\nCpus_allowed_list:\t0-3\n",
        "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
        "sys/class/thermal/thermal_zone0/temp": "48686\n",
        "sys/class/thermal/thermal_zone1/type": "a sensor without a reading\n",
        "sys/class/thermal/thermal_zone1/temp": "",
        "sys/firmware/devicetree/base/model": "Raspberry Pi 4 Model B Rev 1.1\0",
        "sys/devices/platform/soc/soc:firmware/get_throttled": "50005\n",
    }
    for number in range(4):
        folder = f"sys/devices/system/cpu/cpu{number}"
        files |= {
            f"{folder}/online": "1\n",
            f"{folder}/cpufreq/scaling_governor": "powersave\n",
            f"{folder}/cpufreq/cpuinfo_max_freq": "1500000\n",
            f"{folder}/cpufreq/scaling_max_freq": "1500000\n",
            f"{folder}/cpufreq/scaling_cur_freq": "600000\n",
        }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return root


@pytest.mark.parametrize("name", SHELLS)
def test_the_script_reads_a_pi_under_every_shell(name: str, pi4_tree: Path, tmp_path: Path) -> None:
    script = probe_script(str(tmp_path / 'it\'s a "work" $folder/deep'))
    script = script.replace("/sys/", f"{pi4_tree}/sys/").replace("/proc/", f"{pi4_tree}/proc/")
    done = subprocess.run(
        [*shell(name), "-c", script], capture_output=True, check=False, env={"PATH": "/usr/bin:/bin"}
    )
    facts = parse(done.stdout, CORES)
    assert (done.returncode, done.stderr.decode()) == (0, "")
    assert facts.complete
    (group,) = facts.groups
    assert (group.core, group.count, group.max_mhz, group.cpus) == ("Cortex-A72", 4, 1500.0, (0, 1, 2, 3))
    assert (facts.model, facts.allowed, facts.load) == ("Raspberry Pi 4 Model B Rev 1.1", 4, 0.08)
    assert facts.zones == (Zone(name="cpu-thermal", celsius=48.686),)
    assert facts.memory_mib == pytest.approx(3884360 / 1024)
    assert (facts.governors, facts.throttled, facts.cpus[3].now_mhz) == (("powersave",), 0x50005, 600.0)
    assert facts.workdir is not None
    assert facts.workdir.path == f'{tmp_path}/it\'s a "work" $folder/deep'
    assert (facts.workdir.checked, facts.workdir.exists) == (str(tmp_path), False)
    assert (facts.workdir.writable, facts.workdir.executable) == (True, True)
    assert {entry.name for entry in tmp_path.iterdir()} == {"pi4"}  # nothing is left behind


@pytest.mark.parametrize("name", SHELLS)
def test_a_system_that_shows_nothing_is_unknown_not_zero(name: str, tmp_path: Path) -> None:
    command = [shutil.which(part) or part for part in shell(name)[:1]] + shell(name)[1:]
    (tmp_path / "printf").symlink_to(shutil.which("printf") or "")  # no builtin of mksh
    script = probe_script("w").replace("/sys/", "/absent/").replace("/proc/", "/absent/")
    done = subprocess.run(
        [*command, "-c", script],
        capture_output=True,
        check=False,
        env={"PATH": str(tmp_path), "HOME": str(tmp_path)},
    )
    facts = parse(done.stdout, CORES)
    assert facts.complete
    known = {key for key, value in facts.model_dump().items() if value not in (None, (), False)}
    assert known <= {"workdir", "complete", "libc"}
    assert facts.workdir is not None
    assert facts.workdir.free_mib is None


def test_this_machine() -> None:
    with LocalTransport() as transport:
        facts = probe(transport, "w", CORES)
    assert facts.cores
    assert facts.workdir is not None
    assert facts.workdir.executable is True
    assert contradictions(facts, PROFILES[f"generic-{facts.machine}"], CORES) == ()


def test_a_work_folder_that_is_a_file_is_one(tmp_path: Path) -> None:
    (tmp_path / "w").write_text("")
    with LocalTransport() as transport:
        folder = probe(transport, str(tmp_path / "w"), CORES).workdir
    assert folder is not None
    assert (folder.is_file, folder.exists) == (True, False)


def test_an_output_that_was_cut_is_an_error() -> None:
    class Cut(LocalTransport):
        def run(self, script: str, *, timeout_s: float, stdin: bytes = b"", step: str = "") -> Completed:
            return Completed(2, b"system=Linux\n", b"sh: 3: Syntax error\n")

    with pytest.raises(PermanentDeviceError, match=r"status 2: sh: 3: Syntax error"), Cut() as transport:
        probe(transport, "w", CORES)


def test_a_raspberry_pi() -> None:
    facts = facts_of(PI4)
    assert (facts.machine, facts.userland_bits, facts.userland_arch, facts.libc) == (
        "aarch64", 64, "aarch64", "glibc 2.31",
    )  # fmt: skip
    assert facts.features == ("asimd", "cpuid", "crc32", "evtstrm", "fp")
    assert (facts.cores, facts.throttled, facts.battery) == (4, 0, None)
    assert facts.workdir == WorkFolder(
        path="/home/pi/.cache/bibench-deploy",
        checked="/home/pi/.cache",
        free_mib=23003.0,
        writable=True,
        executable=True,
    )
    assert contradictions(facts, PROFILES["rpi4"], CORES) == ()


def test_a_phone_has_three_groups_the_fastest_first() -> None:
    facts = facts_of(PHONE)
    assert [(g.core, g.count, g.max_mhz, g.cpus) for g in facts.groups] == [
        ("Cortex-A76", 1, 2956.8, (7,)),
        ("Cortex-A76", 3, 2419.2, (4, 5, 6)),
        ("Cortex-A55", 4, 1785.6, (0, 1, 2, 3)),
    ]
    assert (facts.termux, facts.android, facts.libc) == (True, "11", "bionic")
    assert facts.load == 3.52  # a locale's comma
    assert facts.zones == (Zone(name="battery", celsius=31.0),)  # -274 °C is no temperature
    assert facts.battery == Battery(percent=78, discharging=True)
    assert contradictions(facts, PROFILES["snapdragon855plus"], CORES) == ()


def test_a_mac() -> None:
    facts = facts_of(M1)
    assert (facts.machine, facts.cpu_name, facts.memory_mib) == ("aarch64", "Apple M1", 16384)
    assert [group.count for group in facts.groups] == [4, 4]
    assert facts.features == ("asimd", "asimddp", "asimdhp", "asimdrdm", "atomics", "crc32")
    assert (facts.load, facts.battery) == (1.52, Battery(percent=14, discharging=True))
    assert {finding.code for finding in contradictions(facts, PROFILES["apple-m1"], CORES)} <= {"features"}


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("zone.0.type=x\nzone.0.temp=0\n", "zones", ()),
        ("zone.0.temp=45000\n", "zones", (Zone(name="zone 0", celsius=45.0),)),
        ("cpuinfo=processor\t: 0\ncpu.0.max_khz=0\n", "cores", 1),
        ("throttled_sysfs=50005\n", "throttled", 0x50005),
        ("throttled=VCHI initialization failed\n", "throttled", None),
        ("throttled=throttled=0x50000\nthrottled_sysfs=0\n", "throttled", 0x50000),
        (f"machine=aarch64\nlong_bit=64\nelf={ELF32_ARM}\n", "userland_bits", 32),
        ("elf=35 33 47 98 105 110\nlong_bit=32\n", "userland_bits", 32),
        ("long_bit=undefined\n", "userland_bits", None),
        ("machine=armv8l\n", "machine", "armv7l"),
        ("allowed=\t0-3,6,8-9\n", "allowed", 7),
        ("allowed=3-0\n", "allowed", None),
        ("battery=200\n", "battery", None),
        ("load=busy\n", "load", None),
        ("meminfo=MemTotal: 0 kB\n", "memory_mib", None),
        ("meminfo=MemTotal:\n", "memory_mib", None),
        ("cpu.0.midr=0x00000000410fd083\n", "cores", 1),
        ("work.path=/w\nwork.executed=127\n", "workdir", WorkFolder(path="/w")),
        ("work.path=/w\nwork.executed=126\n", "workdir", WorkFolder(path="/w", executable=False)),
        ("work.path=/w\nwork.df=fs 1 2\n", "workdir", WorkFolder(path="/w")),
        (
            "work.path=/w\nwork.df=a disk with blanks 100 50 2048 5% /mnt\n",
            "workdir",
            WorkFolder(path="/w", free_mib=2.0),
        ),
        ("", "complete", False),
        ("end=probe\nmore\n", "complete", False),
    ],
)
def test_what_drivers_and_tools_really_print(text: str, field: str, value: object) -> None:
    assert getattr(facts_of(text), field) == value


def test_a_core_is_named_where_cpuinfo_is_hidden() -> None:
    (group,) = facts_of("cpu.0.midr=0x00000000410fd083\n").groups
    assert group.core == "Cortex-A72"


def test_features_are_those_that_every_core_has() -> None:
    text = "cpuinfo=processor: 0\ncpuinfo=Features: fp asimd asimddp\ncpuinfo=Features: fp asimd\n"
    assert facts_of(text).features == ("asimd", "fp")


MUTABLE = [text.encode() for text in (PI4, PHONE, M1)]


@settings(max_examples=300, deadline=None)
@given(
    text=st.sampled_from(MUTABLE),
    cuts=st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 40), st.binary(max_size=12)), max_size=6),
)
def test_no_output_crashes_the_reading(text: bytes, cuts: list[tuple[int, int, bytes]]) -> None:
    for start, length, instead in cuts:
        text = text[:start] + instead + text[start + length :]
    facts = parse(text, CORES)
    for profile in PROFILES.values():
        contradictions(facts, profile, CORES)
    facts.model_dump_json()


KEYS = sorted({line.partition("=")[0] for text in (PI4, PHONE, M1) for line in text.splitlines()})
VALUES = st.one_of(
    st.text(max_size=30), st.integers().map(str), st.sampled_from(["9" * 400, "0x" + "f" * 40, "²", "-"])
)


@settings(max_examples=300, deadline=None)
@given(lines=st.lists(st.tuples(st.sampled_from(KEYS), VALUES), max_size=12))
def test_no_value_crashes_the_reading(lines: list[tuple[str, str]]) -> None:
    facts = facts_of("".join(f"{key}={value}\n" for key, value in lines))
    assert facts.cores is None or facts.cores > 0
    facts.model_dump_json()


def board(parts: list[tuple[str, str]], khz: int, *rest: str) -> DeviceFacts:
    features = "fp asimd crc32"
    head = f"machine=aarch64\nelf={ELF64_AARCH64}\n"
    return facts_of(
        head + cpuinfo(parts, features) + clocks([khz] * len(parts), "performance") + "".join(rest)
    )


A72, A53, UNKNOWN = ("0x41", "0xd08"), ("0x41", "0xd03"), ("0x41", "0xfff")


@pytest.mark.parametrize(
    ("facts", "profile", "codes"),
    [
        (board([A72] * 4, 1500000), "rpi4", set()),
        (board([A72] * 4, 1800000), "rpi4", {"clock"}),
        (board([A72] * 4, 1530000), "rpi4", set()),  # makers round
        (board([A53] * 4, 1500000), "rpi4", {"core-types"}),
        (board([UNKNOWN] * 4, 1500000), "rpi4", set()),
        (board([A72] * 2, 1500000), "rpi4", {"cores"}),
        (board([A72] * 4, 1500000, "meminfo=MemTotal: 948304 kB\n"), "rpi4", set()),
        (board([A72] * 4, 1500000, "meminfo=MemTotal: 640000 kB\n"), "rpi4", {"memory"}),
        (board([A72] * 4, 1500000), "rpi5", {"clock", "core-types", "features"}),
        (board([A72] * 4, 1500000), "generic-aarch64", set()),
        (board([A72] * 4, 1500000), "generic-x86_64", {"architecture"}),
        (facts_of("machine=armv7l\n"), "rpi4", set()),
        (facts_of(""), "rpi4", set()),
        (facts_of("machine=x86_64\n"), "rpi4", {"architecture"}),
    ],
)
def test_contradictions(facts: DeviceFacts, profile: str, codes: set[str]) -> None:
    assert {finding.code for finding in contradictions(facts, PROFILES[profile], CORES)} == codes


def test_a_contradiction_names_both_sides() -> None:
    (finding,) = contradictions(board([A72] * 4, 1800000), PROFILES["rpi4"], CORES)
    assert finding.what == "the device's highest clock is 1800 MHz; the profile 'rpi4' says 1500 MHz"


def test_a_profile_of_ones_own_is_compared_too() -> None:
    mine = DeviceProfile(format=1, id="mine", name="mine", arch="aarch64", isa=("sve2",), source="its label")
    (finding,) = contradictions(board([A72] * 4, 1500000), mine, CORES)
    assert (finding.code, finding.severity) == ("features", "note")
