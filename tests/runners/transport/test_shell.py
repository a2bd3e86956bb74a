"""What is sent to a device's shell and what comes back: any text, any noise, any shell."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bibench_deploy.errors import (
    ConnectionLostError,
    DeviceError,
    DeviceStorageError,
    DeviceUnfitError,
    PermanentDeviceError,
    StepTimeoutError,
)
from bibench_deploy.runners.transport import exchange, shell
from bibench_deploy.runners.transport.local import LocalTransport
from bibench_deploy.runners.transport.shell import Frame, quote, request

# Login shells: what the command line is given to.
LOGIN = [("sh",), ("bash",), ("dash",), ("busybox", "sh"), ("zsh",), ("fish",), ("tcsh",), ("mksh",)]
# POSIX shells that may be a device's `sh`.
POSIX = ["dash", "bash", "busybox", "mksh"]

any_text = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=60)


def _has(name: tuple[str, ...]) -> tuple[str, ...]:
    if shutil.which(name[0]) is None:
        pytest.skip(f"needs {name[0]}")
    return name


@pytest.fixture(params=LOGIN, ids=lambda name: name[0])
def by_login_shell(request: pytest.FixtureRequest, tmp_path: Path) -> LocalTransport:
    return LocalTransport("pi", shell=_has(request.param), folder=tmp_path)


@pytest.fixture(params=[*POSIX, None], ids=lambda name: name or "without setsid")
def by_sh(request: pytest.FixtureRequest, tmp_path: Path) -> LocalTransport:
    """Devices whose `sh` is one or the other, or that lack setsid, as macOS does."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("dd", "head", "sleep", "cat", "wc", "grep", "env", *(["setsid"] if request.param else [])):
        (tools / name).symlink_to(str(shutil.which(name)))
    # bash and busybox go by the name that they are called by.
    (tools / "sh").symlink_to(str(shutil.which(_has((request.param or "dash",))[0])))
    return LocalTransport("pi", shell=("env", "-i", f"PATH={tools}", "sh"), folder=tmp_path)


@settings(max_examples=25, deadline=None)
@given(any_text)
def test_any_text_arrives_unharmed(text: str) -> None:
    done = LocalTransport().run(f"printf %s {quote(text)}; cat", timeout_s=20, stdin=text.encode())
    assert done.stdout == 2 * text.encode()


TRAPS = (
    r"""it's "quoted" $HOME `id` $(id) \ \\ \' !! !1 %d {a,b} *  ~ # ; & | < > ^ end\n
second line\	é"""
    + "\r\x01\x7f"
)


def test_traps_pass_every_login_shell(by_login_shell: LocalTransport, tmp_path: Path) -> None:
    (tmp_path / TRAPS.replace("/", "")).write_bytes(b"found")
    done = by_login_shell.run(
        f"cat {quote(TRAPS.replace('/', ''))}; printf %s {quote(TRAPS)} >&2; exit 3", timeout_s=20
    )
    assert (done.status, done.stdout, done.stderr.decode()) == (3, b"found", TRAPS)


def test_every_sh(by_sh: LocalTransport) -> None:
    data = bytes(range(256)) * 2000
    assert by_sh.run("cat", timeout_s=20, stdin=data).stdout == data
    done = by_sh.run('echo "$LC_ALL"; echo x >&2; exit 7', timeout_s=20)
    assert (done.status, done.stdout, done.stderr) == (7, b"C\n", b"x\n")


@pytest.mark.parametrize(
    ("script", "status"),
    [
        ("exit 255", 255),
        ("kill -9 $$", 137),
        ("kill -4 $$", 132),
        ("nowhere-to-be-found", 127),
        ("false\ntrue", 0),
    ],
)
def test_the_status(by_sh: LocalTransport, script: str, status: int) -> None:
    assert by_sh.run(script, timeout_s=20).status == status


@pytest.mark.parametrize(
    "script", ["sleep 4321", "sleep 4321 & wait", "trap '' TERM; sleep 4321 & wait; wait"]
)
def test_what_takes_too_long_is_stopped(
    by_sh: LocalTransport, script: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "GRACE_S", 60)  # a busy machine's shell may take seconds to say that it did
    names = _names(monkeypatch)
    with pytest.raises(StepTimeoutError, match=r"not done within 0\.3 s; the device stopped it") as caught:
        by_sh.run(script, timeout_s=0.3, step="sleeping")
    assert caught.value.where == "pi, sleeping"
    _assert_gone(names)


def test_a_run_is_known_by_its_name() -> None:
    """Otherwise the tests here that look for what is left would find nothing, whatever is left."""
    made = request("x", limit_s=1, stdin_bytes=0, nonce="0123456789abcdef")
    assert f"{shell._RUN}={made.name}\n".encode() in made.program
    left = subprocess.Popen(["sleep", "4321"], env={shell._RUN: made.name})
    try:
        assert len(_alive(made.name)) == 1
    finally:
        left.kill()
        left.wait()


def test_nothing_outlives_a_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = _names(monkeypatch)
    done = LocalTransport(folder=tmp_path).run("sleep 4321 & echo started", timeout_s=20)
    assert (done.status, done.stdout) == (0, b"started\n")
    _assert_gone(names)


def test_ctrl_c_stops_the_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = _names(monkeypatch)

    def interrupted(*given: object) -> exchange.Ending:
        raise KeyboardInterrupt

    monkeypatch.setattr(exchange, "_collect", interrupted)
    with pytest.raises(KeyboardInterrupt):
        LocalTransport(folder=tmp_path).run("sleep 4321", timeout_s=20)
    _assert_gone(names)


def test_a_silent_starter_is_given_up(by_sh: LocalTransport, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link that is lost without a sign: the input stays open, and no beat comes."""
    monkeypatch.setattr(shell, "PATIENCE_S", 1)
    monkeypatch.setattr(exchange, "BEAT_S", 1000.0)
    names = _names(monkeypatch)
    with pytest.raises(ConnectionLostError, match="heard nothing"):
        by_sh.run("sleep 4321", timeout_s=60)
    _assert_gone(names)


def test_beats_keep_it_going(by_sh: LocalTransport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell, "PATIENCE_S", 3)  # far above a beat: a busy machine delays one
    monkeypatch.setattr(exchange, "BEAT_S", 0.2)
    assert by_sh.run("sleep 4; echo done", timeout_s=60).stdout == b"done\n"


def test_the_reaper_kills_what_is_left(tmp_path: Path) -> None:
    left = subprocess.Popen(["sleep", "4321"], env={shell._RUN: "0123456789abcdef"})
    other = subprocess.Popen(["sleep", "4321"], env={shell._RUN: "fedcba9876543210"})
    try:
        waiter = threading.Thread(target=left.wait)
        waiter.start()
        done = LocalTransport(folder=tmp_path).run(shell.reaper(["0123456789abcdef"]), timeout_s=30)
        assert done.status == 0
        waiter.join(10)
        assert left.poll() == -9
        assert other.poll() is None
    finally:
        left.kill()
        other.kill()
        other.wait()


# What an account may do instead of running our line, as its login shell.
ACCOUNTS: list[tuple[str, type[DeviceError], str]] = [
    (
        "echo This account is currently not available.; exit 1",
        DeviceUnfitError,
        "exit status 1; it said: This account",
    ),
    ("exit 0", DeviceUnfitError, "exit status 0, no word"),
    ("exit 127", DeviceUnfitError, "exit status 127, no word"),
    ("cat", StepTimeoutError, "did not start .* it said: {"),  # a forced command that echoes what it is sent
    ("kill -9 $$", ConnectionLostError, "broke before the first command"),
    ("exec sleep 4321", StepTimeoutError, "did not start our program"),
]


@pytest.mark.parametrize(("account", "error", "message"), ACCOUNTS, ids=[a[0] for a in ACCOUNTS])
def test_accounts_that_run_nothing(
    account: str, error: type[DeviceError], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What ends by itself is waited for: it may start slowly.
    monkeypatch.setattr(exchange, "START_S", 1.0 if error is StepTimeoutError else 60.0)
    login = tmp_path / "login"
    login.write_text(f"#!/bin/sh\n{account}\n")
    login.chmod(0o755)
    with pytest.raises(error, match=message):
        LocalTransport("pi", shell=(str(login),), folder=tmp_path).run("echo hello", timeout_s=10)


def test_noise_does_not_matter(tmp_path: Path) -> None:
    login = tmp_path / "login"
    login.write_text('#!/bin/sh\nprintf "Welcome to Pi\\377"; echo motd >&2\nexec sh "$@"\n')
    login.chmod(0o755)
    done = LocalTransport("pi", shell=(str(login),), folder=tmp_path).run(
        "printf a; printf b >&2", timeout_s=20
    )
    assert (done.stdout, done.stderr) == (b"a", b"b")


def test_too_much_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "MAX_OUTPUT_BYTES", 1 << 20)
    with pytest.raises(PermanentDeviceError, match="printed more than 1 MiB"):
        LocalTransport("pi", folder=tmp_path).run(
            "while :; do echo yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy; done", timeout_s=60
        )


def test_a_program_that_was_cut_short_does_nothing(tmp_path: Path) -> None:
    sent = request("touch made", limit_s=5, stdin_bytes=0, nonce="0123456789abcdef")
    for end in range(0, len(sent.program) - 2, 37):
        subprocess.run(
            ["sh", "-c", sent.program[:end]], cwd=tmp_path, capture_output=True, stdin=subprocess.DEVNULL
        )
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("script", ["a\0b", "x" * (shell.MAX_SCRIPT_BYTES + 1)])
def test_scripts_that_no_device_takes(script: str) -> None:
    with pytest.raises(ValueError, match=r"NUL|bytes"):
        LocalTransport().run(script, timeout_s=1)


@given(st.binary(max_size=60), st.binary(max_size=200), st.lists(st.integers(0, 300), max_size=6))
def test_frames_are_found_wherever_they_are_cut(noise: bytes, payload: bytes, cuts: list[int]) -> None:
    frame = Frame(b"0123")
    stream = noise + b"0123 begin\n" + payload + b"0123 end 137 stopped\nmore"
    at = 0
    for cut in [*sorted(cuts), len(stream)]:
        frame.feed(stream[at:cut])
        at = max(at, cut)
    if b"0123 " not in noise + payload:
        assert (frame.noise, bytes(frame.payload), frame.trailer) == (noise, payload, ("137", "stopped"))


def test_what_was_printed_before_a_break_is_kept() -> None:
    frame = Frame(b"0123")
    frame.feed(b"0123 begin\nsamples 0123 en")
    frame.close()
    assert (bytes(frame.payload), frame.ended) == (b"samples 0123 en", False)


# --- files ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 63_999, 64_000, 64_001, 200_000])
def test_push_and_pull(tmp_path: Path, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from bibench_deploy.runners.transport import shelled

    monkeypatch.setattr(shelled, "PIECE_BYTES", 64_000)
    source = tmp_path / "source"
    source.write_bytes((bytes(range(256)) * (size // 256 + 1))[:size])
    device = LocalTransport("pi", folder=tmp_path)
    device.push(source, "a 'new' $one")
    device.pull("a 'new' $one", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == source.read_bytes()


@pytest.mark.parametrize(
    ("action", "error", "message"),
    [
        (lambda d, f: d.push(f / "source", "no/where/x"), DeviceStorageError, "missing"),
        (lambda d, f: d.push(f / "source", "/dev/full"), DeviceStorageError, "is full"),
        (lambda d, f: d.push(f / "source", "source/x"), DeviceStorageError, "missing"),
        (
            lambda d, f: d.push(f / "source", "shorter", offset=100),
            DeviceError,
            "not as long as it should be",
        ),
        (lambda d, f: d.pull("no/where", f / "x"), PermanentDeviceError, "can't read no/where"),
        (lambda d, f: d.pull(".", f / "x"), PermanentDeviceError, "can't read"),
    ],
    ids=["missing folder", "full", "a file as folder", "changed meanwhile", "missing file", "a folder"],
)
def test_files_that_can_not_be_copied(
    action: Callable[[LocalTransport, Path], None], error: type[DeviceError], message: str, tmp_path: Path
) -> None:
    (tmp_path / "source").write_bytes(b"data" * 50)
    (tmp_path / "shorter").write_bytes(b"data")
    with pytest.raises(error, match=message):
        action(LocalTransport("pi", folder=tmp_path), tmp_path)
    assert not (tmp_path / "x").exists()


# --- helpers --------------------------------------------------------------------------------------------


def _names(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collects the names that runs get, by which their processes are known."""
    from bibench_deploy.runners.transport import shelled

    names: list[str] = []

    def recorded(*given: object, **named: object) -> shell.Request:
        made = request(*given, **named)  # type: ignore[arg-type]
        names.append(made.name)
        return made

    monkeypatch.setattr(shelled, "request", recorded)
    return names


def _assert_gone(names: list[str]) -> None:
    """Nothing of these runs is alive; the supervising processes may take a moment to see that all is done."""
    assert names
    deadline = time.monotonic() + 60
    while left := [found for name in names for found in _alive(name)]:
        assert time.monotonic() < deadline, left
        time.sleep(0.02)


def _alive(name: str) -> list[str]:
    found = []
    for environment in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"{shell._RUN}={name}".encode() in environment.read_bytes():
                found.append((environment.parent / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue  # it went meanwhile
    return found
