"""A place of labgrid, reserved and acquired: queued up for as labgrid's own client does, with its reservations."""

from __future__ import annotations

import contextlib
import threading
from typing import Any

from bibench_deploy.errors import DeviceBusyError, DeviceError, PermanentDeviceError, TransientDeviceError
from bibench_deploy.runners.device.stopping import Stopped

from .base import Say
from .coordinator import Coordinator
from .libraries import RefusedByCoordinator
from .places import holder, missing_match, occupied

#: Between two looks at a reservation, as labgrid's own client; unseen for a minute it expires.
LOOK_S = 1.0
#: A reservation that expires while it is waited for is made anew so often: then something is wrong.
EXPIRED_AT_MOST = 3
STEP = "reserving the place"


def take(coordinator: Coordinator, name: str, say: Say, stop: threading.Event, *, wait: bool = True) -> Any:
    """Queue up for a place, and acquire it when it is our turn; labgrid's place, ours.

    Args:
        say: told whom we wait for.
        wait: until it is free; refused otherwise.

    Raises:
        DeviceBusyError: someone else has it, and ``wait`` is off.
        DeviceError: the connection; or the place can't be acquired by anyone.
        Stopped: told to.
    """
    absent = missing_match(place_of(coordinator, name), coordinator.resources(), coordinator.where)
    if absent is not None:
        raise absent
    expired, told, token = 0, "", coordinator.reserve(name).token
    try:
        while True:
            state = _state(coordinator, token)
            if state in ("allocated", "acquired") and _acquired(coordinator, name):
                break
            if state not in ("waiting", "allocated", "acquired"):
                expired += 1
                if expired > EXPIRED_AT_MOST:
                    raise _expired(name)
                say(f"{name}: the reservation was lost while waiting; made anew")
                token = coordinator.reserve(name).token
                continue
            place = place_of(coordinator, name)
            by = holder(place, coordinator.reservations() if not place.acquired else ())
            if not wait:
                raise _busy(name, by)
            if by != told:
                say(f"{name}: waiting for {by}")
                told = by
            if stop.wait(LOOK_S):
                raise Stopped
    finally:
        # What is acquired needs no reservation: it would keep the place for us after we give it back.
        with contextlib.suppress(DeviceError):
            coordinator.cancel(token)
    return place_of(coordinator, name)


def place_of(coordinator: Coordinator, name: str) -> Any:
    """labgrid's place of a name.

    Raises:
        PermanentDeviceError: there is none any more.
    """
    place = coordinator.places().get(name)
    if place is None:
        raise PermanentDeviceError(
            "there is no such place any more", device=name, step=STEP, remedy="see labgrid-client places"
        )
    return place


def _acquired(coordinator: Coordinator, name: str) -> bool:
    """Acquire a place that is reserved for us; False if someone was faster."""
    try:
        coordinator.acquire(name)
    except RefusedByCoordinator as refused:
        place = place_of(coordinator, name)
        if place.acquired or (place.reservation and "was not reserved for" in str(refused)):
            return False
        raise _blocked(coordinator, place, refused) from refused
    return True


def _blocked(coordinator: Coordinator, place: Any, refused: RefusedByCoordinator) -> DeviceError:
    """Why a free place can't be acquired."""
    resources = coordinator.resources()
    why = "; ".join([str(refused), *occupied(place, resources)])
    return missing_match(place, resources, coordinator.where) or TransientDeviceError(
        f"the coordinator refuses the place: {why}",
        device=place.name,
        step=STEP,
        remedy="release the other place, or see the coordinator's and the exporter's log",
    )


def _state(coordinator: Coordinator, token: str) -> str:
    """What became of a reservation: labgrid's word for it, "gone" where it has been removed."""
    try:
        return str(coordinator.poll(token).state.name)
    except RefusedByCoordinator:
        return "gone"


def _busy(name: str, by: str) -> DeviceBusyError:
    return DeviceBusyError(
        f"the place is taken by {by}",
        device=name,
        step=STEP,
        remedy="wait until it is free (leave out --no-wait)",
    )


def _expired(name: str) -> TransientDeviceError:
    return TransientDeviceError(
        f"the reservation expired {EXPIRED_AT_MOST + 1} times while it was waited for",
        device=name,
        step=STEP,
        remedy="see whether the connection to the coordinator is cut again and again",
    )
