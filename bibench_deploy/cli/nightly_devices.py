"""How ``nightly`` opens a device: reserved, reached, ours, and looked at before anything is measured there."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from bibench_deploy.cli import targets

if TYPE_CHECKING:
    from bibench_deploy.device_profiles import CoreType
    from bibench_deploy.nightly.expansion import Board
    from bibench_deploy.nightly.opening import Opened, Opens
    from bibench_deploy.runners.device.engine import DeviceEngine
    from bibench_deploy.runners.device.session import DeviceSession
    from bibench_deploy.runners.providers import DeviceProvider

Say = Callable[[str], None]


def opener(
    provider: DeviceProvider,
    cores: Mapping[str, CoreType],
    engines: Mapping[str, DeviceEngine],
    manner: targets.Manner,
) -> Callable[[Board], Opens]:
    """What opens the boards of a plan."""

    def opens(board: Board) -> Opens:
        device = board.device
        if device is None:
            return _this_machine

        @contextmanager
        def opened_device(cpus: str | None, say: Say, stop: threading.Event) -> Iterator[Opened]:
            from bibench_deploy.nightly.opening import Opened
            from bibench_deploy.runners.device.place import opened

            with provider.reserved(device, say, stop) as ours:
                made = targets.session(ours, cores, replace(manner, cpus=cpus), "nightly", say, stop)
                with opened(made, engines) as place:
                    _check_health(made)
                    for warning in targets.warnings(made, (), cores):
                        say(f"warning: {warning}")
                    yield Opened(place, lambda: provider.check(ours))

        return opened_device

    return opens


@contextmanager
def _this_machine(cpus: str | None, say: Say, stop: threading.Event) -> Iterator[Opened]:
    from bibench_deploy.local_place import LocalPlace
    from bibench_deploy.nightly.opening import Opened

    yield Opened(LocalPlace(cpus))


def _check_health(session: DeviceSession) -> None:
    """Refuse a device on which no run can succeed.

    Raises:
        DeviceUnfitError: it is one.
    """
    from bibench_deploy.errors import DeviceUnfitError
    from bibench_deploy.runners.device.doctor import diagnose

    worst = next(iter(diagnose(session.facts, session.device.profile)), None)
    if worst is not None and worst.severity == "impossible":
        raise DeviceUnfitError(
            f"{worst.what}: {worst.why}",
            device=session.name,
            step="checking its health",
            remedy=worst.remedy,
        )
