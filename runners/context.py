"""What else was true while something was measured: data only, filled by whoever measures.

``None`` means that the device does not tell, or that nobody asked; it never means 0.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from .clocks import fastest_mhz

Count = Annotated[int, Field(ge=0)]
# Core number as in /sys/devices/system/cpu → MHz. JSON has no numbers as keys; pydantic reads them back.
Clocks = dict[int, Annotated[float, Field(gt=0)]]


class RunContext(BaseModel):
    """The conditions of one measurement.

    Attributes:
        governor: frequency policy of the first core that was used, as cpufreq names it.
        clock_mhz_before, clock_mhz_after: MHz of each core that was used, while nothing was timed: a governor that
            follows the load has clocked idle cores down.
        clock_mhz_during, clock_mhz_during_most: the same while runs were timed, at the look when the fastest of
            them was slowest, and at the one when it was fastest.
        temperature_c_before, temperature_c_after: °C by name of the thermal zone.
        throttle_bits_before, throttle_bits: of a Raspberry Pi's ``vcgencmd get_throttled``, before and after: bit 0
            under-voltage, 1 clock capped, 2 throttled, 3 soft limit, each now; 16–19 the same since boot.
        load_before, load_after: load average over a minute; what is measured is part of it.
        other_load: cores that anything else used while runs were timed, on average (a hypervisor's share too).
        cpuset: cores that the system allows the process, as ``Cpus_allowed_list`` prints them ("0-3").
        affinity: cores that the process was pinned to, in the same form; None where it was not pinned.
        peak_memory_bytes: the largest resident set of the process that executed the artefact.
        page_faults_minor, page_faults_major: of that process, without and with input.
        context_switches_voluntary, context_switches_involuntary: of that process.
        handover_ns: what a cache line takes from one of the engine's threads to another, the median of the turns;
            None with one thread.
        abi: what the engine's program was built for, such as "aarch64-linux-gnu" or "armv7l-linux-gnueabihf".
        kernel_release: as ``uname -r`` prints it.
    """

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)
    governor: str | None = None
    clock_mhz_before: Clocks | None = None
    clock_mhz_during: Clocks | None = None
    clock_mhz_during_most: Clocks | None = None
    clock_mhz_after: Clocks | None = None
    temperature_c_before: dict[str, float] | None = None
    temperature_c_after: dict[str, float] | None = None
    throttle_bits_before: Count | None = None
    throttle_bits: Count | None = None
    load_before: Annotated[float, Field(ge=0)] | None = None
    load_after: Annotated[float, Field(ge=0)] | None = None
    other_load: Annotated[float, Field(ge=0)] | None = None
    cpuset: str | None = None
    affinity: str | None = None
    peak_memory_bytes: Count | None = None
    page_faults_minor: Count | None = None
    page_faults_major: Count | None = None
    context_switches_voluntary: Count | None = None
    context_switches_involuntary: Count | None = None
    handover_ns: Annotated[float, Field(gt=0)] | None = None
    abi: str | None = None
    kernel_release: str | None = None

    @property
    def clock_range_mhz(self) -> tuple[float, float] | None:
        """Between which clocks the fastest used core was seen while runs were timed; None where it is not known.

        The fastest core is at work, the others may idle. What was before and after says nothing of it.
        """
        if not self.clock_mhz_during:
            return None
        low = fastest_mhz(self.clock_mhz_during)
        return low, max(low, fastest_mhz(self.clock_mhz_during_most or {}))
