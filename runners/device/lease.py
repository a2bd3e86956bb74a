"""One measurement at a time on a device, across users and machines: a lease that lies on the device itself.

A folder that all users of the device share holds one folder a *generation*, named by its number. The highest
number is the present one; the next one is taken by ``mkdir``, which succeeds for one process alone. Nothing that
is shared is ever removed or renamed, so there is no moment at which two can win: whoever finds the present
generation released or dead tries to make exactly the next. A generation belongs to its user (the shared folder is
sticky, as ``/tmp``), who writes into it

    nonce   which holder it is          owner   who, and what for, in words
    since   when it was taken           beat    until when it holds
    released                            it is free

The holder's steps on the device renew the beat while they run. Its time is read from the device's own clock, and
from the one that counts since boot where the system has it: it never jumps, whatever a wrong wall clock is set
to. With a wall clock only, a beat says too little, and a holder is dead once a waiter has seen it unchanged for
some time.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic, sleep
from typing import Literal, Protocol

from bibench_deploy.errors import DeviceBusyError, DeviceStorageError, DeviceUnfitError, TransientDeviceError

from .lease_script import LOST, acquire_script, guard_script, release_script

#: How long a holder may be silent. Between two steps it thinks for a second at most; a link that is set up again
#: takes tens of seconds.
HOLDS_S = 60
#: The beat's period while a step runs.
BEAT_S = 10
#: A beat that did not change for so long (of the waiter's time) is a dead holder's, whatever the clocks say.
UNCHANGED_S = 30.0
#: Pause between two looks of a waiter: each look costs the holder's device a little.
LOOK_S = 5.0
_SCRIPT_TIMEOUT_S = 60.0
_MARK = "bibench-lease"
_LONGEST_OWNER = 200


class Result(Protocol):
    """How a script ended; see ``transport.base.Completed``."""

    @property
    def status(self) -> int: ...
    @property
    def stdout(self) -> bytes: ...
    @property
    def stderr(self) -> bytes: ...


#: Runs a script on the device: script, limit in s, name of the step.
RunScript = Callable[[str, float, str], Result]


class LeaseLostError(TransientDeviceError):
    """We were silent for too long, and someone else took the device meanwhile."""


@dataclass(frozen=True)
class Sight:
    """What a look at the device's lease showed.

    Attributes:
        generation: the present one; 0 if there never was any.
        now: the device's time in s, by ``clock``.
        clock: "up:" with the boot's id, or "date".
        beat: what the holder wrote, "UNTIL CLOCK"; "" where there is nothing (yet).
        since: when it was taken, as ``beat``.
    """

    generation: int
    now: int
    clock: str
    released: bool = False
    beat: str = ""
    since: str = ""
    owner: str = ""

    @property
    def holder(self) -> str:
        """Who holds it, and for how long already, in words."""
        taken = _instant(self.since)
        who = self.owner or "someone who just started"
        if taken is None or taken[1] != self.clock or self.now < taken[0]:
            return who
        return f"{who}, for {_duration(self.now - taken[0])}"


@dataclass(frozen=True)
class Taken:
    """The lease is ours."""

    generation: int


@dataclass(frozen=True)
class Lost:
    """Someone else was faster: look again."""


Verdict = Literal["free", "held", "dead"]


def parse(text: str) -> Sight | Taken | Lost:
    """What ``acquire_script`` printed.

    Raises:
        ValueError: something else.
    """
    facts = dict(re.findall(rf"^{_MARK} (\w+) ?(.*)$", text, re.MULTILINE))
    if "taken" in facts:
        return Taken(int(facts["taken"]))
    if "lost" in facts:
        return Lost()
    if "generation" not in facts or "now" not in facts:
        raise ValueError(f"no lease in {text[:200]!r}")
    return Sight(
        generation=int(facts["generation"]),
        now=int(facts["now"]),
        clock=facts.get("clock", ""),
        released=facts.get("released") == "1",
        beat=facts.get("beat", ""),
        since=facts.get("since", ""),
        owner=facts.get("owner", ""),
    )


def judge(sight: Sight, unchanged_s: float) -> Verdict:
    """Whether a lease may be taken.

    Args:
        sight: the last look.
        unchanged_s: for how long, by the waiter's clock, generation and beat have been what they are now.
    """
    if sight.generation == 0 or sight.released:
        return "free"
    beat = _instant(sight.beat)
    if beat is not None and beat[1].startswith("up:") and sight.clock.startswith("up:"):
        until, clock = beat
        if clock != sight.clock or sight.now >= until:  # the device was started anew, or the time is over
            return "dead"
        return "held"
    # A wall clock may have been set, and who is just starting has not written yet.
    return "dead" if unchanged_s >= UNCHANGED_S else "held"


@dataclass
class Lease:
    """The lease of one device.

    Args:
        run: runs a script on the device.
        device: its name, for messages.
        owner: who we are and what we do, in words.
        place: folder on the device that its users share; found there by default.
        clock, pause: this machine's time, for the waiting.
    """

    run: RunScript
    device: str
    owner: str
    place: str = ""
    clock: Callable[[], float] = monotonic
    pause: Callable[[float], None] = sleep
    _nonce: str = field(default_factory=lambda: secrets.token_hex(16))
    _generation: int | None = None

    def acquire(self, wait: bool = True, say: Callable[[str], None] = lambda message: None) -> None:
        """Take it, or keep it if it still is ours.

        Args:
            wait: until it is free.
            say: told who is waited for, whenever that changes.

        Raises:
            DeviceBusyError: someone holds it, and ``wait`` is off.
            DeviceStorageError: it can't be written on the device.
            DeviceError: what running a script raises.
        """
        take: int | None = None
        unchanged_since, last, said = self.clock(), ("", 0), ""
        while True:
            found = self._ask(take)
            if isinstance(found, Taken):
                self._generation = found.generation
                return
            take = None
            if isinstance(found, Lost):
                continue
            if (found.beat, found.generation) != last:
                unchanged_since, last = self.clock(), (found.beat, found.generation)
            verdict = judge(found, self.clock() - unchanged_since)
            if verdict != "held":
                take = found.generation
                continue
            if not wait:
                raise DeviceBusyError(
                    f"the device is taken by {found.holder}",
                    device=self.device,
                    step="taking the device",
                    remedy="wait until it is free (leave out --no-wait)",
                )
            if found.owner != said:
                say(f"{self.device}: waiting for {found.holder}")
                said = found.owner
            self.pause(LOOK_S)

    def guarded(self, body: str) -> str:
        """A script that runs another one if the lease is ours, and keeps it meanwhile.

        ``lost`` tells from its result whether the lease was lost in between: what it did then is worth nothing.
        """
        assert self._generation is not None, "a step without a lease"
        return guard_script(self.place, self._generation, self._nonce, HOLDS_S, BEAT_S, body)

    def check(self, result: Result, step: str) -> None:
        """Refuse the result of a guarded step during which the lease was lost.

        Raises:
            LeaseLostError: as said.
        """
        if result.status == LOST and f"{_MARK} lost".encode() in result.stderr:
            raise LeaseLostError(
                "no sign of this command reached the device for too long, and someone else took it",
                device=self.device,
                step=step,
                remedy="run the command again: it continues where it was",
            )

    def release(self) -> None:
        """Give it back; nothing happens if it is not ours any more.

        Raises:
            DeviceError: what running a script raises; it then expires by itself.
        """
        generation, self._generation = self._generation, None
        if generation is not None:
            self.run(
                release_script(self.place, generation, self._nonce),
                _SCRIPT_TIMEOUT_S,
                "giving the device back",
            )

    def _ask(self, take: int | None) -> Sight | Taken | Lost:
        step = "taking the device"
        script = acquire_script(self.place, self._nonce, _plain(self.owner), HOLDS_S, take)
        done = self.run(script, _SCRIPT_TIMEOUT_S, step)
        said = done.stderr.decode(errors="replace").strip()
        if done.status == 0:
            try:
                return parse(done.stdout.decode(errors="replace"))
            except ValueError as error:
                raise DeviceUnfitError(
                    f"its shell answers nonsense ({error})",
                    device=self.device,
                    step=step,
                    remedy="see 'bibench-deploy devices doctor', and what its login scripts print",
                ) from error
        raise DeviceStorageError(
            f"the lease can't be written ({said.splitlines()[-1] if said else f'exit code {done.status}'})",
            device=self.device,
            step=step,
            remedy="make room in /tmp of the device, or let BIBENCH_LEASE_DIR name a folder there that all its "
            "users may write",
        )


def _plain(owner: str) -> str:
    """One short line of printable ASCII: it is shown on other users' terminals."""
    return "".join(c if " " <= c <= "~" else "?" for c in owner)[:_LONGEST_OWNER]


def _instant(text: str) -> tuple[int, str] | None:
    match = re.fullmatch(r"(\d{1,15}) (\S{1,80})", text)
    return (int(match[1]), match[2]) if match else None


def _duration(seconds: int) -> str:
    if seconds < 120:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 7200 else f"{seconds // 3600} h"
