"""labgrid's own coordinator and exporters, as processes of this machine: a lab around the simulated devices."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc
import yaml
from labgrid.remote.generated import labgrid_coordinator_pb2, labgrid_coordinator_pb2_grpc

from support.addresses import own_address

from .device import SimulatedDevice

START_S = 120.0  # far above the second that it takes: a machine may be busy
STATE = "places.yaml"  # what a coordinator reads when it starts, in its working folder


class Service:
    """A program of labgrid that runs.

    Args:
        ready: what it prints when it is of use.
    """

    def __init__(self, folder: Path, ready: str, *command: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.said: list[str] = []
        is_ready: queue.SimpleQueue[bool] = queue.SimpleQueue()
        threading.Thread(target=self._read, args=(ready, is_ready), daemon=True).start()
        assert is_ready.get(timeout=START_S), f"{command[0]} did not start:\n{''.join(self.said)}"

    def _read(self, ready: str, is_ready: queue.SimpleQueue[bool]) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line)
            if ready in line:
                is_ready.put(True)
        is_ready.put(False)

    def end(self, how: int = signal.SIGKILL) -> None:
        self.process.send_signal(how)
        self.process.wait(timeout=START_S)


class LabgridLab:
    """A coordinator with places, and exporters that tell where their devices are.

    Attributes:
        url: as ``--lab`` takes it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        address, port = own_address()
        self.url = f"labgrid://{address}:{port}"
        self._places: dict[str, dict[str, Any]] = {}
        self.coordinator: Service | None = None
        self.exporters: dict[str, Service] = {}
        self._exports: dict[str, dict[str, Any]] = {}

    @property
    def address(self) -> str:
        return self.url.removeprefix("labgrid://")

    def place(
        self,
        name: str,
        tags: Mapping[str, str],
        matches: Sequence[str] | None = None,
        aliases: Sequence[str] = (),
    ) -> None:
        """Know a place, before the coordinator starts; it matches all that is exported in a group of its name."""
        patterns = [pattern.split("/") for pattern in matches or [f"*/{name}/NetworkService"]]
        now = time.time()
        self._places[name] = {
            "aliases": list(aliases),
            "comment": "",
            "tags": dict(tags),
            "matches": [
                dict(zip(("exporter", "group", "cls"), pattern, strict=True)) | {"name": None, "rename": None}
                for pattern in patterns
            ],
            "created": now,
            "changed": now,
        }

    def add(self, device: SimulatedDevice, exporter: str = "exporter", **tags: str) -> None:
        """A place of the device's name, whose address an exporter tells."""
        self.place(device.name, tags)
        service = {"address": device.address, "port": device.port, "username": device.user}
        self._exports.setdefault(exporter, {})[device.name] = {"NetworkService": service}

    def export(self, exporter: str, group: str, **resources: Mapping[str, Any]) -> None:
        """Further resources of a group."""
        # Copies: what stands twice in YAML by an alias is one thing to labgrid, which writes into it.
        ours = self._exports.setdefault(exporter, {}).setdefault(group, {})
        ours |= {name: dict(parameters) for name, parameters in resources.items()}

    def start(self) -> Self:
        """Start the coordinator, and after it the exporters."""
        folder = self._folder / "coordinator"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / STATE).write_text(yaml.safe_dump(self._places), encoding="utf-8")
        self.start_coordinator()
        for name in self._exports:
            self.start_exporter(name)
        return self

    def start_coordinator(self) -> None:
        """Again, too: with the places that it was told of first."""
        self.coordinator = Service(
            self._folder / "coordinator", "listening on", "labgrid.remote.coordinator", "-l", self.address
        )

    def start_exporter(self, name: str, *options: str) -> None:
        file = self._folder / f"{name}.yaml"
        file.write_text(yaml.safe_dump(self._exports[name]), encoding="utf-8")
        command = ("labgrid.remote.exporter", "-c", self.address, "-n", name, *options, str(file))
        self.exporters[name] = Service(self._folder, "Exporter ready", *command)

    def client(self, *arguments: str, user: str = "anna", host: str = "desk") -> str:
        """labgrid's own client, by somebody at his desk; what it prints."""
        done = subprocess.run(
            [sys.executable, "-m", "labgrid.remote.client", "-x", self.address, *arguments],
            env=os.environ | {"LG_USERNAME": user, "LG_HOSTNAME": host},
            capture_output=True,
            text=True,
            timeout=START_S,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def owners(self) -> dict[str, str]:
        """Who has which place, as labgrid's protocol tells, much quicker than its client."""
        with grpc.insecure_channel(self.address) as channel:
            asked = labgrid_coordinator_pb2_grpc.CoordinatorStub(channel)
            request = labgrid_coordinator_pb2.GetPlacesRequest()
            places = asked.GetPlaces(request, timeout=START_S, wait_for_ready=True).places
        return {place.name: place.acquired for place in places if place.acquired}

    def close(self) -> None:
        for service in (*self.exporters.values(), self.coordinator):
            if service is not None and service.process.poll() is None:
                service.end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def wait_until(holds: Callable[[], bool], what: str, within_s: float = START_S) -> None:
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, f"not within {within_s:g} s: {what}"
        time.sleep(0.05)
