"""A lab of labgrid as a source of devices: places are reserved, acquired, and given back whatever happens to us."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from bibench_deploy.device_profiles import Device, DeviceProfile, Inventory
from bibench_deploy.errors import (
    DeviceError,
    InputError,
    TransientDeviceError,
)

from .base import Say
from .coordinator import Coordinator
from .libraries import RefusedByCoordinator, libraries
from .owner import is_dead, own_name
from .places import (
    acquired_service,
    chosen,
    device_of,
    offered_service,
    profile_of,
)
from .reservation import STEP, take
from .watchdog import Watchdog

SCHEME = "labgrid"
PORT = 20408
#: Between two tries to find a coordinator again that went away while we hold places.
AGAIN_S = 2.0


class PlaceLostError(TransientDeviceError):
    """A place was ours, and someone else was given it or told us to leave."""


@dataclass
class _Held:
    """A place that is ours.

    Attributes:
        lost: why it is not any more.
    """

    say: Say
    lost: str | None = None


def address_of(url: str) -> str:
    """HOST:PORT of a lab's URL, ``labgrid://HOST`` or ``labgrid://HOST:PORT``.

    Raises:
        InputError: it is none.
    """
    remedy = f"write it as {SCHEME}://HOST:{PORT}"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise InputError(
            f"'{url}' is not the URL of a lab ({error})", where="--lab", remedy=remedy
        ) from error
    bare = f"{SCHEME}://{parts.netloc}" == url.rstrip("/") and "@" not in parts.netloc
    if parts.scheme != SCHEME or not parts.hostname or not bare or port == 0:
        raise InputError(f"'{url}' is not the URL of a lab", where="--lab", remedy=remedy)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{host}:{port or PORT}"


class LabgridProvider:
    """See ``DeviceProvider``.

    Args:
        address: of the coordinator, HOST:PORT.
        inventory: what labgrid does not know of a device: key, known hosts, work folder.
        profiles: by id.
        wait: until a place is free; refused otherwise.

    Raises:
        MissingExtraError: labgrid is not installed.
    """

    def __init__(
        self, address: str, inventory: Inventory, profiles: Mapping[str, DeviceProfile], *, wait: bool = True
    ) -> None:
        libraries()
        self._address, self._inventory, self._profiles, self._wait = address, inventory, profiles, wait
        self._name = own_name()
        self._watchdog = Watchdog(address, self._name)
        self._lock = threading.RLock()
        self._users = 0
        self._coordinator: Coordinator | None = None
        self._held: dict[str, _Held] = {}

    @property
    def where(self) -> str:
        """For messages."""
        return f"{SCHEME}://{self._address}"

    def names(self) -> tuple[str, ...]:
        """The places that say which board they are.

        Raises:
            DeviceError: the coordinator can't be asked.
        """
        with self._used():
            places = self._open().places()
        return tuple(name for name in sorted(places) if profile_of(places[name], self._inventory))

    def resolve(self, names: Sequence[str], tags: Sequence[str]) -> tuple[Device, ...]:
        """The places with these names or aliases, then those with any of these tags, as devices.

        Args:
            tags: ``KEY=VALUE``, or ``KEY`` for KEY=yes.

        Raises:
            InputError: an unknown place, tag or profile, or a place without one.
            DeviceError: the coordinator can't be asked.
        """
        with self._used():
            coordinator = self._open()
            places = coordinator.places()
            return tuple(
                self._expected(coordinator, places[name]) for name in chosen(names, tags, places, self.where)
            )

    @contextmanager
    def reserved(self, device: Device, say: Say, stop: threading.Event) -> Iterator[Device]:
        """See ``DeviceProvider.reserved``.

        Raises:
            DeviceBusyError: someone else has the place, and ``wait`` is off.
            UnreachableError, ConnectionLostError: the coordinator, or the place's exporter, has gone.
            PermanentDeviceError: the place can't be used.
            Stopped: told to.
        """
        with self._used():
            self._bury(self._open(), say)
            self._watchdog.watch(device.name)
            try:
                ours = self._acquired(device.name, say, stop)
                with self._kept(device.name, say):
                    yield ours
            finally:
                if self._give_back(device.name, say):
                    self._watchdog.forget(device.name)

    def check(self, device: Device) -> None:
        """See ``DeviceProvider.check``. A coordinator that is away gives the place to nobody else.

        Raises:
            PlaceLostError: as said.
        """
        held = self._held[device.name]
        with contextlib.suppress(TransientDeviceError):
            coordinator = self._open()
            coordinator.sync()
            self._look(coordinator, device.name, held)
        if held.lost is not None:
            raise PlaceLostError(
                f"the place was lost: {held.lost}",
                device=device.name,
                step=STEP,
                remedy="run the command again: it continues where it was",
            )

    # --- one place -------------------------------------------------------------------------------------

    def _acquired(self, name: str, say: Say, stop: threading.Event) -> Device:
        coordinator = self._open()
        place = take(coordinator, name, say, stop, wait=self._wait)
        return self._device(place, acquired_service(place, coordinator.resources(), self.where))

    def _give_back(self, name: str, say: Say) -> bool:
        """Release a place unless it was lost; False if that could not be told to the coordinator."""
        try:
            self._open().release(name)
        except RefusedByCoordinator:  # there is no such place any more
            return True
        except DeviceError as error:
            say(
                f"{name}: can't be released now ({error.message}); tried again by a process that stays behind"
            )
            return False
        return True

    @contextmanager
    def _kept(self, name: str, say: Say) -> Iterator[None]:
        """While the block runs, take the place again where a coordinator was started anew, which forgets it."""
        with self._lock:
            alone = not self._held
            self._held[name] = _Held(say)
            if alone:
                threading.Thread(target=self._keep, name="labgrid-keeper", daemon=True).start()
        try:
            yield
        finally:
            with self._lock:
                del self._held[name]

    def _keep(self) -> None:
        pause = threading.Event()
        while True:
            pause.wait(AGAIN_S)
            with self._lock:
                if not self._held:
                    return
                broken = self._coordinator is None or self._coordinator.broken
                if broken:
                    with contextlib.suppress(DeviceError):  # away: the next time
                        self._open()

    def _look(self, coordinator: Coordinator, name: str, held: _Held) -> None:
        """Whether a place still is ours."""
        place = coordinator.places().get(name)
        if held.lost is not None or (place is not None and place.acquired == self._name):
            return
        if place is None:
            held.lost = "it was deleted"
        else:
            held.lost = f"it is {place.acquired}'s now" if place.acquired else "someone released it"

    def _retake(self, coordinator: Coordinator) -> None:
        """On a new connection: what the coordinator has forgotten becomes ours again."""
        for name, held in self._held.items():
            place = coordinator.places().get(name)
            if place is not None and not place.acquired and held.lost is None:
                try:
                    coordinator.acquire(name)
                    held.say(f"{name}: the coordinator was started anew; the place is taken again")
                except RefusedByCoordinator as refused:
                    held.lost = f"the coordinator was started anew and refuses it ({refused})"
            self._look(coordinator, name, held)

    # --- the connection --------------------------------------------------------------------------------

    @contextmanager
    def _used(self) -> Iterator[None]:
        """One connection serves all who need one at a time; it ends with the last of them."""
        with self._lock:
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if not self._users and self._coordinator is not None:
                    self._coordinator.close()
                    self._coordinator = None

    def _open(self) -> Coordinator:
        """The connection, made anew if it broke."""
        with self._lock:
            if self._coordinator is None or self._coordinator.broken:
                if self._coordinator is not None:
                    self._coordinator.close()
                fresh = Coordinator(self._address, self._name)
                fresh.open()
                self._coordinator = fresh
                self._retake(fresh)
            return self._coordinator

    def _bury(self, coordinator: Coordinator, say: Say) -> None:
        """Give back what commands of this machine left that were killed together with their watchdog."""
        for place in coordinator.places().values():
            if place.acquired and is_dead(place.acquired):
                coordinator.release(place.name, place.acquired)
                say(f"{place.name}: given back for {place.acquired}, which no longer runs")

    def _expected(self, coordinator: Coordinator, place: Any) -> Device:
        """A device before it is ours; what is wrong with its address concerns who reserves it."""
        try:
            return self._device(place, offered_service(place, coordinator.resources(), self.where))
        except DeviceError:
            return self._device(place, None)

    def _device(self, place: Any, service: Mapping[str, Any] | None) -> Device:
        return device_of(place, service, self._inventory, self._profiles, self.where)
