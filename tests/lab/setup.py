"""What a simulated device is like, and the files that make it so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from . import machine
from .board import Board

USER = "pi"
TERMUX = "/data/data/com.termux/files"


@dataclass(frozen=True)
class Setup:
    """What a device is like.

    Attributes:
        board: what its kernel says; with a board its programs are AArch64 ones, without they are this machine's.
        shows: path below /proc or /sys → content, beside or instead of what the board or this machine shows.
        termux: laid out as Termux on a phone is: no /bin, no /tmp, everything below /data.
        shell: the login shell: any of this machine (bash, fish, tcsh, nologin …), by default sh.
        home: files in the user's home, by name: shell start-up files that make noise, for instance.
        banner: shown before login.
        login: ``key``, or ``password`` for a host that takes no key.
        environment: what the server sets for every command.
        disk_kb: size of the file system that the user's home is on.
        network: the device is a host of its own, behind a link that can be cut.
        memory_mb: all that its processes may have together; the kernel kills one that wants more.
    """

    board: Board | None = None
    shows: Mapping[str, str] = field(default_factory=dict)
    termux: bool = False
    shell: str | None = None
    home: Mapping[str, str] = field(default_factory=dict)
    banner: str = ""
    login: str = "key"
    environment: Mapping[str, str] = field(default_factory=dict)
    disk_kb: int = 256 * 1024
    network: bool = False
    memory_mb: int | None = None

    @property
    def home_folder(self) -> str:
        return f"{TERMUX}/home" if self.termux else f"/home/{USER}"

    def why_not(self) -> str | None:
        """Why this machine can't simulate it, or None."""
        reason = machine.no_aarch64() if self.board is not None else machine.no_devices()
        if reason is None and self.network:
            reason = machine.no_networks()
        if reason is None and self.memory_mb is not None:
            reason = machine.no_memory_limits()
        if reason is None and self.shell is not None and not Path(self.shell).exists():
            reason = f"needs the shell {self.shell}"
        return reason

    def files(self, name: str, address: str, port: int, key: str) -> dict[str, str]:
        """Path in a device's folder → content: ``etc/…``, ``home/…``, and the board's ``proc/…`` and ``sys/…``.

        Args:
            key: public one, of who may log in.
        """
        home, default = self.home_folder, f"{TERMUX}/usr/bin/sh" if self.termux else "/bin/sh"
        shell = self.shell or default
        if self.shell is not None and self.board is not None:
            shell = f"/opt/{Path(self.shell).resolve().name}"
        return {
            **(self.board.tree() if self.board is not None else {}),
            **{path.lstrip("/"): text for path, text in self.shows.items()},
            **{f"home/{path}": text for path, text in self.home.items()},
            "etc/passwd": (
                f"root:x:0:0:root:/root:/bin/sh\n{USER}:x:1000:1000:{USER}:{home}:{shell}\n"
                "nobody:x:65534:65534:nobody:/:/bin/false\n"
            ),
            "etc/group": f"root:x:0:\n{USER}:x:1000:\nnogroup:x:65534:\n",
            "etc/hostname": f"{name}\n",
            "etc/banner": self.banner,
            "etc/ssh/authorized_keys": key,
            "etc/ssh/sshd_config": self._server(address, port),
        }

    def _server(self, address: str, port: int) -> str:
        password = self.login == "password"
        lines = [
            f"ListenAddress {address}",
            f"Port {port}",
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
        if self.banner:
            lines.append("Banner /etc/banner")
        if variables := self._variables():
            lines.append("SetEnv " + " ".join(f'"{name}={value}"' for name, value in variables.items()))
        return "\n".join(lines) + "\n"

    def _variables(self) -> dict[str, str]:
        variables: dict[str, str] = {}
        if self.board is not None:
            variables |= {"QEMU_CPU": self.board.cpu, "QEMU_UNAME": self.board.kernel}
        if self.termux:
            prefix = f"{TERMUX}/usr"
            variables |= {"PREFIX": prefix, "PATH": f"{prefix}/bin", "TMPDIR": f"{TERMUX}/home/tmp"}
        return variables | dict(self.environment)
