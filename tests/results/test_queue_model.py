"""The queue against a model of it: whatever its owners do in whatever order, it holds what the model holds."""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from bibench_deploy.results import Store
from bibench_deploy.results.nights import open_night
from bibench_deploy.results.queue import Claimed, JobSpec, Queue, State
from support.rows import make_row

DEVICES = ("rpi4", "pixel")
OWNERS = ("alpha", "beta", "gamma")
ATTEMPTS = 2
SPECS = [
    JobSpec(device, "native", model, "bnn", model, "e", threads, None, model)
    for model in ("a", "b")
    for threads in (1, 2)
    for device in DEVICES
]


@dataclass
class Known:
    """What the model knows of a job."""

    state: State = State.WAITING
    attempts: int = 0
    claims: int = 0
    owner: str | None = None
    silent: bool = False

    def is_held(self, owner: str, claimed: Claimed) -> bool:
        return (self.state, self.owner, self.claims) == (State.TAKEN, owner, claimed.claim)


class Owners(RuleBasedStateMachine):
    """Three owners at one night; jobs are known by their specs, which the model keeps in the order of adding."""

    claims = Bundle("claims")

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.store = Store.at(str(Path(self.folder.name) / "store.sqlite"))
        open_night(self.store, "lab", "n", "p", None, "host", datetime(2026, 11, 22, tzinfo=UTC))
        self.queues = {owner: Queue(self.store, "lab", "n", owner) for owner in OWNERS}
        self.model: dict[JobSpec, Known] = {}
        self.quarantined: set[str] = set()
        self.kept = 0

    def teardown(self) -> None:
        self.folder.cleanup()

    @rule(owner=st.sampled_from(OWNERS), specs=st.lists(st.sampled_from(SPECS), max_size=6))
    def add(self, owner: str, specs: list[JobSpec]) -> None:
        new = {spec for spec in specs if spec not in self.model}
        assert self.queues[owner].add(specs) == len(new)
        for spec in specs:
            self.model.setdefault(spec, Known())

    @rule(target=claims, owner=st.sampled_from(OWNERS), device=st.sampled_from(DEVICES))
    def claim(self, owner: str, device: str) -> object:
        found = self.queues[owner].claim(device)
        free = [
            spec
            for spec, known in self.model.items()
            if spec.device == device and (known.state == State.WAITING or known.silent)
        ]
        if device in self.quarantined:
            free = []
        expected = [spec for spec in free if spec.unit == free[0].unit]
        assert [job.spec for job in found] == expected
        for job in found:
            known = self.model[job.spec]
            known.claims += 1
            known.state, known.owner, known.silent = State.TAKEN, owner, False
            assert (job.claim, job.attempts) == (known.claims, known.attempts)
        return multiple(*((owner, job) for job in found))

    @rule(claim=claims)
    def done(self, claim: tuple[str, Claimed]) -> None:
        owner, job = claim
        known = self.model[job.spec]
        held = known.is_held(owner, job)
        row = make_row(device=job.spec.device, model=job.spec.model, threads=job.spec.threads)
        assert self.queues[owner].done(job, row) == held
        if held:
            known.state, known.silent = State.DONE, False
            self.kept += 1

    @rule(claim=claims)
    def failed(self, claim: tuple[str, Claimed]) -> None:
        owner, job = claim
        known = self.model[job.spec]
        held = known.is_held(owner, job)
        state = self.queues[owner].failed(job, "no", ATTEMPTS)
        assert (state is not None) == held
        if held:
            known.attempts += 1
            known.state = State.FAILED if known.attempts == ATTEMPTS else State.WAITING
            known.silent = False
            assert state == known.state

    @rule(claims=st.lists(consumes(claims), max_size=3))
    def give_back(self, claims: list[tuple[str, Claimed]]) -> None:
        for owner in OWNERS:
            jobs = [job for other, job in claims if other == owner]
            held = [self.model[job.spec] for job in jobs if self.model[job.spec].is_held(owner, job)]
            assert self.queues[owner].give_back(jobs) == len(held)
            for known in held:
                known.state, known.silent = State.WAITING, False

    @rule(owner=st.sampled_from(OWNERS))
    def beat(self, owner: str) -> None:
        held = [known for known in self.model.values() if (known.state, known.owner) == (State.TAKEN, owner)]
        assert self.queues[owner].beat() == len(held)
        for known in held:
            known.silent = False

    @rule(owner=st.sampled_from(OWNERS))
    def fall_silent(self, owner: str) -> None:
        with self.store.transaction(writes=True) as connection:
            connection.exec_driver_sql(
                "UPDATE night_job SET beat_at = beat_at - 1000 WHERE owner = ?", (owner,)
            )
        for known in self.model.values():
            known.silent |= (known.state, known.owner) == (State.TAKEN, owner)

    @rule(owner=st.sampled_from(OWNERS), dead=st.sampled_from(OWNERS))
    def release(self, owner: str, dead: str) -> None:
        held = [known for known in self.model.values() if (known.state, known.owner) == (State.TAKEN, dead)]
        assert self.queues[owner].release(dead) == len(held)
        for known in held:
            known.state, known.silent = State.WAITING, False

    @rule(owner=st.sampled_from(OWNERS), device=st.sampled_from(DEVICES[1:]))
    def quarantine(self, owner: str, device: str) -> None:
        self.queues[owner].quarantine(device, "broken")
        self.quarantined.add(device)

    @invariant()
    def it_holds_what_the_model_holds(self) -> None:
        jobs = self.queues[OWNERS[0]].jobs()
        assert {job.spec: (job.state, job.attempts) for job in jobs} == {
            spec: (known.state, known.attempts) for spec, known in self.model.items()
        }
        counted = Counter((job.spec.device, job.state) for job in jobs)
        counts = self.queues[OWNERS[0]].counts()
        assert {(d, s): n for d, states in counts.items() for s, n in states.items() if n} == counted

    @invariant()
    def no_job_has_two_rows(self) -> None:
        rows = self.store.read().rows
        assert len(rows) == self.kept
        assert max(Counter((r.device, r.model, r.threads) for r in rows).values(), default=0) <= 1
        done = [job.row_id for job in self.queues[OWNERS[0]].jobs() if job.state == State.DONE]
        assert sorted(map(str, done)) == sorted(str(row.id) for row in rows)


TestOwners = Owners.TestCase
TestOwners.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
