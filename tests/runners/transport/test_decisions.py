"""What is decided without any network: the way to a host, whether to trust it, when to try again."""

from __future__ import annotations

import base64
import hashlib
import hmac
from pathlib import Path
from typing import Any

import pytest

from bibench_deploy.device_profiles.inventory import Device, HostEntry
from bibench_deploy.device_profiles.profile import load_profiles
from bibench_deploy.device_profiles.reach import Reach
from bibench_deploy.errors import (
    DeviceError,
    HostKeyError,
    InputError,
    PermanentDeviceError,
    UnreachableError,
)
from bibench_deploy.runners.transport.base import Completed
from bibench_deploy.runners.transport.host_keys import HostKeys, Trust, known_name, parse_known_hosts, trust
from bibench_deploy.runners.transport.retry import Backoff, Retry, delay, retrying
from bibench_deploy.runners.transport.route import Hop, read_config, route
from bibench_deploy.runners.transport.storage import storage_error

HOME = Path("/home/me")
PROFILE = load_profiles()["rpi4"].model_copy(update={"reach": Reach(user="usual")})
KEY, OTHER = b"the key", b"another key"


# --- the way --------------------------------------------------------------------------------------------


def _hop(tmp_path: Path, config: str, alias: str = "board", **entry: Any) -> Hop:
    (tmp_path / "config").write_text(config)
    described = HostEntry(profile="rpi4", host=alias, **entry)
    return route(Device("pi", PROFILE, described), read_config(tmp_path / "config", HOME), {}, HOME)


@pytest.mark.parametrize(
    ("config", "entry", "expected"),
    [
        ("", {}, {"host": "board", "port": 22, "user": "usual", "known_name": "board"}),
        (
            "Host board\n HostName 10.0.0.7\n Port 2222\n User me\n",
            {},
            {"host": "10.0.0.7", "port": 2222, "user": "me"},
        ),
        ("Host board\n HostName 10.0.0.7\n Port 2222\n", {}, {"known_name": "[10.0.0.7]:2222"}),
        ("Host board\n Port 2222\n HostKeyAlias Pi\n", {}, {"port": 2222, "known_name": "pi"}),
        ("Host board\n Port 2222\n User me\n", {"port": 99, "user": "you"}, {"port": 99, "user": "you"}),
        ("Host other\n Port 2222\n", {}, {"port": 22}),
        ("User first\nHost board\n User second\n", {}, {"user": "first"}),
        ("Match host board\n User matched\n", {}, {"user": "matched"}),
        (
            "IdentityFile /keys/a\nHost board\n IdentityFile /keys/b\n",
            {},
            {"keys": (Path("/keys/a"), Path("/keys/b"))},
        ),
        (
            "IdentityFile /keys/a\n",
            {"key": Path("/keys/mine")},
            {"keys": (Path("/keys/mine"), Path("/keys/a"))},
        ),
        (
            "",
            {},
            {"default_keys": tuple(HOME / ".ssh" / f"id_{kind}" for kind in ("rsa", "ecdsa", "ed25519"))},
        ),
        ("IdentitiesOnly yes\n", {}, {"agent_keys": False}),
        ("IdentityAgent /run/agent\n", {}, {"agent": "/run/agent"}),
        ("IdentityAgent none\n", {}, {"agent": None}),
        (
            'UserKnownHostsFile ~/a "%d/b c"\nGlobalKnownHostsFile none\n',
            {},
            {"known_hosts": (HOME / "a", HOME / "b c")},
        ),
        ("UserKnownHostsFile ~/a\n", {"known_hosts": Path("/mine")}, {"known_hosts": (Path("/mine"),)}),
        ("ProxyCommand nc %h %p\n", {}, {"proxy_command": "nc board 22"}),
        ("ProxyCommand none\n", {}, {"proxy_command": None}),
        ("ProxyJump none\n", {}, {"jump": None}),
    ],
)
def test_the_way_is_sshs(
    tmp_path: Path, config: str, entry: dict[str, Any], expected: dict[str, Any]
) -> None:
    hop = _hop(tmp_path, config, **entry)
    assert {name: getattr(hop, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("config", "jump", "hops"),
    [
        (
            "Host board\n ProxyJump gate\nHost gate\n HostName 10.0.0.1\n User g\n",
            None,
            [("10.0.0.1", 22, "g")],
        ),
        ("Host board\n ProxyJump gate\n", "me@[fe80::1]:2200", [("fe80::1", 2200, "me")]),
        ("", "a@one,b@two:99", [("two", 99, "b"), ("one", 22, "a")]),
        ("Host two\n ProxyJump x@one\n", "b@two", [("two", 22, "b"), ("one", 22, "x")]),
    ],
)
def test_jump_hosts(tmp_path: Path, config: str, jump: str | None, hops: list[tuple[str, int, str]]) -> None:
    hop = _hop(tmp_path, config, jump=jump).jump
    found = []
    while hop is not None:
        found.append((hop.host, hop.port, hop.user))
        hop = hop.jump
    assert found == hops


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("Port no\n", "not a port: 'no'"),
        ("Host board\n ProxyJump gate\nHost gate\n ProxyJump board\n", "more than 8 jump hosts"),
        ("Include config\n", "Include goes too deep"),
        ("Nonsense\n", "Unparsable line"),
    ],
)
def test_configurations_that_can_not_be(tmp_path: Path, config: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        _hop(tmp_path, config.replace("Include config", f"Include {tmp_path}/config"))


# --- trust ----------------------------------------------------------------------------------------------


def _line(names: str, key: bytes, marker: str = "") -> str:
    return f"{marker}{names} ssh-ed25519 {base64.b64encode(key).decode()} a comment\n"


def _hashed(name: str) -> str:
    digest = hmac.new(b"salt", name.encode(), hashlib.sha1).digest()
    return f"|1|{base64.b64encode(b'salt').decode()}|{base64.b64encode(digest).decode()}"


@pytest.mark.parametrize(
    ("lines", "verdict"),
    [
        ("", Trust.UNKNOWN),
        ("# comment\nnot a line\nhost ssh-ed25519 !!!\n", Trust.UNKNOWN),
        (_line("other", KEY), Trust.UNKNOWN),
        (_line("host", KEY), Trust.TRUSTED),
        (_line("a,host,b", KEY), Trust.TRUSTED),
        (_line("h*", KEY), Trust.TRUSTED),
        (_line("h*,!host", KEY), Trust.UNKNOWN),
        (_line(_hashed("host"), KEY), Trust.TRUSTED),
        (_line(_hashed("other"), KEY), Trust.UNKNOWN),
        (_line("host", OTHER), Trust.CHANGED),
        (_line("host", OTHER) + _line("host", KEY), Trust.TRUSTED),
        (_line("host", KEY) + _line("*", KEY, "@revoked "), Trust.REVOKED),
        (_line("host", KEY) + _line("*", OTHER, "@revoked "), Trust.TRUSTED),
        (_line("*", KEY, "@cert-authority "), Trust.UNKNOWN),
        (_line("[host]:22", KEY), Trust.UNKNOWN),
    ],
)
def test_known_hosts(lines: str, verdict: Trust) -> None:
    assert trust(parse_known_hosts(lines, "file"), known_name("host", 22), KEY) is verdict


def test_a_port_belongs_to_the_name() -> None:
    known = parse_known_hosts(_line("[10.0.0.1]:2222", KEY), "file")
    assert trust(known, known_name("10.0.0.1", 2222), KEY) is Trust.TRUSTED
    assert trust(known, known_name("10.0.0.1", 22), KEY) is Trust.UNKNOWN


@pytest.mark.parametrize(
    ("lines", "verdict"),
    [
        (_line("10.0.0.1", KEY), Trust.TRUSTED),
        (_line("10.0.0.1", KEY) + _line("[10.0.0.1]:2222", OTHER), Trust.CHANGED),
        (_line("10.0.0.1", OTHER), Trust.UNKNOWN),
        (_line("10.0.0.1", KEY) + _line("10.0.0.1", KEY, "@revoked "), Trust.REVOKED),
    ],
)
def test_a_name_without_a_port_counts_where_no_line_has_the_port(lines: str, verdict: Trust) -> None:
    known = parse_known_hosts(lines, "file")
    assert trust(known, known_name("10.0.0.1", 2222), KEY) is verdict


def test_a_new_key_is_added_behind_what_is_there(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_text("other ssh-ed25519 QQ==")  # no newline at its end
    HostKeys([file], "host", accept_new=True, device="pi").check("ssh-ed25519", KEY)
    assert file.read_text().splitlines()[0] == "other ssh-ed25519 QQ=="
    HostKeys([file], "host", accept_new=False, device="pi").check("ssh-ed25519", KEY)
    with pytest.raises(HostKeyError, match="not the one known"):
        HostKeys([file], "host", accept_new=True, device="pi").check("ssh-ed25519", OTHER)


# --- trying again ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attempt", "error", "pause"),
    [
        (1, UnreachableError("x"), 1.0),
        (2, UnreachableError("x"), 3.0),
        (3, UnreachableError("x"), 5.0),
        (4, UnreachableError("x"), None),
        (1, PermanentDeviceError("x"), None),
        (1, DeviceError("x"), None),
    ],
)
def test_the_pause_before_the_next_attempt(attempt: int, error: DeviceError, pause: float | None) -> None:
    assert delay(Backoff(attempts=4, first_s=1.0, factor=3.0, longest_s=5.0), attempt, error) == pause


def test_what_passes_is_tried_until_it_does() -> None:
    outcomes: list[object] = [UnreachableError("a"), UnreachableError("b"), "done"]
    told: list[Retry] = []
    slept: list[float] = []

    def work() -> object:
        outcome = outcomes.pop(0)
        if isinstance(outcome, DeviceError):
            raise outcome
        return outcome

    assert retrying(work, Backoff(), told.append, slept.append) == "done"
    assert slept == [1.0, 3.0]
    assert [(retry.error.message, retry.attempt, retry.delay_s) for retry in told] == [
        ("a", 1, 1.0),
        ("b", 2, 3.0),
    ]


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("cat: write error: No space left on device", "is full"),
        ("sh: can't create x: Read-only file system", "is read-only"),
        ("sh: 1: cannot create x: Permission denied", "may not be written"),
        ("sh: 1: cannot create x/y: Directory nonexistent", "is missing"),
        ("Segmentation fault", None),
    ],
)
def test_what_a_device_says_of_its_disk(said: str, message: str | None) -> None:
    error = storage_error(Completed(1, b"", said.encode()), "pi", "pushing", "work")
    assert (error and error.message) == (message and f"work: the place {message}")
