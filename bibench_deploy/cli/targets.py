"""Options that say on which devices a command works, and what they mean."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bibench_deploy.cli.options import sharing
from bibench_deploy.errors import InputError

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from bibench_deploy.device_profiles import CoreType, Device
    from bibench_deploy.profile_plan import Place, Target
    from bibench_deploy.runners.device.engine import DeviceEngine
    from bibench_deploy.runners.device.session import DeviceSession
    from bibench_deploy.runners.providers import DeviceProvider

LOCAL = "local"

TagOption = Annotated[
    list[str] | None,
    typer.Option(
        "--tag", metavar="TAG", help="The devices of your inventory with this tag; may be repeated."
    ),
]
InventoryOption = Annotated[
    Path | None,
    typer.Option(
        "--inventory", metavar="FILE", help="Your devices, instead of devices.toml in your settings."
    ),
]
LabOption = Annotated[
    str | None,
    typer.Option("--lab", metavar="URL", help="Take devices from a lab, as labgrid://HOST:20408."),
]
ProfilesOption = Annotated[
    list[Path] | None,
    typer.Option("--profiles", metavar="DIR", help="A folder with your own device profiles."),
]
AcceptOption = Annotated[
    bool,
    typer.Option("--accept-new-host-key", help="Trust a host that was never seen, and remember its key."),
]
NoWaitOption = Annotated[
    bool, typer.Option("--no-wait", help="Fail if someone else measures on a device, instead of waiting.")
]
TimeoutOption = Annotated[
    float,
    typer.Option(
        "--timeout", metavar="S", min=1, max=86400, help="A step on a device may take so many seconds."
    ),
]
ConnectTimeoutOption = Annotated[
    float,
    typer.Option(
        "--connect-timeout", metavar="S", min=0.1, max=3600, help="Connecting may take so many seconds."
    ),
]
RetriesOption = Annotated[
    int,
    typer.Option(
        "--retries",
        metavar="N",
        min=0,
        max=100,
        help="Try again so often what may pass, as a lost connection.",
    ),
]

TIMEOUT_S = 600.0
CONNECT_TIMEOUT_S = 10.0
RETRIES = 3
#: A device is tried again by the night itself, after a pause: a step need not be tried for long.
RETRIES_AT_NIGHT = 1


@dataclass(frozen=True)
class Manner:
    """How devices are dealt with; see the options."""

    accept_new_host_key: bool = False
    wait: bool = True
    timeout_s: float = TIMEOUT_S
    connect_timeout_s: float = CONNECT_TIMEOUT_S
    retries: int = RETRIES
    cpus: str | None = None


def _manner(
    accept_new_host_key: AcceptOption = False,
    no_wait: NoWaitOption = False,
    timeout: TimeoutOption = TIMEOUT_S,
    connect_timeout: ConnectTimeoutOption = CONNECT_TIMEOUT_S,
    retries: RetriesOption = RETRIES,
) -> Manner:
    return Manner(accept_new_host_key, not no_wait, timeout, connect_timeout, retries)


def _manner_of_a_night(
    accept_new_host_key: AcceptOption = False,
    timeout: TimeoutOption = TIMEOUT_S,
    connect_timeout: ConnectTimeoutOption = CONNECT_TIMEOUT_S,
    retries: RetriesOption = RETRIES_AT_NIGHT,
) -> Manner:
    return Manner(accept_new_host_key, True, timeout, connect_timeout, retries)


#: Give a command, whose first parameter is ``manner``, the options that say how devices are dealt with.
dealing_with_devices = sharing(_manner)
dealing_with_devices_at_night = sharing(_manner_of_a_night)


def choose(
    names: Sequence[str],
    tags: Sequence[str],
    inventory: Path | None,
    profiles: Sequence[Path],
    source: DeviceProvider | None = None,
) -> tuple[list[str], dict[str, Device]]:
    """The names of the devices in order, each once, and those of them that are not this machine.

    Args:
        source: knows the devices; the inventory by default.

    Raises:
        InputError: an unknown device, tag or profile, or a file that is none.
        InfrastructureError: the source can't be asked.
    """
    from bibench_deploy.device_profiles import load_profiles, split_names
    from bibench_deploy.runners.providers import provider

    wanted = split_names(names)
    known = load_profiles(profiles)
    remote = [name for name in wanted if name != LOCAL]
    found: dict[str, Device] = {}
    if remote or tags:
        devices = (source or provider(None, inventory, known)).resolve(remote, split_names(tags))
        found = {device.name: device for device in devices}
    return [name for name in dict.fromkeys([*wanted, *found]) if name == LOCAL or name in found], found


def session(
    device: Device,
    cores: Mapping[str, CoreType],
    manner: Manner,
    purpose: str,
    say: Callable[[str], None],
    stop: threading.Event | None = None,
) -> DeviceSession:
    """A device over SSH, not open yet."""
    from dataclasses import replace

    from bibench_deploy.runners.device.session import BACKOFF, DeviceSession
    from bibench_deploy.runners.transport.link import SshOptions
    from bibench_deploy.runners.transport.retry import Backoff
    from bibench_deploy.runners.transport.ssh import open_transport

    options = SshOptions(
        accept_new_host_key=manner.accept_new_host_key,
        connect_timeout_s=manner.connect_timeout_s,
        backoff=Backoff(attempts=1),  # the session itself tries again
    )
    return DeviceSession(
        device,
        lambda: open_transport(device, options),
        cores,
        purpose=purpose,
        wait=manner.wait,
        say=say,
        stop=stop,
        backoff=replace(BACKOFF, attempts=manner.retries + 1),
        timeout_s=manner.timeout_s,
        cpus=manner.cpus,
    )


def target(
    device: Device,
    cores: Mapping[str, CoreType],
    engines: Mapping[str, DeviceEngine],
    counts: Sequence[int],
    manner: Manner,
    named: bool,
    source: DeviceProvider,
) -> Target:
    """A device to measure on.

    Args:
        source: where it comes from.
        named: whether the user named the artefacts: one that the device can't execute is an error then.
    """
    from contextlib import contextmanager

    from bibench_deploy.profile_plan import Target
    from bibench_deploy.runners.device.place import opened

    @contextmanager
    def place(say: Callable[[str], None], stop: threading.Event) -> Iterator[Place]:
        with source.reserved(device, say, stop) as ours:
            made = session(ours, cores, manner, "profile", say, stop)
            with opened(made, engines) as here:
                for warning in warnings(made, counts, cores):
                    say(f"warning: {warning}")
                yield here

    return Target(device.name, place, None if named else frozenset(engines), lambda: source.check(device))


def warnings(opened: DeviceSession, counts: Sequence[int], cores: Mapping[str, CoreType]) -> list[str]:
    """What a user should know of a device before he believes its figures."""
    from bibench_deploy.runners.device.context import host_of
    from bibench_deploy.runners.device.doctor import examine

    facts, profile = opened.facts, opened.device.profile
    findings = examine(facts, profile, cores)
    said = [f"{finding.what}: {finding.why}" for finding in findings if finding.severity != "note"]
    cores_usable = host_of(facts).cores
    if facts.cores is not None and cores_usable < facts.cores:
        said.append(f"of the device's {facts.cores} cores this login may use {cores_usable}")
    over = oversubscribed(counts, cores_usable)
    return [*said, over] if over else said


def oversubscribed(counts: Sequence[int], cores: int) -> str | None:
    """The warning for more threads than cores; None if there are none."""
    over = ", ".join(str(count) for count in counts if count > cores)
    if not over:
        return None
    return (
        f"oversubscribed: {over} threads on {cores} cores wait for each other; "
        "such figures say nothing about a machine that has the cores"
    )


def one(names: tuple[list[str], dict[str, Device]]) -> Device | None:
    """The only device, None for this machine.

    Raises:
        InputError: several.
    """
    chosen, found = names
    if len(chosen) != 1:
        raise InputError("one device is needed", where=f"--device {','.join(chosen)}")
    return found.get(chosen[0])
