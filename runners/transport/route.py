"""How ssh would reach a host: the inventory's entry, then ``~/.ssh/config``, then the profile, then defaults."""

from __future__ import annotations

import getpass
import glob
import os
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from bibench_deploy.device_profiles.inventory import Device
from bibench_deploy.errors import InputError

from .host_keys import SSH_PORT, known_name

SYSTEM_CONFIG = Path("/etc/ssh/ssh_config")
SYSTEM_KNOWN_HOSTS = Path("/etc/ssh/ssh_known_hosts")
# ssh's order.
DEFAULT_KEYS = ("id_rsa", "id_ecdsa", "id_ed25519")
# ssh's own limit on Include.
_DEEPEST_INCLUDE = 16
_MOST_JUMPS = 8

# The options of ssh_config for a host or alias, as paramiko's SSHConfig.lookup gives them: lower-case names.
Lookup = Callable[[str], Mapping[str, Any]]


@dataclass(frozen=True)
class Hop:
    """One host on the way, as it is to be reached.

    Attributes:
        host, port, user: where to, and who.
        keys: private key files that the user named, to be tried first.
        certificates: of keys, beside ``KEY-cert.pub``.
        default_keys: tried last.
        agent: socket of the ssh agent; None for none.
        agent_keys: whether the agent's other keys are tried.
        known_name: what known_hosts calls it.
        known_hosts: files; the first takes new keys.
        proxy_command: what connects instead of TCP.
        jump: the host before this one.
    """

    host: str
    port: int
    user: str
    keys: tuple[Path, ...]
    certificates: tuple[Path, ...]
    default_keys: tuple[Path, ...]
    agent: str | None
    agent_keys: bool
    known_name: str
    known_hosts: tuple[Path, ...]
    proxy_command: str | None = None
    jump: Hop | None = None


def route(device: Device, lookup: Lookup, environment: Mapping[str, str], home: Path) -> Hop:
    """The way to a device. Pure, but for what ``lookup`` does.

    Args:
        environment: for the agent's socket.
        home: the user's home folder.

    Raises:
        InputError: an option of ssh_config that can't be, or jump hosts in a circle.
    """
    entry = device.entry
    given = {
        "user": entry and entry.user,
        "port": entry and entry.port,
        "key": entry and entry.key,
        "known_hosts": entry and entry.known_hosts,
        "jump": entry and entry.jump,
    }
    usual = {"user": device.profile.reach.user, "port": device.profile.reach.port}
    return _hop(device.host, given, usual, lookup, environment, home, _MOST_JUMPS)


def read_config(path: Path | None, home: Path) -> Lookup:
    """The user's ssh configuration; a given file instead of his and the system's.

    Raises:
        InputError: it can't be read or parsed.
    """
    import paramiko

    files = [path] if path is not None else [home / ".ssh" / "config", SYSTEM_CONFIG]
    lines: list[str] = []
    for file in files:
        if path is not None or file.exists():
            lines += ["Host *", *_included(file, home / ".ssh" if file != SYSTEM_CONFIG else file.parent, 0)]
    config = paramiko.SSHConfig()
    try:
        config.parse(StringIO("\n".join(lines)))
    except (paramiko.ConfigParseError, ValueError, IndexError) as error:
        raise InputError(str(error), where=str(files[0]), remedy="see `man ssh_config`") from error

    def lookup(host: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = config.lookup(host)
        return found

    return lookup


def _hop(
    alias: str,
    given: Mapping[str, Any],
    usual: Mapping[str, Any],
    lookup: Lookup,
    environment: Mapping[str, str],
    home: Path,
    jumps_left: int,
) -> Hop:
    if jumps_left == 0:
        raise InputError(
            f"more than {_MOST_JUMPS} jump hosts", where=alias, remedy="look for a circle in ProxyJump"
        )
    options = lookup(alias)
    host = str(options.get("hostname", alias))
    port = given.get("port") or _port(options.get("port"), alias) or usual.get("port") or SSH_PORT
    user = given.get("user") or options.get("user") or usual.get("user") or getpass.getuser()
    named = [given["key"]] if given.get("key") else []
    named += [Path(name).expanduser() for name in options.get("identityfile", [])]
    only = str(options.get("identitiesonly", "no")).lower() == "yes"
    jump = given.get("jump") or options.get("proxyjump") or ""
    if jump.lower() == "none":
        jump = ""
    return Hop(
        host=host,
        port=port,
        user=str(user),
        keys=tuple(named),
        certificates=tuple(_paths(options.get("certificatefile", ""), home, host)),
        default_keys=() if named else tuple(home / ".ssh" / name for name in DEFAULT_KEYS),
        agent=_agent(options.get("identityagent"), environment),
        agent_keys=not only,
        known_name=known_name(host, port)
        if "hostkeyalias" not in options
        else str(options["hostkeyalias"]).lower(),
        known_hosts=_known_hosts(given.get("known_hosts"), options, home, host),
        proxy_command=None if jump else options.get("proxycommand"),
        jump=_jump(jump, lookup, environment, home, jumps_left - 1) if jump else None,
    )


def _jump(text: str, lookup: Lookup, environment: Mapping[str, str], home: Path, jumps_left: int) -> Hop:
    """The last of ``[user@]host[:port]`` with commas, which goes through those before it."""
    before, _, last = text.rpartition(",")
    user, _, rest = last.strip().removeprefix("ssh://").rpartition("@")
    host, port = rest, ""
    if rest.startswith("["):
        host, _, port = rest[1:].partition("]")
        port = port.removeprefix(":")
    elif rest.count(":") == 1:
        host, _, port = rest.partition(":")
    if not host:
        raise InputError(f"not a jump host: '{text}'", remedy="write [user@]host[:port]")
    given = {"user": user or None, "port": _port(port or None, text), "jump": before or None}
    return _hop(host, given, {}, lookup, environment, home, jumps_left)


def _port(text: object, where: str) -> int | None:
    if text is None:
        return None
    try:
        port = int(str(text))
    except ValueError:
        port = 0
    if not 0 < port < 1 << 16:
        raise InputError(f"not a port: '{text}'", where=where, remedy="a number from 1 to 65535")
    return port


def _known_hosts(given: Path | None, options: Mapping[str, Any], home: Path, host: str) -> tuple[Path, ...]:
    if given is not None:
        return (given,)
    own = options.get("userknownhostsfile")
    files = (
        [home / ".ssh" / "known_hosts", home / ".ssh" / "known_hosts2"]
        if own is None
        else _paths(own, home, host)
    )
    everyone = options.get("globalknownhostsfile")
    return (*files, *([SYSTEM_KNOWN_HOSTS] if everyone is None else _paths(everyone, home, host)))


def _paths(text: str, home: Path, host: str) -> list[Path]:
    """File names of an option, with ``~``, ``%d`` and ``%h`` filled in; ``none`` is none."""
    words = shlex.split(text)
    if [word.lower() for word in words] == ["none"]:
        return []
    filled = (word.replace("%d", str(home)).replace("%h", host) for word in words)
    return [home / word[2:] if word.startswith("~/") else Path(word) for word in filled]


def _agent(option: str | None, environment: Mapping[str, str]) -> str | None:
    if option is None or option == "SSH_AUTH_SOCK":
        return environment.get("SSH_AUTH_SOCK") or None
    if option.lower() == "none":
        return None
    if option.startswith("$"):
        return environment.get(option[1:].strip("{}")) or None
    return os.path.expanduser(option)


def _included(file: Path, folder: Path, depth: int) -> list[str]:
    """The lines of a file with those of its Include options in their place, which paramiko does not do.

    Raises:
        InputError: a file can't be read, or they include each other.
    """
    if depth > _DEEPEST_INCLUDE:
        raise InputError("Include goes too deep", where=str(file), remedy="look for a circle")
    try:
        text = file.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise InputError(
            f"can't be read ({error.strerror})", where=str(file), remedy="check its permissions"
        ) from error
    lines: list[str] = []
    block = "Host *"
    for line in text.splitlines():
        word, _, rest = line.strip().replace("=", " ", 1).partition(" ")
        if word.lower() in ("host", "match"):
            block = line
        if word.lower() != "include":
            lines.append(line)
            continue
        for pattern in shlex.split(rest):
            for name in sorted(glob.glob(str(folder / Path(pattern).expanduser()))):
                lines += [*_included(Path(name), folder, depth + 1), block]
    return lines
