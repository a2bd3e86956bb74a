"""What the probe prints on boards that people own, put together as their kernels print it.

Numbers of cores, MIDR and features are those of the real boards: Raspberry Pi 4 (Raspberry Pi OS, kernel 6.1),
a Snapdragon 855 phone (Linux prints Qualcomm's 0x51:0x805 and 0x804), Apple M1 (sysctl of macOS).
"""

from __future__ import annotations

from collections.abc import Iterable

PI4_FEATURES = "fp asimd evtstrm crc32 cpuid"
SNAPDRAGON_FEATURES = (
    "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp"
)
ELF64_AARCH64 = "127 69 76 70 2 1 1 0 0 0 0 0 0 0 0 0 3 0 183 0"
ELF32_ARM = "127 69 76 70 1 1 1 0 0 0 0 0 0 0 0 0 3 0 40 0"


def cpuinfo(parts: Iterable[tuple[str, str]], features: str) -> str:
    """``/proc/cpuinfo`` of an ARM board, as the probe passes it on; ``parts`` are implementer and part, by core."""
    lines = []
    for number, (implementer, part) in enumerate(parts):
        lines += [f"processor\t: {number}"]
        lines += [f"Features\t: {features}"] * (number == 0)
        lines += [f"CPU implementer\t: {implementer}", f"CPU part\t: {part}"]
    return "".join(f"cpuinfo={line}\n" for line in lines)


def clocks(khz: Iterable[int], governor: str) -> str:
    """The cores' cpufreq folders; ``khz`` by core."""
    return "".join(
        f"cpu.{n}.max_khz={top}\ncpu.{n}.limit_khz={top}\ncpu.{n}.now_khz={top}\ncpu.{n}.governor={governor}\n"
        for n, top in enumerate(khz)
    )


WORK = """\
work.path=/home/pi/.cache/bibench-deploy
work.checked=/home/pi/.cache
work.df=/dev/root 30358528 5242880 23555072 19% /
work.written=yes
work.executed=42
"""

PI4 = (
    f"system=Linux\nkernel=6.1.21-v8+\nmachine=aarch64\nlong_bit=64\nglibc=glibc 2.31\nlibc=glibc\n"
    f"elf={ELF64_AARCH64}\n"
    + cpuinfo([("0x41", "0xd08")] * 4, PI4_FEATURES)
    + "cpuinfo=Hardware\t: BCM2835\ncpuinfo=Model\t\t: Raspberry Pi 4 Model B Rev 1.1\n"
    + "".join(f"cpu.{n}.online=1\ncpu.{n}.capacity=1024\n" for n in range(4))
    + clocks([1500000] * 4, "ondemand")
    + "online=0-3\nallowed=\t0-3\nmeminfo=MemTotal:        3884360 kB\nmeminfo=MemAvailable:    3412340 kB\n"
    "zone.0.type=cpu-thermal\nzone.0.temp=48686\nload=0.08 0.03 0.01 1/131 1020\n"
    "model=Raspberry Pi 4 Model B Rev 1.1\nthrottled=throttled=0x0\n" + WORK + "end=probe\n"
)

PHONE = (
    "system=Linux\nkernel=4.14.180-perf\nmachine=aarch64\nlong_bit=64\nlibc=bionic\n"
    f"elf={ELF64_AARCH64}\n"
    + cpuinfo([("0x51", "0x805")] * 4 + [("0x51", "0x804")] * 4, SNAPDRAGON_FEATURES)
    + "cpuinfo=Hardware\t: Qualcomm Technologies, Inc SM8150\n"
    + "".join(f"cpu.{n}.capacity={488 if n < 4 else 871 if n < 7 else 1024}\n" for n in range(8))
    + clocks([1785600] * 4 + [2419200] * 3 + [2956800], "schedutil")
    + "allowed=\t0-7\nmeminfo=MemTotal:        7706860 kB\nzone.0.type=soc\nzone.0.temp=-274000\n"
    "zone.1.type=battery\nzone.1.temp=31000\nbattery=78\nbattery_status=Discharging\n"
    "uptime= 09:12:01 up 2 days,  load average: 3,52, 3,49, 3,41\n"
    "android=11\nandroid_model=ROG Phone II\nandroid_soc=SM8150\ntermux=yes\n"
    "work.path=/data/data/com.termux/files/home/.cache/bibench-deploy\n"
    "work.exists=yes\nwork.checked=/data/data/com.termux/files/home/.cache/bibench-deploy\n"
    "work.df=/dev/block/dm-8 112345678 90123456 22222222 81% /data\nwork.written=yes\nwork.executed=42\nend=probe\n"
)

M1 = (
    "system=Darwin\nkernel=23.5.0\nmachine=arm64\nlong_bit=64\n"
    + "".join(
        f"sysctl={line}\n"
        for line in (
            "hw.ncpu: 8",
            "hw.memsize: 17179869184",
            "machdep.cpu.brand_string: Apple M1",
            "vm.loadavg: { 1.52 1.58 1.61 }",
            "hw.nperflevels: 2",
            "hw.perflevel0.physicalcpu: 4",
            "hw.perflevel0.logicalcpu: 4",
            "hw.perflevel0.name: Performance",
            "hw.perflevel1.physicalcpu: 4",
            "hw.perflevel1.logicalcpu: 4",
            "hw.perflevel1.name: Efficiency",
            "hw.optional.arm.FEAT_DotProd: 1",
            "hw.optional.arm.FEAT_RDM: 1",
            "hw.optional.arm.FEAT_LSE: 1",
            "hw.optional.arm.FEAT_FP16: 1",
            "hw.optional.arm.FEAT_I8MM: 0",
            "hw.optional.neon: 1",
            "hw.optional.armv8_crc32: 1",
        )
    )
    + "pmset=Now drawing from 'Battery Power'\n"
    "pmset= -InternalBattery-0 (id=123)\t14%; discharging; 1:02 remaining present: true\n"
    "work.path=/Users/x/.cache/bibench-deploy\nwork.checked=/Users/x/.cache\n"
    "work.df=/dev/disk3s5 482797652 330112345 123456789 73% /System/Volumes/Data\n"
    "work.written=yes\nwork.executed=42\nend=probe\n"
)
