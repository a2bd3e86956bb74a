"""What else happens on a device while an engine is timed there: a sampler in the step's own shell.

It sleeps nearly always: twice a turn it reads each core's clock, with the shell's own ``read``. What the processors
did and how often pages were missed is counted by the kernel anyway, and read once before and once after the engine.
Whatever a device does not tell is unknown.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field, replace

from bibench_deploy.runners.clocks import Look
from bibench_deploy.runners.observer import Usage, busy_ticks

from .engine import Script

#: The line that ends what the sampler says before the engine, and the one that begins what it says after it.
MARK = b"bibench-watching"
#: Looks at the clocks in a turn …
LOOKS = 2
#: … but not more often than this, s: each costs a process (``sleep``), and some clocks a call of the firmware.
SHORTEST_NAP_S = 0.1
LONGEST_NAP_S = 2.0
#: Of ``/proc/stat``, in a second: USER_HZ, which is 100 on every architecture that there are engines for.
TICKS = 100
#: A count of the kernel that an emulator of user programs leaves out is 0, and no program starts without a fault.
_MINOR, _MAJOR = 8, 10

# Names begin with "watch_", so that an engine's variables stay its own. Nothing that counts children may stand in a
# subshell. `sleep` may know whole seconds only; without any, the sampler ends. A look comes after a nap: a program
# that is being loaded says nothing of runs.
_BODY = r"""
watch_clocks() {
  for watch_file in /sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq; do
    watch_value=
    { IFS= read -r watch_value < "$watch_file"; } 2>/dev/null
    if [ -n "$watch_value" ]; then
      watch_file=${watch_file#*/cpu/cpu}
      watch_seen="$watch_seen
clock=${watch_file%%/*} $watch_value"
    fi
  done
}
watch_sleep() { sleep "$1" </dev/null >/dev/null 2>&1 & watch_nap=$!; wait "$watch_nap"; }
watch_beside() {
  watch_nap='' watch_seen=''
  trap '[ -z "$watch_nap" ] || kill "$watch_nap" 2>/dev/null; printf "%s\n" "$watch_seen"; exit 0' TERM
  while watch_sleep "$watch_every" || watch_sleep 1; do watch_clocks; done
}
watch_line() {
  watch_value=
  { IFS= read -r watch_value < "$2"; } 2>/dev/null
  if [ -n "$watch_value" ]; then printf '%s=%s\n' "$1" "$watch_value"; fi
}
watch_counts() {
  watch_line stat /proc/stat
  watch_line uptime /proc/uptime
  watch_line self /proc/self/stat
  times
}
watch_counts
echo @MARK@
watch_beside &
watch_pid=$!
(
@TEXT@
)
watch_ended=$?
printf '\n%s\n' @MARK@
watch_counts
kill -TERM "$watch_pid" 2>/dev/null
wait "$watch_pid" 2>/dev/null
if [ -r /proc/self/status ]; then
  while IFS= read -r watch_value; do
    case $watch_value in Cpus_allowed_list:*) printf 'allowed=%s\n' "${watch_value#*:}" ;; esac
  done < /proc/self/status
fi
exit "$watch_ended"
"""


@dataclass(frozen=True)
class Seen:
    """What was seen in some turns; None where the device does not tell.

    Attributes:
        clocks_mhz: of each core, look by look; none where the device shows none.
        seconds: how long the engine's programs ran, with their loading and warm-up.
        other_seconds: processor time that anything else used meanwhile.
        usage: page faults of the programs and of the shell that started them, and the cores that they may use.
    """

    clocks_mhz: tuple[Look, ...] = ()
    seconds: float | None = None
    other_seconds: float | None = None
    usage: Usage = field(default_factory=Usage)

    @property
    def other_load(self) -> float | None:
        """Cores that anything else used, on average."""
        if self.other_seconds is None or not self.seconds:
            return None
        return self.other_seconds / self.seconds

    def and_then(self, later: Seen) -> Seen:
        """Both together."""
        known = later.other_load is not None
        return Seen(
            (*self.clocks_mhz, *later.clocks_mhz),
            (self.seconds or 0.0) + (later.seconds or 0.0) if known else self.seconds,
            (self.other_seconds or 0.0) + (later.other_seconds or 0.0) if known else self.other_seconds,
            added(self.usage, later.usage),
        )


def watched(script: Script, seconds: float) -> Script:
    """A script that does the same, and tells what else happened.

    Args:
        seconds: how long what is timed will run, about.
    """
    nap = min(max(seconds / LOOKS, SHORTEST_NAP_S), LONGEST_NAP_S)
    text = _BODY.replace("@MARK@", MARK.decode()).replace("@TEXT@", script.text)
    return Script(text, {**script.variables, "watch_every": f"{nap:.3f}"})


def split(stdout: bytes) -> tuple[bytes, Seen]:
    """What a watched script printed: the engine's own output, and what was seen; never fails."""
    said_before, found, rest = stdout.partition(MARK + b"\n")
    if not found:
        return stdout, Seen()
    output, found, said_after = rest.rpartition(b"\n" + MARK + b"\n")
    if not found:
        return rest, Seen()
    before, after = (_Counts.of(said.decode(errors="replace")) for said in (said_before, said_after))
    return output, _seen(before, after)


def preferred(own: Usage, other: Usage) -> Usage:
    """What a program tells of itself, and for the rest what somebody else knows of it."""
    known = {name: value for name, value in asdict(own).items() if value is not None}
    return replace(other, **known)


def added(first: Usage, second: Usage) -> Usage:
    """Of two processes together: counts are summed, the largest resident set is the larger one."""

    def total(one: int | None, other: int | None) -> int | None:
        known = [count for count in (one, other) if count is not None]
        return sum(known) if known else None

    peaks = [u.peak_memory_bytes for u in (first, second) if u.peak_memory_bytes is not None]
    return Usage(
        peak_memory_bytes=max(peaks, default=None),
        page_faults_minor=total(first.page_faults_minor, second.page_faults_minor),
        page_faults_major=total(first.page_faults_major, second.page_faults_major),
        context_switches_voluntary=total(first.context_switches_voluntary, second.context_switches_voluntary),
        context_switches_involuntary=total(
            first.context_switches_involuntary, second.context_switches_involuntary
        ),
        cpuset=second.cpuset or first.cpuset,
        cpu_seconds=first.cpu_seconds + second.cpu_seconds,
        handovers_ns=(*first.handovers_ns, *second.handovers_ns),
    )


@dataclass(frozen=True)
class _Counts:
    """What the kernel had counted at one moment.

    Attributes:
        busy: seconds that all cores together had worked.
        up: seconds since boot.
        own: seconds that the shell and its children had worked.
        faults: minor and major ones of children that have ended.
    """

    busy: float | None
    up: float | None
    own: float | None
    faults: tuple[int, int] | None
    clocks: tuple[Look, ...]
    allowed: str | None

    @classmethod
    def of(cls, text: str) -> _Counts:
        said: dict[str, str] = {}
        clocks: list[dict[int, float]] = []
        for line in text.splitlines():
            key, _, value = line.partition("=")
            if key == "clock":
                core, _, kilohertz = value.partition(" ")
                if core.isdigit() and kilohertz.isdigit() and int(kilohertz) > 0:
                    if (
                        not clocks or int(core) in clocks[-1]
                    ):  # the next look begins with the first core again
                        clocks.append({})
                    clocks[-1][int(core)] = int(kilohertz) / 1000
            else:
                said[key] = value.strip()
        ticks = busy_ticks(said.get("stat", ""))
        up = re.match(r"\d+(\.\d+)?", said.get("uptime", ""))
        # The shell's `times`: "0m0.010s 0m0.020s" twice, its own and its children's.
        spent = re.findall(r"\b(\d+)m(\d+(?:[.,]\d+)?)s", text)
        return cls(
            busy=None if ticks is None else ticks / TICKS,
            up=float(up[0]) if up else None,
            own=sum(60 * int(m) + float(s.replace(",", ".")) for m, s in spent) if len(spent) == 4 else None,
            faults=_faults(said.get("self", "")),
            clocks=tuple(clocks),
            allowed=said.get("allowed") or None,
        )


def _faults(stat: str) -> tuple[int, int] | None:
    """Of children that have ended, in a line of ``/proc/PID/stat`` (proc(5): fields 11 and 13)."""
    numbers = stat.rpartition(")")[2].split()
    # The first field after the name is the third of the line.
    if len(numbers) <= _MAJOR or not (numbers[_MINOR].isdigit() and numbers[_MAJOR].isdigit()):
        return None
    return int(numbers[_MINOR]), int(numbers[_MAJOR])


def _difference(early: float | None, late: float | None) -> float | None:
    return None if early is None or late is None else late - early


def _seen(before: _Counts, after: _Counts) -> Seen:
    usage = Usage(cpuset=after.allowed)
    if before.faults and after.faults and after.faults[0] > before.faults[0]:
        minor, major = (late - early for early, late in zip(before.faults, after.faults, strict=True))
        usage = replace(usage, page_faults_minor=minor, page_faults_major=major)
    seconds, other = _difference(before.up, after.up), None
    worked, own = _difference(before.busy, after.busy), _difference(before.own, after.own)
    if worked is not None and own is not None:
        other = max(0.0, worked - own)
    return Seen(after.clocks, seconds, other, usage)
