"""What a board's kernel tells about it: the files below /proc and /sys that tools read.

Written down from boards' own output; nothing of it changes how fast a simulated device is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

# The `Features` line of each core's kernel, by ARM's part number (0xd03 and so on: the Main ID Register).
FEATURES = {
    "0xd03": "fp asimd evtstrm crc32 cpuid",  # Cortex-A53: Pi 3, no crypto extension on Broadcom's
    "0xd08": "fp asimd evtstrm crc32 cpuid",  # Cortex-A72: Pi 4
    "0xd0b": "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp",
    "0xd05": "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp",
}
MEMINFO = """MemTotal:        3884396 kB
MemFree:         3127108 kB
MemAvailable:    3550204 kB
Buffers:           33284 kB
Cached:           488032 kB
SwapTotal:        102396 kB
SwapFree:         102396 kB
"""


@dataclass(frozen=True)
class Core:
    part: str
    max_khz: int
    min_khz: int = 600_000
    governor: str = "performance"


@dataclass(frozen=True)
class Board:
    """Attributes:
    cpu: which of qemu's processors executes, so that instructions which the real one lacks are refused
        (7.2 knows cortex-a35, a53, a57, a72, a76 among others).
    files: path below /proc or /sys → content, added to or instead of what follows from the rest; None takes
        a file away.
    """

    model: str
    cores: tuple[Core, ...]
    cpu: str
    kernel: str = "6.6.51+rpt-rpi-v8"
    temperature_mc: int | None = 48_686
    files: Mapping[str, str | None] = field(default_factory=dict)

    def changed(self, files: Mapping[str, str | None]) -> Board:
        """The board with other files."""
        return replace(self, files={**self.files, **files})

    def tree(self) -> dict[str, str]:
        """Path (``proc/…`` or ``sys/…``) → content."""
        last = len(self.cores) - 1
        tree = {
            "proc/cpuinfo": self._cpuinfo(),
            "proc/meminfo": MEMINFO,
            "proc/loadavg": "0.02 0.05 0.01 1/141 1203\n",
            "sys/firmware/devicetree/base/model": f"{self.model}\0",
            **{f"sys/devices/system/cpu/{name}": f"0-{last}\n" for name in ("online", "possible", "present")},
        }
        if self.temperature_mc is not None:
            tree["sys/class/thermal/thermal_zone0/type"] = "cpu-thermal\n"
            tree["sys/class/thermal/thermal_zone0/temp"] = f"{self.temperature_mc}\n"
        for number, core in enumerate(self.cores):
            folder = f"sys/devices/system/cpu/cpu{number}"
            cluster = [n for n, other in enumerate(self.cores) if other == core]
            tree |= {
                f"{folder}/cpufreq/{name}": f"{value}\n"
                for name, value in (
                    ("scaling_governor", core.governor),
                    ("scaling_available_governors", "conservative ondemand powersave performance schedutil"),
                    ("scaling_cur_freq", core.max_khz),
                    ("scaling_min_freq", core.min_khz),
                    ("scaling_max_freq", core.max_khz),
                    ("cpuinfo_min_freq", core.min_khz),
                    ("cpuinfo_max_freq", core.max_khz),
                    ("related_cpus", " ".join(map(str, cluster))),
                )
            }
            tree |= {
                f"{folder}/topology/core_id": f"{number}\n",
                f"{folder}/topology/physical_package_id": "0\n",
                f"{folder}/regs/identification/midr_el1": f"0x00000000410f{core.part[2:]}0\n",
            }
        for path, content in self.files.items():
            if content is None:
                del tree[path.lstrip("/")]
            else:
                tree[path.lstrip("/")] = content
        return tree

    def _cpuinfo(self) -> str:
        blocks = [
            f"processor\t: {number}\nBogoMIPS\t: 108.00\nFeatures\t: {FEATURES[core.part]}\n"
            "CPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x0\n"
            f"CPU part\t: {core.part}\nCPU revision\t: 3\n"
            for number, core in enumerate(self.cores)
        ]
        return "\n".join(
            [*blocks, f"Revision\t: c03111\nSerial\t\t: 10000000deadbeef\nModel\t\t: {self.model}\n"]
        )


RPI4 = Board("Raspberry Pi 4 Model B Rev 1.1", (Core("0xd08", 1_500_000),) * 4, "cortex-a72")
RPI3 = Board(
    "Raspberry Pi 3 Model B Plus Rev 1.3",
    (Core("0xd03", 1_400_000),) * 4,
    "cortex-a53",
    # What Linux has of its 1024 MiB.
    files={"/proc/meminfo": "MemTotal:         927844 kB\nMemAvailable:     774208 kB\n"},
)
RPI5 = Board("Raspberry Pi 5 Model B Rev 1.0", (Core("0xd0b", 2_400_000),) * 4, "cortex-a76")
# A phone of big and little cores; qemu 7.2 has no Cortex-A55, so the A76 stands for both.
PHONE = Board(
    "A phone",
    (Core("0xd05", 1_860_000),) * 4 + (Core("0xd0b", 2_860_000),) * 4,
    "cortex-a76",
    kernel="4.14.116",
)
