"""The store keeps every row that it said it has, on SQLite and on PostgreSQL alike."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bibench_deploy.errors import InputError
from bibench_deploy.results import Selection, Store, choose_store
from bibench_deploy.results.row import HostFacts, Row
from bibench_deploy.results.samples import pack, unpack
from bibench_deploy.runners.context import RunContext
from support.rows import make_row

DAY = datetime(2026, 11, 21, tzinfo=UTC)

FULL = make_row(
    session="a night",
    engine_sha256="e" * 64,
    verified_on_device=False,
    cpus="big",
    statistic="aggregate",
    verdict="unstable",
    reasons=["the clock moved", "größer als 10 %"],
    context=RunContext(
        governor="schedutil",
        clock_mhz_before={4: 2400.0, 5: 2399.5},
        temperature_c_after={"cpu-thermal": 61.2},
        throttle_bits=0x50005,
        load_before=0.0,
        peak_memory_bytes=2**40,
        abi="aarch64-linux-gnu",
    ),
    samples_ns=[1, 2**62, 3],
)
NOT_APPLICABLE = make_row(threads=2, state="not_applicable", reasons=["one thread only"], samples_ns=[])


def test_an_empty_store_has_no_rows(store: Store) -> None:
    assert store.read().rows == ()


@pytest.mark.parametrize("row", [make_row(), FULL, NOT_APPLICABLE], ids=["plain", "full", "not applicable"])
def test_a_row_comes_back_as_it_was(store: Store, row: Row) -> None:
    store.append([row])
    assert store.read().rows == (row,)


def test_what_is_unknown_stays_unknown_and_zero_stays_zero(store: Store) -> None:
    store.append([make_row(context=RunContext(page_faults_major=0))])
    (row,) = store.read().rows
    assert row.context.page_faults_major == 0
    unknown = {name for name, value in row.context if value is None}
    assert unknown == set(RunContext.model_fields) - {"page_faults_major"}
    assert (row.verdict, row.session, row.cpus, row.verified_on_device) == (None, None, None, None)


def test_rows_come_in_the_order_of_appending(store: Store) -> None:
    first, second, third = (make_row(threads=threads) for threads in (4, 1, 2))
    store.append([first, second])
    store.append([third])
    assert store.read().rows == (first, second, third)


def test_a_moment_survives_with_its_microseconds_in_any_zone(store: Store) -> None:
    moment = datetime(2026, 11, 21, 22, 15, 0, 123456, tzinfo=timezone(timedelta(hours=-5)))
    store.append([make_row(measured_at=moment)])
    assert store.read().rows[0].measured_at == moment


def test_appending_again_adds_nothing(store: Store) -> None:
    row = make_row()
    assert store.append([row]).added == 1
    again = store.append([row, make_row()])
    assert (again.added, again.present, again.differing) == (1, 1, ())
    assert len(store.read().rows) == 2


def test_a_row_that_says_something_else_under_the_same_id_is_reported_and_not_taken(store: Store) -> None:
    row = make_row()
    store.append([row])
    assert store.append([row.model_copy(update={"threads": 8})]).differing == (row.id,)
    assert store.read().rows == (row,)


def test_more_rows_than_a_statement_takes_parameters(store: Store) -> None:
    rows = [make_row(threads=number) for number in range(1, 1202)]
    assert store.append(rows).added == 1201
    assert store.append(rows).present == 1201
    assert store.remove(row.id for row in rows[1:]) == 1200
    assert store.read().rows == (rows[0],)


SELECTIONS: list[tuple[dict[str, Any], list[int]]] = [
    ({}, [0, 1, 2, 3]),
    ({"devices": ("rpi4",)}, [1]),
    ({"devices": ("rpi4", "local")}, [0, 1, 2, 3]),
    ({"engines": ("native",)}, [2]),
    ({"models": ("resnet18",), "variants": ("fp32",)}, [3]),
    ({"models": ("resnet",)}, []),
    ({"threads": (2, 4)}, [1, 2]),
    ({"sessions": ("s",)}, [3]),
    ({"since": DAY + timedelta(hours=1)}, [1, 2, 3]),
    ({"before": DAY + timedelta(hours=1)}, [0]),
    ({"since": DAY + timedelta(hours=1), "before": DAY + timedelta(hours=2)}, [1]),
    ({"ids": ("22222222-22",)}, [2]),
    ({"ids": ("0000", "3333")}, [0, 3]),
    ({"ids": ("%",)}, []),
]


@pytest.mark.parametrize(("wanted", "found"), SELECTIONS, ids=lambda value: str(value)[:60])
def test_rows_are_selected_by_every_part_that_is_given(
    store: Store, wanted: dict[str, Any], found: list[int]
) -> None:
    facts: list[dict[str, Any]] = [
        {},
        {"device": "rpi4", "threads": 2},
        {"engine": "native", "threads": 4},
        {"variant": "fp32", "session": "s"},
    ]
    rows = [
        make_row(id=UUID(str(n) * 32), measured_at=DAY + timedelta(hours=n), **fact)
        for n, fact in enumerate(facts)
    ]
    store.append(rows)
    assert store.read(Selection(**wanted)).rows == tuple(rows[n] for n in found)


@pytest.mark.parametrize(
    "facts",
    [
        {"samples_ns": []},
        {"samples_ns": [0]},
        {"samples_ns": [2**63]},
        {"state": "not_applicable", "samples_ns": [], "reasons": []},
        {"state": "not_applicable", "reasons": ["why"]},
        {"measured_at": datetime(2026, 11, 21)},
        {"verdict": "fine"},
        {"context": {"load_before": float("nan")}},
        {"context": {"page_faults_major": -1}},
    ],
    ids=str,
)
def test_what_is_no_measurement_is_no_row(facts: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(facts)).split("_")[0]):
        Row.model_validate(make_row().model_dump() | facts)


@given(st.lists(st.integers(1, 2**63 - 1)))
def test_samples_survive_packing(samples: list[int]) -> None:
    assert unpack(pack(samples)) == samples


def test_samples_are_smaller_than_as_text() -> None:
    samples = [10_000_000 + (n * 7919) % 100_000 for n in range(10_000)]
    assert len(pack(samples)) < 4 * len(samples)


def test_a_store_is_chosen_by_option_then_variable_then_workspace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert choose_store(None, tmp_path).where == str(tmp_path / "results.sqlite")
    monkeypatch.setenv("BIBENCH_STORE", str(tmp_path / "lab.sqlite"))
    assert choose_store(None, tmp_path).where == str(tmp_path / "lab.sqlite")
    assert choose_store("sqlite:///x.sqlite", tmp_path).where == "x.sqlite"


def test_a_password_is_never_shown() -> None:
    store = Store.at("postgresql://me:secret@nowhere.invalid/lab")
    assert "secret" not in store.where
    with pytest.raises(Exception, match="can't be reached") as caught:
        store.read()
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["", " ", "sqlite://", "sqlite:///:memory:", "http://[", "://"])
def test_what_is_no_store_is_refused(url: str) -> None:
    with pytest.raises(InputError) as caught:
        Store.at(url)
    assert caught.value.remedy


def test_facts_of_a_row_are_the_columns_of_the_table() -> None:
    from bibench_deploy.results.schema import measurements

    columns = {column.name for column in measurements.columns} - {"seq", "samples"} | {"samples_ns"}
    assert columns == set(Row.model_fields) - {"schema_version"}


def test_a_host_is_kept_whole(store: Store) -> None:
    host = HostFacts(cpu='a "quoted" processor', arch="armv7l", cores=1, system="Linux 6.1")
    store.append([make_row(host=host)])
    assert store.read().rows[0].host == host
