"""Hosts that can't be reached, trusted or entered: exit code 3, one message with its remedy, nothing stored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from lab.device import SimulatedDevice
from lab.lab import Lab
from lab.setup import Setup
from lab.user import User
from support.command import is_clean


def changed_host_key(device: SimulatedDevice) -> None:
    device.power_off()
    device.new_host_key()
    device.power_on()


def no_known_key(device: SimulatedDevice) -> None:
    device.inside('echo >"$1/etc/ssh/authorized_keys"')


@dataclass(frozen=True)
class Fault:
    name: str
    says: tuple[str, ...]
    setup: Setup = field(default_factory=Setup)
    happens: Callable[[SimulatedDevice], None] = lambda device: None


FAULTS = [
    Fault("switched off", ("refused",), happens=SimulatedDevice.power_off),
    Fault("a black hole", ("no answer",), Setup(network=True), lambda device: device.link.swallow()),
    Fault("a firewall that rejects", ("refused",), Setup(network=True), lambda device: device.link.reject()),
    Fault("a cut cable", ("no answer",), Setup(network=True), lambda device: device.link.cut()),
    Fault(
        "another host key", ("host key", "is not the one known", "ssh-keygen -R"), happens=changed_host_key
    ),
    Fault("a key that it does not know", ("refused every key", "ssh-copy-id"), happens=no_known_key),
    Fault(
        "passwords only",
        ("takes no keys, only password", "PubkeyAuthentication yes", "ssh-copy-id"),
        Setup(login="password"),
    ),
    Fault("no login", ("This account is currently not available",), Setup(shell="/usr/sbin/nologin")),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_what_the_user_is_told(lab: Lab, user: User, fault: Fault) -> None:
    device = lab.add("board", fault.setup, profile="generic-x86_64")
    fault.happens(device)
    done = user.profile("board", "--retries", "0", "--connect-timeout", "2")
    assert done.returncode == 3, done.stderr
    assert is_clean(done.stderr)
    assert done.stdout == ""
    assert "board" in done.stderr
    for text in fault.says:
        assert text in done.stderr
    assert user.stored() == []


def test_an_unknown_host_is_refused_until_its_key_is_accepted_once(lab: Lab, user: User) -> None:
    lab.add("board", Setup(), profile="generic-x86_64")
    lab.known_hosts.write_text("")
    refused = user.profile("board")
    assert refused.returncode == 3
    assert "--accept-new-host-key" in refused.stderr
    accepted = user.profile("board", "--accept-new-host-key")
    assert accepted.returncode == 0, accepted.stderr
    assert lab.devices["board"].address in lab.known_hosts.read_text()
    assert user.profile("board").returncode == 0


def test_a_cable_that_is_mended_while_it_tries_again(lab: Lab, user: User) -> None:
    device = lab.add("board", Setup(network=True), profile="generic-x86_64")
    device.link.reject()
    with user.starts(*user.profiling("board")) as command:
        assert command.stderr is not None
        for line in command.stderr:
            if "again in" in line:
                device.link.clear()
                break
        _, err = command.communicate(timeout=60)
    assert command.returncode == 0, err
    assert len(user.stored()) == 1
