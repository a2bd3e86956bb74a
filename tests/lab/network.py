"""A device's own network: one cable to this machine, which can be cut, slowed down and filtered."""

from __future__ import annotations

import fcntl
import itertools
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

# 240 networks of four addresses; RFC 2544 keeps 198.18.0.0/15 for tests of network devices.
NETWORKS = 240


@dataclass
class Link:
    """The cable: `host` is this machine's end, `device` the other."""

    number: int
    _claim: IO[str]
    _pid: int | None = None

    @classmethod
    def free(cls) -> Link:
        """A network that no other process of this machine uses; free again when this one ends."""
        for number in itertools.islice(itertools.count(os.getpid()), NETWORKS):
            number %= NETWORKS
            claim = open(Path(tempfile.gettempdir()) / f"bibench-lab-link-{number}", "w")  # noqa: SIM115
            try:
                fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                claim.close()
                continue
            return cls(number, claim)
        raise RuntimeError(f"all {NETWORKS} networks of the lab are in use")

    @property
    def host(self) -> str:
        return f"198.18.{self.number}.1"

    @property
    def device(self) -> str:
        return f"198.18.{self.number}.2"

    @property
    def interface(self) -> str:
        return f"biblab{self.number}"

    def plug_in(self, pid: int) -> None:
        """Join this machine to the network namespace that a process is in. The cable goes with the namespace."""
        self._pid = pid
        _ip("link", "add", self.interface, "type", "veth", "peer", "name", "eth0", "netns", str(pid))
        _ip("addr", "add", f"{self.host}/30", "dev", self.interface)
        _ip("link", "set", self.interface, "up")
        self.run("ip", "addr", "add", f"{self.device}/30", "dev", "eth0")
        self.run("ip", "link", "set", "eth0", "up")
        self.run("ip", "link", "set", "lo", "up")

    def unplugged(self) -> None:
        """The namespace is gone, or going: take the cable away at once."""
        subprocess.run(["ip", "link", "del", self.interface], capture_output=True)
        self._pid = None

    def run(self, *command: str) -> None:
        """A command of this machine in the device's network."""
        assert self._pid is not None, "the device is off"
        subprocess.run(
            ["nsenter", "--net", "--target", str(self._pid), *command], check=True, capture_output=True
        )

    def bytes_sent(self) -> int:
        """What went to the device since the cable was plugged in."""
        return int(Path(f"/sys/class/net/{self.interface}/statistics/tx_bytes").read_text())

    # Faults. The device's end goes down: this machine's would take the route with it.

    def cut(self) -> None:
        self.run("ip", "link", "set", "eth0", "down")

    def mend(self) -> None:
        self.run("ip", "link", "set", "eth0", "up")

    def swallow(self) -> None:
        """Every packet is lost without a word: a firewall's DROP, a machine that is off behind a router."""
        self.run("iptables", "-A", "INPUT", "-j", "DROP")

    def reject(self) -> None:
        """Every connection is refused, those that are open are reset."""
        self.run("iptables", "-A", "INPUT", "-p", "tcp", "-j", "REJECT", "--reject-with", "tcp-reset")

    def lose(self, share: float) -> None:
        self.run(
            "iptables",
            "-A",
            "INPUT",
            "-m",
            "statistic",
            "--mode",
            "random",
            "--probability",
            str(share),
            "-j",
            "DROP",
        )

    def clear(self) -> None:
        self.run("iptables", "-F", "INPUT")

    def slow_down(self, mbit: int) -> None:
        """So many megabits per second towards the device."""
        queue = ("tc", "qdisc", "replace", "dev", self.interface, "root")
        shape = ("tbf", "rate", f"{mbit}mbit", "burst", "32kb", "latency", "50ms")
        subprocess.run([*queue, *shape], check=True, capture_output=True)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
