"""Devices over real SSH servers: who they are, who we are, and links that break."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab.device import SimulatedDevice
from lab.lab import Lab
from lab.setup import Setup

from bibench_deploy.device_profiles.inventory import Device, HostEntry, read_inventory
from bibench_deploy.device_profiles.profile import load_profiles
from bibench_deploy.errors import (
    AuthenticationError,
    ConnectionLostError,
    DeviceError,
    HostKeyError,
    PermanentDeviceError,
    StepTimeoutError,
    UnreachableError,
)
from bibench_deploy.runners.device.cache import DeviceCache
from bibench_deploy.runners.transport import link
from bibench_deploy.runners.transport.retry import Backoff
from bibench_deploy.runners.transport.ssh import SshOptions, SshTransport, open_transport

ONCE = Backoff(attempts=1)


@pytest.fixture(autouse=True)
def _no_keys_of_mine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The tests' user has an empty home and no agent."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


def _device(lab: Lab, name: str = "linux", **changes: object) -> Device:
    device = read_inventory(lab.inventory).device(name, load_profiles())
    assert device.entry is not None
    return Device(name, device.profile, device.entry.model_copy(update=changes))


def _open(device: Device, **options: object) -> SshTransport:
    return open_transport(device, SshOptions(backoff=ONCE, **options))  # type: ignore[arg-type]


def test_run_push_pull(lab: Lab, linux_host: SimulatedDevice, tmp_path: Path) -> None:
    data = os.urandom(3 << 20)
    (tmp_path / "data").write_bytes(data)
    with _open(_device(lab)) as device:
        done = device.run("echo out; echo err >&2; cat; kill -11 $$", timeout_s=20, stdin=b"in")
        assert (done.status, done.stdout, done.stderr) == (139, b"out\nin", b"err\n")
        device.push(tmp_path / "data", "a 'b' c")
        device.pull("a 'b' c", tmp_path / "back")
        with pytest.raises(StepTimeoutError, match="the device stopped it"):
            device.run("sleep 4321", timeout_s=0.5)
        assert device.run("echo still there", timeout_s=20).status == 0
    assert (tmp_path / "back").read_bytes() == data
    _assert_idle(linux_host)


# --- who the host is ------------------------------------------------------------------------------------


def test_an_unknown_host_is_refused_and_can_be_accepted(
    lab: Lab, linux_host: SimulatedDevice, tmp_path: Path
) -> None:
    known = tmp_path / "sub" / "known_hosts"
    with pytest.raises(HostKeyError, match="unknown: ssh-ed25519 SHA256:") as caught:
        _open(_device(lab, known_hosts=known))
    assert "--accept-new-host-key" in str(caught.value)
    _open(_device(lab, known_hosts=known), accept_new_host_key=True).close()
    assert known.read_text() == linux_host.known_hosts_line()
    _open(_device(lab, known_hosts=known)).close()


def test_a_changed_host_key_is_always_refused(lab: Lab, linux_host: SimulatedDevice) -> None:
    linux_host.power_off()
    linux_host.new_host_key()
    linux_host.power_on()
    with pytest.raises(HostKeyError, match=r"is not the one known from .*known_hosts:1") as caught:
        _open(_device(lab), accept_new_host_key=True)
    assert "ssh-keygen -R" in str(caught.value)


# --- who we are -----------------------------------------------------------------------------------------


def test_a_key_that_is_not_known_there(lab: Lab, linux_host: SimulatedDevice, tmp_path: Path) -> None:
    with pytest.raises(AuthenticationError, match=r"refused every key; tried: .*other") as caught:
        _open(_device(lab, key=_new_key(tmp_path / "other")))
    assert "ssh-copy-id" in str(caught.value)
    with pytest.raises(AuthenticationError, match="no such file"):
        _open(_device(lab, key=tmp_path / "missing"))


def test_a_host_that_takes_passwords_only(lab: Lab) -> None:
    lab.add("linux", Setup(login="password"), profile="generic-x86_64")
    with pytest.raises(AuthenticationError, match="takes no keys, only") as caught:
        _open(_device(lab))
    assert "ssh-copy-id" in str(caught.value)


def test_a_key_with_a_passphrase_is_the_agents(
    lab: Lab, linux_host: SimulatedDevice, tmp_path: Path, agent: None
) -> None:
    locked = tmp_path / "locked"
    locked.write_bytes(lab.key.read_bytes())
    locked.chmod(0o600)
    subprocess.run(["ssh-keygen", "-q", "-p", "-P", "", "-N", "secret", "-f", locked], check=True)
    with pytest.raises(AuthenticationError, match="ssh-add"):
        _open(_device(lab, key=locked))
    subprocess.run(["ssh-add", "-q", lab.key], check=True)
    _open(_device(lab, key=locked)).close()
    _open(_device(lab, key=None)).close()


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    sock = tmp_path / "agent"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", sock], stdout=subprocess.DEVNULL)
    try:
        while not sock.exists():
            assert process.poll() is None
            time.sleep(0.01)
        monkeypatch.setenv("SSH_AUTH_SOCK", str(sock))
        yield
    finally:
        process.terminate()
        process.wait()


# --- certificates ---------------------------------------------------------------------------------------


def _sign(authority: Path, key: Path, *options: str) -> Path:
    """``ssh-keygen -s``; the certificate's file."""
    subprocess.run(["ssh-keygen", "-q", "-s", authority, "-I", "lab", *options, key], check=True)
    return key.with_name(f"{key.stem if key.suffix == '.pub' else key.name}-cert.pub")


def _serve(host: SimulatedDevice, *lines: str) -> None:
    """Start the host's server anew, with further lines of configuration."""
    host.power_off()
    with (host.folder / "etc/ssh/sshd_config").open("a") as config:
        config.writelines(f"{line}\n" for line in lines)
    host.power_on()


def _trusts_authority(host: SimulatedDevice, authority: Path) -> None:
    """The host knows no key any more, only who signs them."""
    (host.folder / "etc/ssh/authorized_keys").write_text("")
    (host.folder / "etc/ssh/authority").write_bytes(authority.with_name(f"{authority.name}.pub").read_bytes())
    _serve(host, "TrustedUserCAKeys /etc/ssh/authority")


@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
def test_a_certificate_lets_in(lab: Lab, linux_host: SimulatedDevice, tmp_path: Path, kind: str) -> None:
    authority, key = _new_key(tmp_path / "authority", kind), _new_key(tmp_path / "mine", kind)
    _trusts_authority(linux_host, authority)
    with pytest.raises(AuthenticationError, match="refused every key"):
        _open(_device(lab, key=key))
    _sign(authority, key, "-n", linux_host.user)
    _open(_device(lab, key=key)).close()


def test_a_certificate_of_a_key_that_the_agent_holds(
    lab: Lab, linux_host: SimulatedDevice, tmp_path: Path, agent: None
) -> None:
    authority, key = _new_key(tmp_path / "authority"), _new_key(tmp_path / "mine")
    _trusts_authority(linux_host, authority)
    subprocess.run(["ssh-add", "-q", key], check=True)
    certificate = _sign(authority, key, "-n", linux_host.user)
    subprocess.run(["ssh-keygen", "-q", "-p", "-P", "", "-N", "secret", "-f", key], check=True)
    _open(_device(lab, key=key)).close()
    # Elsewhere, and named in the configuration.
    certificate.rename(tmp_path / "another-name")
    (tmp_path / "config").write_text(f"CertificateFile {tmp_path}/another-name\n")
    _open(_device(lab, key=None), config=tmp_path / "config").close()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-n", "pi", "-V", "20200101:20200102"], r"mine-cert\.pub: it expired at 2020-01-02"),
        (["-n", "pi", "-V", "20990101:forever"], r"mine-cert\.pub: it counts from 2099-01-01"),
        (["-n", "pi", "-h"], r"mine-cert\.pub: it is a host's, not a user's"),
        (["-n", "somebody"], r"tried: \S+mine with \S+mine-cert\.pub, "),
    ],
)
def test_a_certificate_that_lets_nobody_in(
    lab: Lab, linux_host: SimulatedDevice, tmp_path: Path, options: list[str], message: str
) -> None:
    authority, key = _new_key(tmp_path / "authority"), _new_key(tmp_path / "mine")
    _trusts_authority(linux_host, authority)
    _sign(authority, key, *options)
    with pytest.raises(AuthenticationError, match=message) as caught:
        _open(_device(lab, key=key))
    assert ("signed anew" in str(caught.value)) is (options[1] == "pi")


@pytest.mark.parametrize(
    ("options", "judged"),
    [
        (
            ["-n", "{host}"],
            {
                "@cert-authority * {authority}": None,
                "@cert-authority {host} {authority}": None,
                "@cert-authority [{host}]:{port} {authority}": None,
                "@cert-authority elsewhere {authority}": "is unknown",
                "@cert-authority * {other}": "its authority SHA256:.* is not that of known_hosts",
                "@cert-authority * {authority}\n@revoked * {authority}": "its authority is revoked",
                "@cert-authority * {authority}\n@revoked * {key}": "is revoked",
            },
        ),
        (
            ["-n", "127.*"],  # no pattern
            {
                "@cert-authority * {authority}": r"it is for 127\.\*, not for 127",
                "@cert-authority * {authority}\n{host} {key}": None,  # the key itself is known
            },
        ),
        ([], {"@cert-authority * {authority}": None}),
        (["-V", "20200101:20200102"], {"@cert-authority * {authority}": "it expired at 2020-01-02"}),
    ],
    ids=["named", "another name", "any name", "expired"],
)
def test_a_host_that_shows_a_certificate(
    lab: Lab,
    linux_host: SimulatedDevice,
    tmp_path: Path,
    options: list[str],
    judged: dict[str, str | None],
) -> None:
    """OpenSSH's own client judges the same."""
    authority, other = _new_key(tmp_path / "authority"), _new_key(tmp_path / "other")
    key = linux_host.folder / "etc/ssh/host_key.pub"
    values = {
        "host": linux_host.address,
        "port": linux_host.port,
        "key": key.read_text().strip(),
        **{file.name: file.with_suffix(".pub").read_text().strip() for file in (authority, other)},
    }
    _sign(authority, key, "-h", *(option.format(**values) for option in options))
    _serve(linux_host, "HostCertificate /etc/ssh/host_key-cert.pub")
    for line, message in judged.items():
        lab.known_hosts.write_text(line.format(**values) + "\n")
        if message is None:
            _open(_device(lab)).close()
        else:
            with pytest.raises(HostKeyError, match=message):
                _open(_device(lab))
        assert lab.ssh("linux", "true").returncode == (0 if message is None else 255), line


# --- the way --------------------------------------------------------------------------------------------


def test_a_host_alias_with_an_include_and_a_jump_host(
    lab: Lab, linux_host: SimulatedDevice, tmp_path: Path
) -> None:
    gate = lab.add("gate", Setup(), profile="generic-x86_64")
    ssh = tmp_path / ".ssh"
    (ssh / "conf.d").mkdir(parents=True)
    common = f"IdentityFile {lab.key}\n UserKnownHostsFile '{lab.known_hosts}'\n"
    (ssh / "config").write_text("Include conf.d/*\nHost generic-x86_64\n ProxyJump gate\n")
    (ssh / "conf.d" / "board").write_text(
        f"Host generic-x86_64\n HostName {linux_host.address}\n Port {linux_host.port}\n User {linux_host.user}\n"
        f"Host gate\n HostName {gate.address}\n Port {gate.port}\n User {gate.user}\nHost *\n {common}"
    )
    device = Device("generic-x86_64", load_profiles()["generic-x86_64"])
    with _open(device) as transport:
        assert transport.run("hostname", timeout_s=20).stdout == b"linux\n"
    gate.power_off()
    with pytest.raises(UnreachableError, match=f"{gate.address} port {gate.port}: connection refused"):
        _open(device)


@pytest.mark.parametrize(
    ("host", "message"),
    [("127.0.0.1", "connection refused"), ("no-such-host.invalid", "the name is not found")],
)
def test_hosts_that_are_not_there(host: str, message: str) -> None:
    told = []
    entry = HostEntry(profile="rpi4", host=host, port=1)
    backoff = Backoff(attempts=2, first_s=0.01)
    with pytest.raises(UnreachableError, match=message):
        open_transport(
            Device("pi", load_profiles()["rpi4"], entry), SshOptions(backoff=backoff, report=told.append)
        )
    assert [(retry.attempt, retry.of) for retry in told] == [(1, 2)]


def test_a_profile_whose_host_nobody_named(tmp_path: Path) -> None:
    """``--device rpi4`` as a new user types it. The name is none that a network could know."""
    profile = load_profiles()["rpi4"]
    (tmp_path / "config").write_text("")
    options = SshOptions(config=tmp_path / "config", backoff=Backoff(attempts=1))
    with pytest.raises(PermanentDeviceError, match="nothing says where yours is") as refusal:
        open_transport(Device("rpi4.invalid", profile), options)
    assert "devices add rpi4.invalid" in (refusal.value.remedy or "")


# --- links that break -----------------------------------------------------------------------------------


def test_a_session_that_is_killed_is_made_anew(lab: Lab, linux_host: SimulatedDevice) -> None:
    with _open(_device(lab)) as device:
        error = _while_running(device, linux_host, linux_host.end_sessions)
        assert isinstance(error, ConnectionLostError)
        assert device.run("echo again", timeout_s=20).stdout == b"again\n"
        _assert_idle(linux_host)


def test_a_link_that_goes_silent(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "SILENT_S", 3)
    monkeypatch.setattr(link, "_PROBE_S", 1)
    host = lab.add("linux", Setup(network=True), profile="generic-x86_64")
    with _open(_device(lab)) as device:
        error = _while_running(device, host, host.link.cut)
        assert isinstance(error, ConnectionLostError)
        assert any("sleep 4321" in line for line in host.processes())
        host.link.mend()
        # It kills what the device, still patient, keeps running.
        assert device.run("echo again", timeout_s=20).stdout == b"again\n"
        assert not any("sleep 4321" in line for line in host.processes())


def test_a_push_goes_on_where_the_link_went_silent(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(link, "SILENT_S", 3)
    monkeypatch.setattr(link, "_PROBE_S", 1)
    host = lab.add("linux", Setup(network=True), profile="generic-x86_64")
    file = tmp_path / "file"
    file.write_bytes(os.urandom(3 << 20))
    with _open(_device(lab)) as device:
        cache = DeviceCache(device, "work")
        host.link.slow_down(mbit=8)
        before = host.link.bytes_sent()

        def strike() -> None:
            while host.link.bytes_sent() - before < 1 << 20:
                time.sleep(0.02)
            host.link.cut()

        striker = threading.Thread(target=strike)
        striker.start()
        with pytest.raises(ConnectionLostError, match="the connection broke"):
            cache.ensure(file)
        striker.join()
        host.link.mend()
        host.link.slow_down(mbit=1000)
        pushed = cache.ensure(file)
        assert 0 < pushed.bytes < (2 << 20) + (1 << 19)  # what had arrived is not sent again
        device.pull(pushed.path, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == file.read_bytes()


def _while_running(device: SshTransport, host: SimulatedDevice, fault: object) -> DeviceError:
    """What a run raises if this happens in its middle."""

    def strike() -> None:
        while not any("sleep 4321" in line for line in host.processes()):
            time.sleep(0.02)
        fault()  # type: ignore[operator]

    striker = threading.Thread(target=strike)
    striker.start()
    with pytest.raises(DeviceError) as caught:
        device.run("sleep 4321", timeout_s=60)
    striker.join()
    return caught.value


def _assert_idle(host: SimulatedDevice) -> None:
    deadline = time.monotonic() + 60
    while left := host.processes():
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def _new_key(path: Path, kind: str = "ed25519") -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-b", "2048", "-N", "", "-f", path], check=True)
    return path
