"""``bibench-deploy devices clean``: what was pushed to devices is removed there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from bibench_deploy.cli import console
from bibench_deploy.cli.device_options import Chosen, choosing_devices
from bibench_deploy.cli.options import JsonOption
from bibench_deploy.cli.targets import NoWaitOption

if TYPE_CHECKING:
    from bibench_deploy.device_profiles import Device
    from bibench_deploy.runners.device.cache_script import CacheEntry
    from bibench_deploy.runners.transport.base import Transport


@choosing_devices
def clean(chosen: Chosen, no_wait: NoWaitOption = False, as_json: JsonOption = False) -> None:
    """Remove what was pushed to devices: programs, models and inputs. The next run pushes them again."""
    rows: list[dict[str, Any]] = []
    for device in chosen.devices:
        with chosen.open(device) as transport:
            removed = _clean(device, transport, wait=not no_wait)
        freed = sum(entry.size_kb for entry in removed)
        files = [name for entry in removed for name in entry.names]
        rows.append({"device": device.name, "workdir": device.workdir, "removed": files, "freed_kib": freed})
        if not as_json:
            text = f"{device.name}: removed {len(removed)} entries, {freed / 1024:.1f} MiB, from {device.workdir}"
            console.stdout().print(text, soft_wrap=True, markup=False)
    if as_json:
        console.print_json({"devices": rows})


def _clean(device: Device, transport: Transport, wait: bool) -> tuple[CacheEntry, ...]:
    from bibench_deploy.runners.device.cache import DeviceCache

    with _taken(device, transport, wait):
        return DeviceCache(transport, device.workdir).clean()


@contextmanager
def _taken(device: Device, transport: Transport, wait: bool) -> Iterator[None]:
    """The device is ours meanwhile, so that nothing goes that a run needs.

    A disk so full that not even the lease can be written is what one cleans for: then it goes on without.
    """
    from bibench_deploy.errors import DeviceStorageError
    from bibench_deploy.runners.device.lease import Lease
    from bibench_deploy.runners.device.session import owner_in_words

    lease = Lease(
        lambda script, timeout_s, step: transport.run(script, timeout_s=timeout_s, step=step),
        device.name,
        owner_in_words("devices clean"),
    )
    try:
        lease.acquire(wait, console.warn)
    except DeviceStorageError as error:
        console.warn(f"{error.message}: cleaning without taking the device")
    try:
        yield
    finally:
        lease.release()
