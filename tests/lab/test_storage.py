"""Disks that are full, closed or damaged."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lab.device import SimulatedDevice
from lab.lab import Lab
from lab.setup import Setup
from lab.user import User
from support.command import is_clean

# Where a device keeps what was pushed, and the largest file of it: the program.
PROGRAM = 'program=$(find "$2" -type f -name bibench-run | head -1); test -s "$program"; '


@pytest.mark.parametrize(
    ("breaks", "mends", "says"),
    [
        (SimulatedDevice.fill_disk, SimulatedDevice.empty_disk, "full"),
        (lambda device: device.remount("ro"), lambda device: device.remount("rw"), "read-only"),
        (lambda device: device.remount("noexec"), lambda device: device.remount("rw,exec"), "noexec"),
    ],
    ids=["full", "read-only", "noexec"],
)
def test_a_work_folder_that_can_not_be_used(
    lab: Lab,
    user: User,
    breaks: Callable[[SimulatedDevice], None],
    mends: Callable[[SimulatedDevice], None],
    says: str,
) -> None:
    device = lab.add("board", Setup(disk_kb=8192), profile="generic-x86_64")
    breaks(device)
    done = user.profile("board")
    assert done.returncode == 3, done.stdout
    assert is_clean(done.stderr)
    assert "board" in done.stderr
    assert says in done.stderr
    assert user.stored() == []
    mends(device)
    assert user.profile("board").returncode == 0


def test_a_disk_with_room_for_half_of_the_program(lab: Lab, user: User) -> None:
    device = lab.add("board", Setup(disk_kb=8192), profile="generic-x86_64")
    device.fill_disk(leave_kb=300)
    done = user.profile("board")
    assert done.returncode == 3
    assert "full" in done.stderr
    assert device.inside('find "$2" -name bibench-run') == ""  # nothing that looks whole
    device.empty_disk()
    assert user.profile("board").returncode == 0


@pytest.mark.parametrize(
    "damage",
    [
        'truncate -s 100000 "$program"',
        'printf X | dd of="$program" bs=1 seek=70000 conv=notrunc status=none',
        ': >"$program"',
        'chmod -x "$program"',
        'rm "$program"',
    ],
    ids=["truncated", "corrupted", "empty", "not executable", "gone"],
)
def test_what_was_damaged_on_the_device_is_pushed_again(lab: Lab, user: User, damage: str) -> None:
    device = lab.add("board", Setup(), profile="generic-x86_64")
    assert user.profile("board").returncode == 0
    whole = device.inside(PROGRAM + 'sha256sum "$program"')
    device.inside(PROGRAM + damage)
    done = user.profile("board")
    assert done.returncode == 0, done.stderr
    assert device.inside(PROGRAM + 'sha256sum "$program"') == whole
    assert len(user.stored()) == 2


def test_a_damaged_artefact_is_pushed_again(lab: Lab, user: User) -> None:
    device = lab.add("board", Setup(), profile="generic-x86_64")
    assert user.profile("board").returncode == 0
    found = 'for file in $(find "$2" -type f -name "*.bbm"); do '
    whole = device.inside(found + 'sha256sum "$file"; done')
    assert whole
    for damage in (
        'truncate -s 2000 "$file"',
        'printf X | dd of="$file" bs=1 seek=3000 conv=notrunc status=none',
    ):
        device.inside(f"{found}{damage}; done")
        done = user.profile("board", "--fresh")
        assert done.returncode == 0, done.stderr
        assert "pushed: 6 kB" in done.stdout  # it alone
        assert device.inside(found + 'sha256sum "$file"; done') == whole
