"""One simulated device: an OpenSSH server of its own, in namespaces of its own, that goes when it is told to."""

from __future__ import annotations

import os
import select
import shlex
import signal
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from . import machine
from .network import Link
from .setup import TERMUX, USER, Setup
from .userland import aarch64_userland

POWER = Path(__file__).with_name("power.sh")
START_S = 60.0  # far above the 0.2 s that it takes: a machine may be busy


class SimulatedDevice:
    """A device that is on. Made by `Lab.add`.

    Attributes:
        address, port, user: where it is reached.
        folder: its keys, its log, and the trees that are mounted at its start.
    """

    user = USER

    def __init__(
        self, name: str, setup: Setup, folder: Path, address: str, port: int, link: Link | None
    ) -> None:
        self.name, self.setup, self.folder = name, setup, folder
        self.address, self.port, self._link = address, port, link
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None
        for part in ("root", "proc", "sys", "home", "etc/ssh"):
            (folder / part).mkdir(parents=True)
        key = (folder.parent / "key.pub").read_text()
        for path, content in setup.files(name, address, port, key).items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(content)
        self.new_host_key()

    def new_host_key(self) -> None:
        """Another host key, as after a new installation: known from the next `power_on`."""
        key = self.folder / "etc/ssh/host_key"
        for old in (key, key.with_suffix(".pub")):
            old.unlink(missing_ok=True)
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", self.name, "-f", key], check=True
        )

    def known_hosts_line(self) -> str:
        kind, key, *_ = (self.folder / "etc/ssh/host_key.pub").read_text().split()
        return f"[{self.address}]:{self.port} {kind} {key}\n"

    # On and off

    def power_on(self) -> None:
        """Start it and wait until its server answers.

        Raises:
            CannotSimulateError: this machine lacks something.
            RuntimeError: it did not come up; holds the log.
        """
        if (reason := self.setup.why_not()) is not None:
            raise machine.CannotSimulateError(reason)
        board, termux = self.setup.board, self.setup.termux
        environment = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "LAB_HOSTNAME": self.name,
            "LAB_USERLAND": str(aarch64_userland()) if board is not None else "",
            "LAB_BINFMT": machine.binfmt_rule() if board is not None else "",
            "LAB_SHELL": os.path.realpath(self.setup.shell) if board is not None and self.setup.shell else "",
            "LAB_PREFIX": TERMUX if termux else "",
            "LAB_HOME": self.setup.home_folder,
            "LAB_DISK": f"{self.setup.disk_kb}k",
            "LAB_TMP": "" if termux else "16m",
        }
        namespaces = ["--user", "--map-root-user", "--mount", "--uts", "--ipc", "--pid"]
        if self.setup.network:
            namespaces.append("--net")
        self._log = open(self.folder / "log", "ab")  # noqa: SIM115 - as long as the device is on
        namespaces += ["--propagation", "private", "--fork", "--kill-child=KILL"]
        self._process = subprocess.Popen(
            ["unshare", *namespaces, "sh", str(POWER), str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=self._log,
            env=environment,
            start_new_session=True,
        )
        self._wait_for_namespaces()
        if self._link is not None:
            self._link.plug_in(self._process.pid)
        if self.setup.memory_mb is not None:
            self._limit_memory(self.setup.memory_mb)
        assert self._process.stdin is not None
        self._process.stdin.write(b"go\n")
        self._process.stdin.flush()
        self._wait_for_server()

    def _wait_for_namespaces(self) -> None:
        """Until `unshare` has made them: it starts the first process then. Before that it still is in ours."""
        assert self._process is not None
        while not _children(self._process.pid):
            if self._process.poll() is not None:
                self.power_off()
                raise RuntimeError(f"{self.name} did not start:\n{self.log}")
            time.sleep(0.002)

    @property
    def _memory_group(self) -> Path:
        return machine.MEMORY / f"bibench-lab-{os.getpid()}-{self.name}"

    def _limit_memory(self, megabytes: int) -> None:
        assert self._process is not None
        self._memory_group.mkdir()
        (self._memory_group / "memory.limit_in_bytes").write_text(str(megabytes << 20))
        (self._memory_group / "cgroup.procs").write_text(str(self.pid))

    def _wait_for_server(self) -> None:
        deadline = time.monotonic() + START_S
        while True:
            try:
                with socket.create_connection((self.address, self.port), timeout=1) as connection:
                    if connection.recv(4) == b"SSH-":
                        return
            except OSError:
                pass
            if self._process is None or self._process.poll() is not None or time.monotonic() > deadline:
                self.power_off()
                raise RuntimeError(f"{self.name} did not start:\n{self.log}")
            time.sleep(0.01)

    def power_off(self) -> None:
        """As if the plug were pulled: all its processes end at once, nothing says goodbye."""
        if self._process is not None:
            # The kernel lets a first process go only when every other one of its namespace is gone.
            for first in _children(self._process.pid):
                handle = os.pidfd_open(first)
                signal.pidfd_send_signal(handle, signal.SIGKILL)
                select.select([handle], [], [], START_S)
                os.close(handle)
            self._process.kill()
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process.wait()
            self._process = None
            if self._link is not None:
                self._link.unplugged()
            if self.setup.memory_mb is not None:
                self._memory_group.rmdir()
        if self._log is not None:
            self._log.close()
            self._log = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.power_off()

    @property
    def link(self) -> Link:
        assert self._link is not None, f"{self.name} has no network of its own (Setup.network)"
        return self._link

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    # Looking at it and breaking it, from outside

    def inside(self, script: str, stdin: bytes = b"") -> str:
        """What a script of this machine's shell prints in the device's mounts and process numbers, as its root.

        Args:
            script: sees the device's file system at ``$1`` and the user's home at ``$2``.
        """
        enter = ("nsenter", "--preserve-credentials", "--user", "--mount", "--pid", f"--target={self.pid}")
        root = f"{self.folder}/root"
        done = subprocess.run(
            [*enter, "sh", "-euc", script, "sh", root, root + self.setup.home_folder],
            input=stdin,
            capture_output=True,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{script}: {done.stderr.decode(errors='replace').strip()}")
        return done.stdout.decode(errors="replace")

    @property
    def pid(self) -> int:
        """The device's first process, as this machine numbers it."""
        assert self._process is not None, f"{self.name} is off"
        return _children(self._process.pid)[0]

    def processes(self) -> list[str]:
        """Command lines of what runs on the device beside its server: what a tool has started, or left there."""
        return [command for _, command in self._running()]

    def _running(self) -> list[tuple[int, str]]:
        """Number on this machine and command line. An orphan becomes the first process's child: none escapes."""
        found = [(pid, _command(pid)) for pid in _descendants(self.pid)]
        known = ("sshd:", "/usr/sbin/sshd")
        return [
            (pid, command)
            for pid, command in found
            if command and not command.startswith(known) and str(POWER) not in command
        ]

    def put(self, content: bytes, name: str, mode: int = 0o755) -> None:
        """Write a file into the user's home, behind everybody's back."""
        self.inside(f'cat >"$2"/{shlex.quote(name)} && chmod {mode:o} "$2"/{shlex.quote(name)}', content)

    def remount(self, options: str) -> None:
        """Change how the user's home is mounted: ``ro``, ``noexec``, ``rw`` and so on."""
        # With its source named, mount doesn't look up the old options: without root, uid= can't be given again.
        self.inside(f'mount -o remount,{options} lab "$2"')

    def fill_disk(self, leave_kb: int = 0) -> None:
        """Fill the home's file system up to so many kilobytes."""
        free = int(self.inside('df -k --output=avail "$2" | tail -1'))
        self.inside(f'head -c {(free - leave_kb) * 1024} /dev/zero >"$2/.filler"')

    def empty_disk(self) -> None:
        """Undo `fill_disk`."""
        self.inside('rm "$2/.filler"')

    def signal(self, number: int, text: str) -> None:
        """Send a signal to the device's processes whose command lines hold a text."""
        for pid, command in self._running():
            if text in command:
                os.kill(pid, number)

    def hangs(self, text: str) -> bool:
        """Stop the device's processes whose command lines hold a text; whether one of them is stopped now."""
        try:
            self.signal(signal.SIGSTOP, text)
        except ProcessLookupError:  # it has just ended
            return False
        return any(_state(pid) == "T" for pid, command in self._running() if text in command)

    def end_sessions(self) -> None:
        """Kill the servers of the connections that are open; the one that listens stays."""
        (listener,) = (pid for pid in _children(self.pid) if _name(pid) == "sshd")
        for pid in _descendants(listener):
            if _name(pid) == "sshd":
                os.kill(pid, signal.SIGKILL)


def _children(pid: int) -> list[int]:
    return [int(child) for child in _of(pid, f"task/{pid}/children").split()]


def _descendants(pid: int) -> list[int]:
    return [found for child in _children(pid) for found in (child, *_descendants(child))]


def _command(pid: int) -> str:
    return _of(pid, "cmdline").replace("\0", " ").strip()


def _state(pid: int) -> str:
    """As /proc tells it: R, S, T …; "" for one that is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][:1]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _name(pid: int) -> str:
    return _of(pid, "comm").strip()


def _of(pid: int, file: str) -> str:
    """What the kernel tells about a process; nothing when it has gone meanwhile."""
    try:
        return Path(f"/proc/{pid}/{file}").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""
