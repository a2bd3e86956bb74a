"""One connection to a coordinator of labgrid: what it knows of places and resources, and what it can be asked.

labgrid's messages and types are used (``labgrid.remote.generated``, ``labgrid.remote.common``), its
``ClientSession`` is not: that one is the body of a command line. Its methods take their arguments from argparse and
print, it names itself HOST/USER, the same for two processes, and why a connection broke goes to a log only.
``labgrid-client`` as a program has the same name for all, and one more process and connection for each look at a
reservation.
"""

from __future__ import annotations

import itertools
import queue
import threading
from collections.abc import Callable
from typing import Any

from bibench_deploy.errors import (
    ConnectionLostError,
    DeviceError,
    PermanentDeviceError,
    UnreachableError,
)

from .libraries import CHECK, RefusedByCoordinator, libraries, translated, version

#: A coordinator answers in milliseconds; acquiring asks each exporter, for which it allows 10 s.
ANSWER_S = 30.0
CONNECT_S = 10.0
# As labgrid's own client: a cable that is pulled shows within 20 s. A pool of its own lets each connection be a
# client of its own, which the coordinator knows by the address that it comes from.
_OPTIONS = (
    ("grpc.keepalive_time_ms", 7500),
    ("grpc.keepalive_timeout_ms", 10000),
    ("grpc.http2.ping_timeout_ms", 10000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.use_local_subchannel_pool", 1),
)

ResourcePath = tuple[str, str, str, str]  # exporter, group, class, name


class Coordinator:
    """A connection, until it breaks or is closed. May be used by several threads.

    Args:
        address: HOST:PORT.
        name: by which the coordinator knows us.

    Attributes:
        name: the same.
    """

    def __init__(self, address: str, name: str) -> None:
        self.name = name
        self._address = address
        self._libraries = libraries()
        self._channel = self._libraries.grpc.insecure_channel(address, options=_OPTIONS)
        self._stub = self._libraries.services.CoordinatorStub(self._channel)
        self._out: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._numbers = itertools.count(1)
        self._changed = threading.Condition()
        self._synced = 0
        self._broken: DeviceError | None = None
        self._places: dict[str, Any] = {}
        self._resources: dict[tuple[str, str, str], Any] = {}

    @property
    def where(self) -> str:
        """For messages."""
        return f"labgrid://{self._address}"

    @property
    def broken(self) -> bool:
        """Whether it is of no more use."""
        return self._broken is not None

    def open(self) -> None:
        """Connect, and learn all places and resources.

        Raises:
            DeviceError: no coordinator answers there, or none of a version that is understood.
        """
        message = self._libraries.messages.ClientInMessage
        startup = message()
        startup.startup.version, startup.startup.name = version(), self.name
        places, resources = message(), message()
        places.subscribe.all_places = resources.subscribe.all_resources = True
        for first in (startup, places, resources):
            self._out.put(first)
        stream = self._stub.ClientStream(iter(self._out.get, None))
        threading.Thread(target=self._listen, args=(stream,), name="labgrid", daemon=True).start()
        try:
            self.sync(CONNECT_S)
        except DeviceError:
            self.close()
            raise

    def close(self) -> None:
        """Leave; what was acquired stays so."""
        self._break(ConnectionLostError("the connection was closed", where=self.where))
        self._out.put(None)
        self._channel.close()

    def sync(self, timeout_s: float = ANSWER_S) -> None:
        """Wait until all that the coordinator has told so far is known here.

        Raises:
            DeviceError: the connection is broken, or no answer comes.
        """
        message = self._libraries.messages.ClientInMessage()
        message.sync.id = number = next(self._numbers)
        self._out.put(message)
        with self._changed:
            answered = self._changed.wait_for(lambda: self._synced >= number or self._broken, timeout_s)
            if self._broken is not None:
                raise self._broken
        if not answered:
            raise UnreachableError(
                f"the coordinator does not answer within {timeout_s:.0f} s", where=self.where, remedy=CHECK
            )

    def places(self) -> dict[str, Any]:
        """labgrid's places, by name."""
        with self._changed:
            return dict(self._places)

    def resources(self) -> dict[ResourcePath, Any]:
        """labgrid's resources that exporters offer now."""
        with self._changed:
            entries = self._resources.items()
            return {(exporter, group, entry.cls, name): entry for (exporter, group, name), entry in entries}

    def reservations(self) -> list[Any]:
        """All of labgrid's reservations.

        Raises:
            DeviceError: the connection.
        """
        messages = self._libraries.messages
        answer = self._ask(self._stub.GetReservations, messages.GetReservationsRequest())
        return [self._libraries.common.Reservation.from_pb2(one) for one in answer.reservations]

    def reserve(self, place: str) -> Any:
        """Queue up for a place; returns a reservation of labgrid.

        Raises:
            RefusedByCoordinator: there can be no such place.
            DeviceError: the connection.
        """
        messages = self._libraries.messages
        wanted = messages.Reservation.Filter(filter={"name": place})
        request = messages.CreateReservationRequest(filters={"main": wanted})
        return self._reservation(self._ask(self._stub.CreateReservation, request))

    def poll(self, token: str) -> Any:
        """What became of a reservation, which lives for another minute by that.

        Raises:
            RefusedByCoordinator: it is gone.
            DeviceError: the connection.
        """
        request = self._libraries.messages.PollReservationRequest(token=token)
        return self._reservation(self._ask(self._stub.PollReservation, request))

    def cancel(self, token: str) -> None:
        """Give up a reservation; nothing happens if it is gone.

        Raises:
            DeviceError: the connection.
        """
        request = self._libraries.messages.CancelReservationRequest(token=token)
        try:
            self._ask(self._stub.CancelReservation, request)
        except RefusedByCoordinator:
            return

    def acquire(self, place: str) -> None:
        """Take a place.

        Raises:
            RefusedByCoordinator: someone else has it, or one of its resources.
            DeviceError: the connection.
        """
        self._ask(self._stub.AcquirePlace, self._libraries.messages.AcquirePlaceRequest(placename=place))
        self.sync()

    def release(self, place: str, owner: str | None = None) -> None:
        """Give a place back if a client of this name has it; nothing happens otherwise.

        Args:
            owner: ourselves by default.

        Raises:
            RefusedByCoordinator: there is no such place.
            DeviceError: the connection.
        """
        request = self._libraries.messages.ReleasePlaceRequest(placename=place, fromuser=owner or self.name)
        self._ask(self._stub.ReleasePlace, request)
        self.sync()

    def _reservation(self, answer: Any) -> Any:
        return self._libraries.common.Reservation.from_pb2(answer.reservation)

    def _ask(self, call: Callable[..., Any], request: Any) -> Any:
        try:
            return call(request, timeout=ANSWER_S)
        except self._libraries.grpc.RpcError as error:
            raise translated(error, self._libraries, self.where) from error
        except ValueError as error:  # what gRPC raises once the channel is closed
            raise self._broken or ConnectionLostError(str(error), where=self.where) from error

    def _listen(self, stream: Any) -> None:
        """Keep what the coordinator tells, until the connection ends."""
        ended: Exception = ConnectionLostError(
            "the coordinator ended the connection", where=self.where, remedy=CHECK
        )
        try:
            for message in stream:
                with self._changed:
                    for update in message.updates:
                        self._apply(update)
                    if message.HasField("sync"):
                        self._synced = message.sync.id
                    self._changed.notify_all()
        except self._libraries.grpc.RpcError as error:
            ended = translated(error, self._libraries, self.where)
        if not isinstance(ended, DeviceError):
            ended = PermanentDeviceError(
                f"the coordinator refuses us ({ended})", where=self.where, remedy="see the coordinator's log"
            )
        self._break(ended)

    def _break(self, error: DeviceError) -> None:
        with self._changed:
            self._broken = self._broken or error
            self._changed.notify_all()

    def _apply(self, update: Any) -> None:
        common, kind = self._libraries.common, update.WhichOneof("kind")
        if kind == "place":
            self._places[update.place.name] = common.Place.from_pb2(update.place)
        elif kind == "del_place":
            self._places.pop(update.del_place, None)
        elif kind == "resource":
            entry = common.ResourceEntry(common.ResourceEntry.data_from_pb2(update.resource))
            self._resources[_path(update.resource.path)] = entry
        elif kind == "del_resource":
            self._resources.pop(_path(update.del_resource), None)


def _path(path: Any) -> tuple[str, str, str]:
    return path.exporter_name, path.group_name, path.resource_name
