"""One simulated device: an OpenSSH server of its own, in namespaces of its own, that goes when it is told to."""

from __future__ import annotations

import os
import select
import shlex
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from . import machine
from .board import Board
from .network import Link
from .userland import aarch64_userland

POWER = Path(__file__).with_name("power.sh")
START_S = 20.0  # far above the 0.2 s that it takes: a machine may be busy
USER = "pi"
TERMUX = "/data/data/com.termux/files"


@dataclass(frozen=True)
class Setup:
    """What a device is like.

    Attributes:
        board: what its kernel says; with a board its programs are AArch64 ones, without they are this machine's.
        termux: laid out as Termux on a phone is: no /bin, no /tmp, everything below /data.
        shell: the login shell. On a board: busybox's; otherwise any of this machine (bash, fish, tcsh, nologin …).
        home: files in the user's home, by name: shell start-up files that make noise, for instance.
        banner: shown before login.
        login: ``key``, or ``password`` for a host that takes no key.
        environment: what the server sets for every command.
        disk_kb: size of the file system that the user's home is on.
        network: the device is a host of its own, behind a link that can be cut.
    """

    board: Board | None = None
    termux: bool = False
    shell: str | None = None
    home: Mapping[str, str] = field(default_factory=dict)
    banner: str = ""
    login: str = "key"
    environment: Mapping[str, str] = field(default_factory=dict)
    disk_kb: int = 64 * 1024
    network: bool = False

    @property
    def home_folder(self) -> str:
        return f"{TERMUX}/home" if self.termux else f"/home/{USER}"

    def why_not(self) -> str | None:
        """Why this machine can't simulate it, or None."""
        reason = machine.no_aarch64() if self.board is not None else machine.no_devices()
        if reason is None and self.network:
            reason = machine.no_networks()
        if reason is None and self.shell is not None and self.board is None and not Path(self.shell).exists():
            reason = f"needs the shell {self.shell}"
        return reason


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
        folder.mkdir(parents=True)
        self._furnish()

    # What it is made of

    def _furnish(self) -> None:
        for part in ("root", "proc", "sys", "home", "etc/ssh"):
            (self.folder / part).mkdir(parents=True)
        tree = self.setup.board.tree() if self.setup.board is not None else {}
        for path, content in tree.items():
            (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / path).write_text(content)
        for name, text in self.setup.home.items():
            (self.folder / "home" / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / "home" / name).write_text(text)
        home, shell = self.setup.home_folder, self._shell()
        etc = self.folder / "etc"
        (etc / "passwd").write_text(
            f"root:x:0:0:root:/root:/bin/sh\n{self.user}:x:1000:1000:{self.user}:{home}:{shell}\n"
            "nobody:x:65534:65534:nobody:/:/bin/false\n"
        )
        (etc / "group").write_text(f"root:x:0:\n{self.user}:x:1000:\nnogroup:x:65534:\n")
        (etc / "hostname").write_text(f"{self.name}\n")
        (etc / "banner").write_text(self.setup.banner)
        self.new_host_key()
        key = self.folder.parent / "key.pub"
        (etc / "ssh/authorized_keys").write_text(key.read_text())
        (etc / "ssh/sshd_config").write_text(self._server())

    def _shell(self) -> str:
        if self.setup.shell is not None:
            return self.setup.shell
        return f"{TERMUX}/usr/bin/sh" if self.setup.termux else "/bin/sh"

    def _server(self) -> str:
        password = self.setup.login == "password"
        lines = [
            f"ListenAddress {self.address}",
            f"Port {self.port}",
            "HostKey /etc/ssh/host_key",
            "AuthorizedKeysFile /etc/ssh/authorized_keys",
            "PidFile none",
            "UsePAM no",
            "StrictModes no",
            "KbdInteractiveAuthentication no",
            f"PasswordAuthentication {'yes' if password else 'no'}",
            f"PubkeyAuthentication {'no' if password else 'yes'}",
            "MaxStartups 100",
            "LogLevel VERBOSE",
            "Subsystem sftp internal-sftp",
        ]
        if self.setup.banner:
            lines.append("Banner /etc/banner")
        variables = self._environment()
        if variables:
            lines.append("SetEnv " + " ".join(f'"{name}={value}"' for name, value in variables.items()))
        return "\n".join(lines) + "\n"

    def _environment(self) -> dict[str, str]:
        variables = {}
        if self.setup.board is not None:
            variables |= {"QEMU_CPU": self.setup.board.cpu, "QEMU_UNAME": self.setup.board.kernel}
        if self.setup.termux:
            prefix = f"{TERMUX}/usr"
            variables |= {"PREFIX": prefix, "PATH": f"{prefix}/bin", "TMPDIR": f"{TERMUX}/home/tmp"}
        return variables | dict(self.setup.environment)

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
        if self._link is not None:
            self._link.plug_in(self._process.pid)
        assert self._process.stdin is not None
        self._process.stdin.write(b"go\n")
        self._process.stdin.flush()
        self._wait_for_server()

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

    def inside(self, script: str, *, check: bool = True) -> str:
        """What a script of this machine's shell prints in the device's mounts and process numbers, as its root."""
        command = [
            "nsenter",
            "--preserve-credentials",
            "--user",
            "--mount",
            "--pid",
            "--target",
            str(self.pid),
        ]
        done = subprocess.run(
            [*command, "sh", "-euc", script, "sh", f"{self.folder}/root"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        if check and done.returncode != 0:
            raise RuntimeError(f"{script}: {done.stderr.strip()}")
        return done.stdout

    @property
    def pid(self) -> int:
        """The device's first process, as this machine numbers it."""
        assert self._process is not None, f"{self.name} is off"
        return _children(self._process.pid)[0]

    def processes(self) -> list[str]:
        """Command lines of what runs on the device beside its server: what a tool has started, or left there."""
        script = (
            'cd "$1/proc"; for id in [0-9]*; do '
            '[ "$id" = $$ ] || tr "\\0\\n" "  " <"$id/cmdline" && echo || true; done 2>/dev/null'
        )
        lines = (line.strip() for line in self.inside(script).splitlines())
        known = ("sshd:", "/usr/sbin/sshd")
        return [line for line in lines if line and not line.startswith(known) and str(POWER) not in line]

    def remount(self, options: str) -> None:
        """Change how the user's home is mounted: ``ro``, ``noexec``, ``rw`` and so on."""
        self.inside(f'mount -o {shlex.quote(f"remount,{options}")} "$1{self.setup.home_folder}"')

    def fill_disk(self, leave_kb: int = 0) -> None:
        """Fill the home's file system up to so many kilobytes."""
        home = f"$1{self.setup.home_folder}"
        self.inside(
            f'free=$(df -k --output=avail "{home}" | tail -1); '
            f'head -c $(((free - {leave_kb}) * 1024)) /dev/zero >"{home}/.filler" || true'
        )

    def empty_disk(self) -> None:
        self.inside(f'rm "$1{self.setup.home_folder}/.filler"')

    def end_sessions(self) -> None:
        """Kill the servers of the connections that are open; the one that listens stays."""
        for pid in self._sessions():
            os.kill(pid, signal.SIGKILL)

    def _sessions(self) -> Sequence[int]:
        """Numbers of the connections' server processes: children of the one that listens."""
        listener = self._child_named(self.pid, "sshd")
        return [int(child) for child in _children(listener)]

    def _child_named(self, parent: int, name: str) -> int:
        for child in _children(parent):
            if Path(f"/proc/{child}/comm").read_text().strip() == name:
                return child
        raise RuntimeError(f"{self.name}: no {name} runs")


def _children(pid: int) -> list[int]:
    if not Path(f"/proc/{pid}").exists():
        return []
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
