"""Places of labgrid as devices: a real coordinator, real exporters; what their addresses lead to is tests/lab's."""

from __future__ import annotations

import http.server
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

pytest.importorskip("labgrid", reason="needs the extra labgrid")

from lab.labgrid_server import LabgridLab, wait_until

from bibench_deploy.device_profiles import load_profiles
from bibench_deploy.device_profiles.inventory import parse_inventory
from bibench_deploy.errors import (
    BibenchError,
    DeviceBusyError,
    InputError,
    PermanentDeviceError,
    TransientDeviceError,
    UnreachableError,
)
from bibench_deploy.runners.device.stopping import Stopped
from bibench_deploy.runners.providers.coordinator import Coordinator
from bibench_deploy.runners.providers.labgrid import LabgridProvider, PlaceLostError
from bibench_deploy.runners.providers.reservation import EXPIRED_AT_MOST

pytestmark = pytest.mark.slow

PROFILES = load_profiles(())
INVENTORY = parse_inventory(
    b'[devices.keyed]\nprofile = "rpi3"\nhost = "elsewhere"\nkey = "/keys/lab"\nworkdir = "/data/lab"\n'
    b'[devices.plain]\nprofile = "rpi5"\nhost = "elsewhere"\n',
    Path("/home/anna/devices.toml"),
)
BOARD = {"profile": "rpi4", "nightly": "yes"}
SERVICE = {"address": "192.0.2.7", "username": "pi", "port": 2222}

# A process that holds places until it is ended.
HOLDER = """
import contextlib, sys, threading
from pathlib import Path
from bibench_deploy.device_profiles import Inventory, load_profiles
from bibench_deploy.runners.providers.labgrid import LabgridProvider

provider = LabgridProvider(sys.argv[1], Inventory(Path("none.toml")), load_profiles(()))
with contextlib.ExitStack() as stack:
    for device in provider.resolve(sys.argv[2:], ()):
        stack.enter_context(provider.reserved(device, print, threading.Event()))
    print("held", flush=True)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        pass
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabgridLab]:
    """A lab whose coordinator and exporter nobody ends."""
    with LabgridLab(tmp_path_factory.mktemp("labgrid")) as lab:
        for name in ("b1", "b2", "b3"):
            lab.place(name, BOARD, aliases=[f"alias-{name}", "board"])
            lab.export("shelf", name, NetworkService=SERVICE)
        lab.place("keyed", {"nightly": "no", "rack": "4"})
        lab.export("shelf", "keyed", NetworkService={"address": "192.0.2.8", "username": "lab"})
        lab.place("unnamed", {"rack": "5"})
        lab.place("strange", {"profile": "toaster"})
        lab.place("mute", {"profile": "rpi4"}, matches=["shelf/mute/*"])
        lab.export("shelf", "mute", HTTPVideoStream={"url": "http://192.0.2.9/"})
        lab.place("broken", {"profile": "rpi4"}, matches=["shelf/broken/*"])  # no serial port is there
        lab.export("shelf", "broken", NetworkService=SERVICE, RawSerialPort={"port": "/dev/null"})
        lab.place("odd", {"profile": "rpi4"})
        lab.export("shelf", "odd", NetworkService={"address": "-oProxyCommand=x", "username": "pi"})
        lab.place("local-link", {"profile": "rpi4"})
        lab.export("shelf", "local-link", NetworkService={"address": "fe80::1%eth1", "username": "pi"})
        lab.place("two", {"profile": "rpi4"})
        lab.export("shelf", "two", NetworkService=SERVICE, other={"cls": "NetworkService", **SERVICE})
        lab.place("absent", {"profile": "rpi4"}, matches=["nobody/absent/NetworkService"])
        lab.place("shared", {"profile": "rpi4"}, matches=["shelf/b3/NetworkService"])
        yield lab.start()


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[LabgridLab]:
    """A lab of one's own, with two boards on exporters of their own."""
    with LabgridLab(tmp_path) as opened:
        for name in ("b1", "b2"):
            opened.place(name, BOARD)
            opened.export(f"exporter-{name}", name, NetworkService=SERVICE)
        yield opened.start()


def of(lab: LabgridLab, *, wait: bool = True) -> LabgridProvider:
    return LabgridProvider(lab.address, INVENTORY, PROFILES, wait=wait)


def held(lab: LabgridLab, name: str) -> None:
    """Reserve a place and give it back."""
    ours = of(lab, wait=False)
    with ours.reserved(ours.resolve([name], ())[0], print, threading.Event()):
        pass


@pytest.mark.parametrize(
    ("names", "tags", "found"),
    [
        (["b2", "b1"], [], ["b2", "b1"]),
        (["alias-b3", "b3"], [], ["b3"]),
        ([], ["nightly"], ["b1", "b2", "b3"]),
        ([], ["nightly=no"], ["keyed"]),
        (["b3"], ["rack=4", "nightly"], ["b3", "keyed", "b1", "b2"]),
    ],
)
def test_names_aliases_and_tags(
    served: LabgridLab, names: list[str], tags: list[str], found: list[str]
) -> None:
    assert [device.name for device in of(served).resolve(names, tags)] == found


def test_all_places_that_say_what_they_are(served: LabgridLab) -> None:
    found = of(served).names()
    assert {"b1", "keyed", "strange"} <= set(found)
    assert "unnamed" not in found


@pytest.mark.parametrize(
    ("names", "tags", "said"),
    [
        (["b9"], [], "no place 'b9'"),
        (["board"], [], "alias of several places: b1, b2, b3"),
        ([], ["weekly"], "no place has the tag weekly=yes"),
        ([], ["rack=9"], "no place has the tag rack=9"),
        (["unnamed"], [], "no tag 'profile'"),
        (["strange"], [], "toaster"),
    ],
)
def test_what_is_no_device(served: LabgridLab, names: list[str], tags: list[str], said: str) -> None:
    with pytest.raises(InputError, match=said) as raised:
        of(served).resolve(names, tags)
    assert raised.value.remedy


def test_a_device_is_the_place_its_service_and_the_inventory(served: LabgridLab) -> None:
    ours = of(served)
    device = ours.resolve(["keyed"], ())[0]
    with ours.reserved(device, print, threading.Event()) as here:
        assert here == device  # nothing changed meanwhile
        assert (here.profile.id, here.host, here.workdir) == ("rpi3", "192.0.2.8", "/data/lab")
        assert here.entry is not None
        assert (here.entry.user, here.entry.port, here.entry.key) == ("lab", None, Path("/keys/lab"))


def test_an_exporter_that_has_to_be_passed_through_is_the_jump_host(lab: LabgridLab) -> None:
    lab.exporters["exporter-b1"].end()
    lab.start_exporter("exporter-b1", "--isolated")
    entry = of(lab).resolve(["b1"], ())[0].entry
    assert entry is not None
    assert entry.jump
    assert entry.host == "192.0.2.7"


def test_a_place_is_ours_in_the_block_and_free_after_it(served: LabgridLab) -> None:
    ours = of(served)
    with ours.reserved(ours.resolve(["b1"], ())[0], print, threading.Event()) as here:
        assert here.entry is not None
        assert (here.host, here.entry.port, here.entry.user) == ("192.0.2.7", 2222, "pi")
        assert here.entry.tags == ("nightly",)
        assert "+bibench-" in served.owners()["b1"]
        ours.check(here)
    assert served.owners() == {}
    assert served.client("reservations") == ""


def test_a_place_is_given_back_when_the_block_fails(served: LabgridLab) -> None:
    ours = of(served)
    with (
        pytest.raises(ZeroDivisionError),
        ours.reserved(ours.resolve(["b1"], ())[0], print, threading.Event()),
    ):
        raise ZeroDivisionError
    assert served.owners() == {}


@pytest.mark.parametrize(
    ("name", "error", "said"),
    [
        ("mute", PermanentDeviceError, "no NetworkService"),
        ("odd", PermanentDeviceError, "host '-oProxyCommand=x'"),
        ("local-link", PermanentDeviceError, "holds on its exporter only"),
        ("two", PermanentDeviceError, "2 of the kind NetworkService: shelf/two/.*"),
        ("broken", TransientDeviceError, r"shelf/broken/NetworkSerialPort/RawSerialPort is broken"),
        ("absent", UnreachableError, "no exporter offers nobody/absent/NetworkService"),
    ],
)
def test_places_that_can_not_be_used(
    served: LabgridLab, name: str, error: type[BibenchError], said: str
) -> None:
    """It concerns one device: it shows when the device is wanted, not when a plan is read."""
    with pytest.raises(error, match=said) as raised:
        held(served, name)
    assert raised.value.remedy
    assert name in str(raised.value)
    assert name not in served.owners()


def test_one_resource_in_two_places_is_held_once(served: LabgridLab) -> None:
    ours = of(served)
    with (
        ours.reserved(ours.resolve(["b3"], ())[0], print, threading.Event()),
        pytest.raises(TransientDeviceError, match=r"shelf/b3/NetworkService.* is acquired by place b3"),
    ):
        held(served, "shared")


def test_somebody_elses_place_with_no_wait(served: LabgridLab) -> None:
    served.client("-p", "b2", "acquire")
    try:
        with pytest.raises(DeviceBusyError, match="taken by desk/anna"):
            held(served, "b2")
    finally:
        served.client("-p", "b2", "release")
    held(served, "b2")


def test_somebody_elses_reservation_with_no_wait(served: LabgridLab) -> None:
    token = served.client("reserve", "name=b2").split("'")[1]
    try:
        with pytest.raises(DeviceBusyError, match="desk/anna, who has reserved it"):
            held(served, "b2")
    finally:
        served.client("cancel-reservation", token)


def test_waiting_for_somebody_and_no_more_than_that(served: LabgridLab) -> None:
    served.client("-p", "b2", "acquire")
    said: list[str] = []
    ours = of(served)
    with ThreadPoolExecutor(1) as pool, ExitStack() as stack:
        device = ours.resolve(["b2"], ())[0]
        entering = pool.submit(stack.enter_context, ours.reserved(device, said.append, threading.Event()))
        wait_until(lambda: bool(said), "a word about who is waited for")
        served.client("-p", "b2", "release")
        entering.result(timeout=30)
        assert "+bibench-" in served.owners()["b2"]
    assert said == ["b2: waiting for desk/anna"]


def test_told_to_stop_while_waiting(served: LabgridLab) -> None:
    served.client("-p", "b2", "acquire")
    try:
        stop, ours = threading.Event(), of(served)
        with (
            pytest.raises(Stopped),
            ours.reserved(ours.resolve(["b2"], ())[0], lambda said: stop.set(), stop),
        ):
            pass
        assert served.client("reservations") == ""
        assert served.owners() == {"b2": "desk/anna"}
    finally:
        served.client("-p", "b2", "release")


def test_commands_of_one_user_on_one_machine_exclude_each_other(served: LabgridLab) -> None:
    inside, most = [0], [0]

    def use() -> None:
        ours = of(served)
        with ours.reserved(ours.resolve(["b1"], ())[0], print, threading.Event()):
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            threading.Event().wait(0.2)
            inside[0] -= 1

    with ThreadPoolExecutor(4) as pool:
        for one in [pool.submit(use) for _ in range(4)]:
            one.result(timeout=60)
    assert most == [1]


@pytest.mark.parametrize(("times", "gets_it"), [(1, True), (EXPIRED_AT_MOST + 1, False)])
def test_a_reservation_that_is_lost_while_waiting(served: LabgridLab, times: int, gets_it: bool) -> None:
    """As one that expires: a coordinator removes it."""
    served.client("-p", "b2", "acquire")
    said: list[str] = []
    ours, watching = of(served), observer(served)
    with ThreadPoolExecutor(1) as pool, ExitStack() as stack:
        device = ours.resolve(["b2"], ())[0]
        entering = pool.submit(stack.enter_context, ours.reserved(device, said.append, threading.Event()))
        for _ in range(times):
            wait_until(lambda: bool(watching.reservations()), "a reservation")
            watching.cancel(watching.reservations()[0].token)
        served.client("-p", "b2", "release")
        if gets_it:
            entering.result(timeout=30)
            assert "b2: the reservation was lost while waiting; made anew" in said
        else:
            with pytest.raises(TransientDeviceError, match="expired 4 times"):
                entering.result(timeout=30)
    watching.close()


def test_a_place_that_an_administrator_takes_away(lab: LabgridLab) -> None:
    ours = of(lab)
    device = ours.resolve(["b1"], ())[0]
    with ours.reserved(device, print, threading.Event()) as here:
        lab.client("-p", "b1", "release", "--kick")
        with pytest.raises(PlaceLostError, match="someone released it"):
            ours.check(here)
        lab.client("-p", "b1", "acquire")
        with pytest.raises(PlaceLostError):  # it does not become ours again
            ours.check(here)
    assert lab.owners() == {"b1": "desk/anna"}  # hers was not released


def test_an_exporter_that_dies(lab: LabgridLab) -> None:
    ours = of(lab)
    device = ours.resolve(["b1"], ())[0]
    with ours.reserved(device, print, threading.Event()) as here:
        lab.exporters["exporter-b1"].end()
        ours.check(here)  # the device's own sshd has nothing to do with the exporter
    assert lab.owners() == {}
    with pytest.raises(UnreachableError, match=r"no exporter offers \*/b1/NetworkService now"):
        held(lab, "b1")
    held(lab, "b2")
    lab.start_exporter("exporter-b1")
    held(lab, "b1")


def test_a_coordinator_that_is_started_anew_forgets_who_has_what(lab: LabgridLab) -> None:
    said: list[str] = []
    ours = of(lab)
    device = ours.resolve(["b1"], ())[0]
    with ours.reserved(device, said.append, threading.Event()) as here:
        assert lab.coordinator is not None
        lab.coordinator.end()
        ours.check(here)  # away: it gives the place to nobody
        lab.start_coordinator()
        wait_until(lambda: "b1" in lab.owners(), "the place to be taken again")
        assert "+bibench-" in lab.owners()["b1"]
        ours.check(here)
    assert said == ["b1: the coordinator was started anew; the place is taken again"]
    assert lab.owners() == {}


def test_a_coordinator_that_is_gone_when_the_place_is_given_back(lab: LabgridLab) -> None:
    said: list[str] = []
    ours = of(lab)
    with ours.reserved(ours.resolve(["b1"], ())[0], said.append, threading.Event()):
        assert lab.coordinator is not None
        lab.coordinator.end()
    assert len(said) == 1
    assert "b1: can't be released now" in said[0]
    with pytest.raises(UnreachableError, match="Connection refused"):
        held(lab, "b1")
    lab.start_coordinator()
    lab.exporters["exporter-b1"].end()
    lab.start_exporter("exporter-b1")
    with ours.reserved(ours.resolve(["b1"], ())[0], said.append, threading.Event()):
        assert "b1" in lab.owners()
    assert lab.owners() == {}  # and the process that stayed behind has nothing left to release


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_process_that_is_killed_gives_its_places_back(lab: LabgridLab, how: int) -> None:
    """With all of its process group, as a shell or a CI job ends one."""
    with holder(lab, "b1", "b2") as process:
        assert sorted(lab.owners()) == ["b1", "b2"]
        os.killpg(process.pid, how)
        process.wait(30)
        wait_until(lambda: lab.owners() == {}, "the release")
    assert lab.client("reservations") == ""


def test_what_was_killed_with_its_watchdog_is_cleaned_up_by_the_next_command(lab: LabgridLab) -> None:
    """As a container or a machine ends: nobody is left to release anything."""
    said: list[str] = []
    with holder(lab, "b1", "b2") as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        assert len(children) == 1
        os.kill(int(children[0]), signal.SIGKILL)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)
    assert sorted(lab.owners()) == ["b1", "b2"]
    ours = of(lab, wait=False)
    with ours.reserved(ours.resolve(["b1"], ())[0], said.append, threading.Event()):
        assert list(lab.owners()) == ["b1"]
    assert [line.partition(":")[0] for line in said] == ["b1", "b2"]


def test_the_places_of_a_living_process_stay_its_own(lab: LabgridLab) -> None:
    with holder(lab, "b1") as process:
        with pytest.raises(DeviceBusyError, match=f"-{process.pid}-"):
            held(lab, "b1")
        assert "b1" in lab.owners()


def test_no_coordinator(tmp_path: Path) -> None:
    lab = LabgridLab(tmp_path)
    with pytest.raises(UnreachableError, match=r"can't be reached .*Connection refused"):
        of(lab).resolve(["b1"], ())


def web_server() -> tuple[int, Callable[[], None]]:
    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_port, server.shutdown


def other_service() -> tuple[int, Callable[[], None]]:
    import grpc

    server = grpc.server(ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return port, lambda: server.stop(0)


@pytest.mark.parametrize("listening", [web_server, other_service])
def test_something_else_than_a_coordinator(
    listening: Callable[[], tuple[int, Callable[[], None]]], capfd: pytest.CaptureFixture[str]
) -> None:
    """A labgrid before 25.0 spoke HTTP (WAMP), one whose protocol differs has other methods."""
    port, end = listening()
    try:
        with pytest.raises(
            PermanentDeviceError, match=r"no coordinator that labgrid .* can talk to"
        ) as error:
            LabgridProvider(f"127.0.0.1:{port}", INVENTORY, PROFILES).resolve(["b1"], ())
        assert "25.0 or later" in str(error.value)
    finally:
        end()
    assert "Traceback" not in capfd.readouterr().err


def observer(lab: LabgridLab) -> Coordinator:
    opened = Coordinator(lab.address, "desk/observer")
    opened.open()
    return opened


class holder:  # noqa: N801 - used as a function is
    """A process that holds places."""

    def __init__(self, lab: LabgridLab, *places: str) -> None:
        self._arguments = [lab.address, *places]

    def __enter__(self) -> subprocess.Popen[str]:
        self._process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, *self._arguments],
            stdout=subprocess.PIPE,
            text=True,
            process_group=0,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "held\n"
        return self._process

    def __exit__(self, *error: object) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)  # it gives back: nobody has to stay behind to do so
        self._process.wait(30)
        assert self._process.stdout is not None
        self._process.stdout.close()
