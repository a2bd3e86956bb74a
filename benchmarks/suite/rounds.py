"""Who has its turn when, and the measuring: every case once a round, so that a disturbance hits all alike."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from bibench_deploy.errors import BibenchError

from .cases import Case, UnavailableError
from .machine import Watch
from .peers import Peer


@dataclass
class Measured:
    """What came of the cases.

    Attributes:
        blocks: case → round → latencies in ns.
        kernels: case → what its library chose to run.
        missing: case → why it was not measured.
    """

    blocks: dict[Case, dict[int, list[float]]] = field(default_factory=dict)
    kernels: dict[Case, str | None] = field(default_factory=dict)
    missing: dict[Case, str] = field(default_factory=dict)


def order(cases: Sequence[Case], round_: int) -> Iterator[Case]:
    """The order of one round. Pure.

    It begins elsewhere in each round and runs backwards in every second one, so that no case always follows the
    same other one, whose caches and heat it would inherit.
    """
    if not cases:
        return
    start = round_ * (len(cases) // 3 + 1) % len(cases)
    turned = [*cases[start:], *cases[:start]]
    yield from turned if round_ % 2 == 0 else reversed(turned)


def measure(
    cases: Sequence[Case],
    rounds: int,
    seconds: float,
    open_peer: Callable[[Case], Peer],
    watch: Watch,
    say: Callable[[str], None] = lambda message: None,
) -> Measured:
    """Open all cases and give each a block of runs in every round.

    Args:
        seconds: length of a block.
        open_peer: opens a case.
        watch: looks at the machine before each round.
        say: told what is going on.
    """
    result = Measured()
    with ExitStack() as stack:
        peers: dict[Case, Peer] = {}
        for case in cases:
            try:
                peer = open_peer(case)
            except UnavailableError as reason:
                result.missing[case] = str(reason)
                say(f"{case}: {reason}")
                continue
            stack.callback(peer.close)
            peers[case], result.kernels[case], result.blocks[case] = peer, peer.kernel, {}
        for round_ in range(rounds):
            say(f"round {round_ + 1} of {rounds}, {len(peers)} cases")
            watch.before_round()
            for case in order(tuple(peers), round_):
                try:
                    result.blocks[case][round_] = list(peers[case].block(seconds))
                except BibenchError as error:
                    del peers[case], result.blocks[case]
                    result.missing[case] = str(error)
                    say(f"{case}: {error}")
    return result


def say(message: str) -> None:
    """Progress, on stderr."""
    sys.stderr.write(f"{message}\n")
    sys.stderr.flush()
