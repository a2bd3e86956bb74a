"""What this machine has to have for a lab, and the reason when it has not."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

SSHD = Path("/usr/sbin/sshd")
QEMU = "qemu-aarch64-static"
BINFMT = Path("/proc/sys/fs/binfmt_misc")
MEMORY = Path("/sys/fs/cgroup/memory")

# An ELF header of 64 bits, little-endian, for machine 183 (AArch64), executable or position-independent, as
# binfmt_misc takes it (qemu's scripts/qemu-binfmt-conf.sh).
MAGIC = rb"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
MASK = rb"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"


class CannotSimulateError(Exception):
    """This machine lacks what a device needs; the message says what."""


def binfmt_rule() -> str:
    """The line that makes a kernel hand AArch64 programs to qemu.

    F opens qemu now, so that none is needed inside of a device's root; P hands argv[0] on, which busybox lives by.
    """
    return f":bibench-lab-aarch64:M::{MAGIC.decode()}:{MASK.decode()}:{shutil.which(QEMU)}:FP"


def is_root() -> bool:
    return os.geteuid() == 0


@cache
def no_devices() -> str | None:
    """Why no device can be simulated here, or None."""
    if not SSHD.exists():
        return "needs OpenSSH's server (Debian: apt install openssh-server)"
    for tool in ("unshare", "nsenter", "ssh-keygen"):
        if shutil.which(tool) is None:
            return f"needs the command {tool} (Debian: util-linux, openssh-client)"
    tried = subprocess.run(
        [
            *("unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork"),
            *("sh", "-c", "mount -t tmpfs lab /tmp && mount -t proc lab /proc"),
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if tried.returncode != 0:
        return f"needs user, mount and process namespaces: {tried.stderr.strip()}"
    return None


@cache
def no_aarch64() -> str | None:
    """Why no AArch64 device can be simulated here, or None."""
    if (reason := no_devices()) is not None:
        return reason
    if shutil.which(QEMU) is None:
        return f"needs {QEMU} (Debian: apt install qemu-user-static)"
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            return f"needs Debian's {tool} to fetch an AArch64 userland"
    tried = subprocess.run(
        [
            *("unshare", "--user", "--map-root-user", "--mount", "sh", "-c"),
            f'mount -t binfmt_misc lab {BINFMT} && printf %s "$0" > {BINFMT}/register',
            binfmt_rule(),
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if tried.returncode != 0:
        return f"needs binfmt_misc in a user namespace (Linux 6.7): {tried.stderr.strip()}"
    return None


@cache
def no_networks() -> str | None:
    """Why no device can have a network of its own here, or None."""
    if (reason := no_devices()) is not None:
        return reason
    if not is_root():
        return "needs root, to join a device's network to this machine's"
    for tool in ("ip", "tc", "iptables"):
        if shutil.which(tool) is None:
            return f"needs the command {tool} (Debian: apt install iproute2 iptables)"
    tried = subprocess.run(
        ["unshare", "--net", "sh", "-c", "ip link add labtry type veth peer name labtry2"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if tried.returncode != 0:
        return f"needs network namespaces with veth: {tried.stderr.strip()}"
    return None


@cache
def no_memory_limits() -> str | None:
    """Why no device's memory can be limited here, or None."""
    if (reason := no_devices()) is not None:
        return reason
    if not (MEMORY / "memory.limit_in_bytes").exists() or not os.access(MEMORY, os.W_OK):
        return "needs the memory controller of control groups, version 1, and root"
    return None
