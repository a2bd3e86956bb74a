"""One device, opened: a link, the lease, what the device is, and what was pushed to it."""

from __future__ import annotations

import contextlib
import getpass
import os
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from bibench_deploy.device_profiles import CoreType, Device
from bibench_deploy.errors import DeviceError, DeviceUnfitError, InputError, TransientDeviceError
from bibench_deploy.runners.clusters import choose_cpus, cluster_sizes, ranges
from bibench_deploy.runners.host import Host
from bibench_deploy.runners.transport.base import Completed, Transport
from bibench_deploy.runners.transport.retry import Backoff, Retry, retrying

from .cache import DeviceCache
from .ceiling import predicted_gmacs
from .context import host_of
from .engine import Script
from .facts import DeviceFacts
from .lease import Lease
from .probe import probe
from .probe_output import parse_zones
from .probe_script import ZONES
from .step_script import PIN_FAILED, step_script
from .stopping import Stopped

#: A board that starts anew is back within half a minute.
BACKOFF = Backoff(attempts=4, first_s=1.0, factor=4.0, longest_s=15.0)
#: A hanging engine is given up after so long, s: an emulated board takes a minute for a turn of a large model.
STEP_TIMEOUT_S = 600.0

Say = Callable[[str], None]
Result = TypeVar("Result")


class DeviceSession:
    """A device that is ours until it is closed. Used by one thread; ``stop`` may be set by another.

    Args:
        device: which one.
        connect: opens a link to it.
        cores: the table of core types.
        purpose: what is done, for those who wait for the device.
        wait: until the device is free; refused otherwise.
        say: told what happens, in words.
        stop: set when the command is to be ended.
        backoff: how often a failure that may pass is tried again.
        timeout_s: how long an engine's step may take.
        cpus: cores that engines are pinned to, as ``runners.clusters`` understands them; None: they may use all.

    Attributes:
        asked_cpus: the same.
        cpus: their numbers on this device, once it is open; empty without a request.
    """

    def __init__(
        self,
        device: Device,
        connect: Callable[[], Transport],
        cores: Mapping[str, CoreType],
        *,
        purpose: str = "",
        wait: bool = True,
        say: Say = lambda message: None,
        stop: threading.Event | None = None,
        backoff: Backoff = BACKOFF,
        timeout_s: float = STEP_TIMEOUT_S,
        cpus: str | None = None,
    ) -> None:
        self.asked_cpus = cpus
        self.cpus: tuple[int, ...] = ()
        self.device = device
        self._connect, self._cores = connect, cores
        self._wait, self._say, self._backoff, self._timeout_s = wait, say, backoff, timeout_s
        self._stop = stop or threading.Event()
        self._lease = Lease(self._bare, device.name, owner_in_words(purpose), pause=self.pause)
        self._transport: Transport | None = None
        self._cache: DeviceCache | None = None
        self._pushed: dict[Path, str] = {}
        self._facts: DeviceFacts | None = None
        self._ready = self._closing = False
        self.pushed_bytes = 0

    @property
    def name(self) -> str:
        """Of the device."""
        return self.device.name

    @property
    def facts(self) -> DeviceFacts:
        """What the device was when it was opened."""
        assert self._facts is not None, "not open"
        return self._facts

    @property
    def host(self) -> Host:
        """The device as a row of the store knows it; of its cores those that engines may use."""
        found = host_of(self.facts)
        if not self.cpus:
            return found
        return replace(found, cores=len(self.cpus), clusters=cluster_sizes(self.facts.cpus, self.cpus))

    def open(self) -> Self:
        """Connect, take the lease, look what the device is.

        Raises:
            DeviceError: see ``persistently`` and ``Lease.acquire``.
            InputError: the device has no such cores as were asked for.
            Stopped: told to.
        """
        self.persistently(lambda: None)
        return self

    def persistently(
        self, action: Callable[[], Result], after_break: Callable[[], None] = lambda: None
    ) -> Result:
        """Do something that can be begun again; where the link breaks, set it up anew and try again.

        Args:
            after_break: done before the action on every new link.

        Raises:
            DeviceError: what does not pass, or did not for a while.
            Stopped: told to.
        """

        def attempt() -> Result:
            try:
                if not self._ready:
                    self._set_up()
                    self._ready = True
                    after_break()
                return action()
            except TransientDeviceError:
                self._ready = False
                raise

        return retrying(attempt, self._backoff, self._report, self.pause)

    def pause(self, seconds: float) -> None:
        """Wait.

        Raises:
            Stopped: told to.
        """
        if self._stop.wait(seconds):
            raise Stopped

    def ensure(self, source: Path, *, executable: bool = False) -> str:
        """A file's path on the device; pushed unless it is there. Verified once a link.

        Raises:
            DeviceError: see ``DeviceCache.ensure``.
        """
        if source not in self._pushed:
            self._checked()
            assert self._cache is not None
            cached = self._cache.ensure(source, executable=executable)
            self.pushed_bytes += cached.bytes
            self._pushed[source] = cached.path
        return self._pushed[source]

    def run(self, script: Script, files: Mapping[str, str], step: str, *, scratch: bool = False) -> Completed:
        """Run an engine's script while the lease is ours.

        Args:
            files: further variables: paths on the device.
            scratch: give it an empty folder, ``$scratch``, that goes with it.

        Raises:
            DeviceError: the link, the lease.
            Stopped: told to.
        """
        body = step_script(script, files, self.cpus, self.device.workdir if scratch else None)
        done = self._bare(self._lease.guarded(body), self._timeout_s, step)
        self._lease.check(done, step)
        if self.cpus and done.status == PIN_FAILED:
            said = done.stderr.decode(errors="replace").strip()
            raise DeviceUnfitError(
                f"the step can't be pinned to cores {ranges(self.cpus)} ({said or 'taskset failed'})",
                device=self.name,
                step=step,
                remedy="name cores that this login may use (Android keeps what runs in the background off the big "
                "ones), leave out --cpus, or install taskset (util-linux, busybox, toybox) there",
            )
        return done

    def look(self) -> DeviceFacts:
        """What the device is now.

        Raises:
            DeviceError: as ``run``.
        """
        return probe(self._checked(), self.device.workdir, self._cores)

    def temperatures(self) -> dict[str, float] | None:
        """°C by thermal zone; None where it tells none.

        Raises:
            DeviceError: as ``run``.
        """
        done = self.persistently(lambda: self.run(Script(ZONES, {}), {}, "looking at its temperature"))
        return {zone.name: zone.celsius for zone in parse_zones(done.stdout)} or None

    def predicted_gmacs(self, clock_mhz: Mapping[int, float], threads: int) -> float | None:
        """What its cores can do at these clocks; see ``ceiling.predicted_gmacs``."""
        return predicted_gmacs(self.facts, self._cores, clock_mhz, threads, self.cpus)

    def close(self) -> None:
        """Give the device back. A link that is gone is no error: the lease ends by itself then."""
        self._closing = True
        if self._transport is None:
            return
        with contextlib.suppress(DeviceError):  # it ends by itself
            self._lease.release()
        self._transport.close()
        self._transport = self._cache = None
        self._ready = False

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- the link --------------------------------------------------------------------------------------

    def _set_up(self) -> None:
        # A transport that broke is kept: it makes its link anew and ends what the old one left running.
        self._pushed.clear()
        self._transport = self._transport or self._connect()
        self._cache = self._cache or DeviceCache(self._transport, self.device.workdir)
        self._lease.acquire(self._wait, self._say)
        if self._facts is None:
            self._facts = self.look()
        if self.asked_cpus and not self.cpus:
            self.cpus = self._chosen_cpus(self.asked_cpus, self._facts)

    def _chosen_cpus(self, request: str, facts: DeviceFacts) -> tuple[int, ...]:
        try:
            return choose_cpus(request, facts.cpus, None)
        except InputError as error:
            error.where = f"{self.name}, {error.where}"
            raise

    def _checked(self) -> Transport:
        if self._stop.is_set() and not self._closing:
            raise Stopped
        assert self._transport is not None, "not open"
        return self._transport

    def _bare(self, script: str, timeout_s: float, step: str) -> Completed:
        return self._checked().run(script, timeout_s=timeout_s, step=step)

    def _report(self, retry: Retry) -> None:
        self._say(f"{retry.error.where}: {retry.error.message}; trying again in {retry.delay_s:.0f} s")


def owner_in_words(purpose: str) -> str:
    """Who we are, for others who want the device."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # an account without a name, as in some containers
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()} (process {os.getpid()}{', ' + purpose if purpose else ''})"
