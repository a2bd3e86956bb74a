"""The jobs of a night, shared by everything that works on it: each is done once, whoever is killed meanwhile.

::

    waiting ──claim──▶ taken ──done──▶ done      with the row, in one transaction
       ▲                 │
       ├──── give_back ──┤   interrupted
       ├──── failed ─────┴──▶ failed             when the attempts are used up
       └──── the owner's beat is older than STALE_S: whoever claims next has it

A claim is known by its owner and its number, which counts up for ever. Whoever lost it (asleep, cut off) and comes
back late finds another one there, and what it measured is dropped. Beats are told by the database's clock alone,
since hosts differ. On PostgreSQL one claims for a device at a time (its row of ``night_device`` is locked), and all
lock jobs in the order of ``seq``, so that nothing waits in a circle. SQLite has one writer at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Connection, and_, func, insert, or_, select, update
from sqlalchemy.sql import ColumnElement

from .database import clock_s, insert_new
from .job import IDENTITY, Claimed, Health, Job, JobSpec, State, job_of, spec_of
from .row import Row
from .schema import night_devices, night_jobs
from .schema import nights as night_table
from .store import Store
from .stored_rows import insert_rows, parts

__all__ = ["BEAT_S", "STALE_S", "Claimed", "Health", "Job", "JobSpec", "Queue", "State"]

#: An owner beats so often …
BEAT_S: Final = 20.0
#: … and has lost its claims after six beats that did not come: a locked store may hold one up for 30 s.
STALE_S: Final = 120.0


class Queue:
    """The jobs of one night, for one owner. Threads may share it; every call is one transaction.

    Args:
        plan, night: of a night that ``nights.open_night`` has opened.
        owner: a name that no other process has.
        stale_s: see ``STALE_S``.

    Raises:
        BibenchError: every method, as ``Store.check``.
    """

    def __init__(self, store: Store, plan: str, night: str, owner: str, stale_s: float = STALE_S) -> None:
        self._store = store
        self._plan, self._night = plan, night
        self.owner = owner
        self._stale_s = stale_s

    def add(self, specs: Iterable[JobSpec]) -> int:
        """Add jobs, in their order, and return how many are new; one that is there stays as it is.

        A job is known by artefact, engine's program, device, threads and cores.

        Raises:
            ValueError: the night was not opened.
        """
        with self._store.transaction(writes=True) as connection:
            # Two that add at once would both count the same jobs as new.
            locked = select(night_table.c.name).where(
                night_table.c.plan == self._plan, night_table.c.name == self._night
            )
            if connection.scalar(locked.with_for_update()) is None:
                raise ValueError(f"the night {self._plan}/{self._night} was not opened")
            columns = [night_jobs.c[name] for name in IDENTITY]
            known = {
                tuple(found) for found in connection.execute(select(*columns).where(self._of(night_jobs)))
            }
            new: dict[tuple[object, ...], dict[str, Any]] = {}
            for spec in specs:
                values = self._values(spec)
                identity = tuple(values[name] for name in IDENTITY)
                if identity not in known:
                    new.setdefault(identity, values)
            if new:
                connection.execute(insert(night_jobs), list(new.values()))
            for device in sorted({values["device"] for values in new.values()}):
                self._ensure_device(connection, device)
        return len(new)

    def claim(self, device: str) -> list[Claimed]:
        """Take all jobs of the device's next unit that wait, or whose owner has gone silent.

        Returns:
            None of them where nothing is left for us, or the device is in quarantine.
        """
        with self._store.transaction(writes=True) as connection:
            if not self._lock_device(connection, device):
                return []
            while (unit := self._next_unit(connection, device)) is not None:
                columns = night_jobs.c
                found = connection.execute(
                    select(night_jobs)
                    .where(self._of(night_jobs), columns.device == device, columns.unit == unit)
                    .where(or_(columns.state == State.WAITING, self._is_stale()))
                    .order_by(columns.seq)
                    .with_for_update()
                ).mappings()
                claimed = [
                    Claimed(row["seq"], spec_of(row), row["attempts"], row["claims"] + 1) for row in found
                ]
                if claimed:
                    self._take(connection, [job.seq for job in claimed])
                    return claimed
                # Their owner came back while we waited for the rows: look again.
        return []

    def beat(self) -> int:
        """Say that this owner is alive; how many claims it still has."""
        columns = night_jobs.c
        mine = and_(self._of(night_jobs), columns.owner == self.owner, columns.state == State.TAKEN)
        with self._store.transaction(writes=True) as connection:
            held = _locked(connection, mine)
            for part in parts(held):
                connection.execute(update(night_jobs).where(columns.seq.in_(part)).values(beat_at=clock_s()))
        return len(held)

    def done(self, claimed: Claimed, row: Row) -> bool:
        """Keep what was measured, and that it was, in one transaction.

        Returns:
            False: the claim was lost meanwhile, and the row is dropped, so that no job has two. Saying the same
            row again, since the first answer was lost, is no loss.
        """
        with self._store.transaction(writes=True) as connection:
            end = update(night_jobs).where(self._held(claimed))
            values = {"state": State.DONE, "row_id": row.id, "said": None}
            if connection.execute(end.values(**values)).rowcount == 1:
                insert_rows(connection, [row])
                return True
            this = and_(self._of(night_jobs), night_jobs.c.seq == claimed.seq)
            return connection.scalar(select(night_jobs.c.row_id).where(this)) == row.id

    def failed(self, claimed: Claimed, said: str, attempts_allowed: int) -> State | None:
        """Let it be tried again, or give it up.

        Returns:
            What it is now; None where the claim was lost meanwhile.
        """
        attempts = claimed.attempts + 1
        state = State.WAITING if attempts < attempts_allowed else State.FAILED
        with self._store.transaction(writes=True) as connection:
            end = update(night_jobs).where(self._held(claimed))
            end = end.values(state=state, attempts=attempts, said=said)
            return state if connection.execute(end).rowcount == 1 else None

    def give_back(self, claimed: Iterable[Claimed]) -> int:
        """Let others have what was interrupted, which is no failure; how many were still ours."""
        given = 0
        with self._store.transaction(writes=True) as connection:
            for job in sorted(claimed, key=lambda job: job.seq):
                back = update(night_jobs).where(self._held(job))
                given += connection.execute(back.values(state=State.WAITING)).rowcount
        return given

    def release(self, owner: str) -> int:
        """Let others have at once what an owner holds of which the caller knows that it is dead."""
        columns = night_jobs.c
        theirs = and_(self._of(night_jobs), columns.owner == owner, columns.state == State.TAKEN)
        with self._store.transaction(writes=True) as connection:
            held = _locked(connection, theirs)
            for part in parts(held):
                connection.execute(
                    update(night_jobs).where(columns.seq.in_(part)).values(state=State.WAITING)
                )
        return len(held)

    def jobs(self, device: str | None = None) -> list[Job]:
        """All jobs, or those of a device, in the order in which they were added."""
        wanted = select(night_jobs).where(self._of(night_jobs)).order_by(night_jobs.c.seq)
        if device is not None:
            wanted = wanted.where(night_jobs.c.device == device)
        with self._store.transaction() as connection:
            return [job_of(row) for row in connection.execute(wanted).mappings()]

    def counts(self) -> dict[str, dict[State, int]]:
        """How many jobs of each device are in each state; for a board that looks often."""
        columns = night_jobs.c
        statement = (
            select(columns.device, columns.state, func.count())
            .where(self._of(night_jobs))
            .group_by(columns.device, columns.state)
            .order_by(func.min(columns.seq))
        )
        found: dict[str, dict[State, int]] = {}
        with self._store.transaction() as connection:
            for device, state, count in connection.execute(statement):
                found.setdefault(device, dict.fromkeys(State, 0))[State(state)] = count
        return found

    def device_failed(self, device: str, said: str) -> int:
        """Count a failure of the device itself; how many it has had in this night."""
        with self._store.transaction(writes=True) as connection:
            self._ensure_device(connection, device)
            this = self._device(device)
            more = {"failures": night_devices.c.failures + 1, "said": said}
            connection.execute(update(night_devices).where(this).values(**more))
            return int(connection.scalar(select(night_devices.c.failures).where(this)) or 0)

    def quarantine(self, device: str, said: str) -> None:
        """Let nobody claim anything of the device in this night any more; the first reason stays."""
        with self._store.transaction(writes=True) as connection:
            self._ensure_device(connection, device)
            first = update(night_devices).where(
                self._device(device), night_devices.c.quarantined_at.is_(None)
            )
            connection.execute(first.values(quarantined_at=datetime.now(UTC), said=said))

    def devices(self) -> list[Health]:
        """Every device that has jobs or has failed, by name."""
        columns = night_devices.c
        wanted = select(columns.device, columns.failures, columns.quarantined_at, columns.said)
        with self._store.transaction() as connection:
            found = connection.execute(wanted.where(self._of(night_devices)).order_by(columns.device))
            return [Health(*row) for row in found]

    def _of(self, table: Any) -> ColumnElement[bool]:
        """Of this night."""
        return and_(table.c.plan == self._plan, table.c.night == self._night)

    def _device(self, device: str) -> ColumnElement[bool]:
        return and_(self._of(night_devices), night_devices.c.device == device)

    def _is_stale(self) -> ColumnElement[bool]:
        silent = night_jobs.c.beat_at < clock_s() - self._stale_s
        return and_(night_jobs.c.state == State.TAKEN, silent)

    def _held(self, claimed: Claimed) -> ColumnElement[bool]:
        """That a claim is still the one that we got."""
        columns = night_jobs.c
        return and_(
            self._of(night_jobs),
            columns.seq == claimed.seq,
            columns.state == State.TAKEN,
            columns.owner == self.owner,
            columns.claims == claimed.claim,
        )

    def _next_unit(self, connection: Connection, device: str) -> str | None:
        # Two questions that an index answers each; with "or" between them, all jobs would be read.
        columns = night_jobs.c
        of_device = and_(self._of(night_jobs), columns.device == device)
        firsts = [
            connection.scalar(select(func.min(columns.seq)).where(of_device, wanted))
            for wanted in (columns.state == State.WAITING, self._is_stale())
        ]
        known = [seq for seq in firsts if seq is not None]
        if not known:
            return None
        return connection.scalar(select(columns.unit).where(columns.seq == min(known)))

    def _take(self, connection: Connection, seqs: Sequence[int]) -> None:
        columns = night_jobs.c
        for part in parts(seqs):
            connection.execute(
                update(night_jobs)
                .where(columns.seq.in_(part))
                .values(
                    state=State.TAKEN,
                    owner=self.owner,
                    claims=columns.claims + 1,
                    beat_at=clock_s(),
                )
            )

    def _lock_device(self, connection: Connection, device: str) -> bool:
        """Whether it has jobs and is not in quarantine."""
        columns = night_devices.c
        wanted = select(columns.device).where(self._device(device), columns.quarantined_at.is_(None))
        return connection.scalar(wanted.with_for_update()) is not None

    def _ensure_device(self, connection: Connection, device: str) -> None:
        values = {"plan": self._plan, "night": self._night, "device": device, "failures": 0}
        connection.execute(insert_new(connection, night_devices), [values])

    def _values(self, spec: JobSpec) -> dict[str, Any]:
        return {
            **asdict(spec),
            "cpus": spec.cpus or "",
            "plan": self._plan,
            "night": self._night,
            "state": State.WAITING,
            "attempts": 0,
            "claims": 0,
        }


def _locked(connection: Connection, wanted: ColumnElement[bool]) -> list[int]:
    """Jobs by their numbers, in the order in which every transaction locks them."""
    columns = night_jobs.c
    return list(connection.scalars(select(columns.seq).where(wanted).order_by(columns.seq).with_for_update()))
