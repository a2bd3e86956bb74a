"""Which rows of the nights make a series."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bibench_deploy.errors import StoreError
from bibench_deploy.results import Selection, Store
from bibench_deploy.results.history.names import page_name
from bibench_deploy.results.history.reading import series_of
from bibench_deploy.results.nights import Night, nights
from support.night_rows import SEED, night_name, night_row, tell_night


def opened(store: Store, *numbers: int, plan: str = "lab") -> list[Night]:
    for number in numbers:
        tell_night(store, number, [], plan)
    return nights(store, plan)


def test_only_rows_of_the_nights_are_read_and_the_later_of_two_counts(store: Store) -> None:
    random = np.random.default_rng(SEED)
    found = opened(store, 0, 1)
    store.append(
        [
            night_row(0, 10.0, random),
            night_row(1, 30.0, random),
            night_row(1, 20.0, random),
            night_row(0, 99.0, random, session="lab/unheard of"),
            night_row(0, 99.0, random, session=f"lab/{night_name(0)}b"),
            night_row(0, 99.0, random, plan="other"),
            night_row(0, 99.0, random, session=None),
            night_row(0, 99.0, random, device="pixel"),
            night_row(0, 5.0, random, threads=2, verdict=None),
            night_row(
                0, 1.0, random, threads=4, state="not_applicable", samples_ns=[], turns=[], reasons=["no"]
            ),
        ]
    )
    one, two = series_of(store, "rpi4", found, Selection())[0]
    assert [(point.night, round(point.median_ms)) for point in one.points] == [(0, 10), (1, 20)]
    first = one.points[0]
    assert first.low_ms is not None
    assert first.high_ms is not None
    assert first.low_ms < first.median_ms < first.high_ms
    assert (two.what.threads, two.points[0].verdict) == (2, "stable")  # judged by its spread


def test_a_damaged_row_is_an_error_that_names_its_night(store: Store) -> None:
    found = opened(store, 0)
    store.append([night_row(0, 10.0, np.random.default_rng(SEED))])
    with store.transaction(writes=True) as connection:
        blob = {"sqlite": "X'00'", "postgresql": "'\\x00'"}[connection.dialect.name]
        connection.exec_driver_sql(f"UPDATE measurement SET samples = {blob}")
    with pytest.raises(StoreError, match=rf"a row of rpi4 in lab/{night_name(0)} is damaged"):
        series_of(store, "rpi4", found, Selection())


@given(st.lists(st.tuples(st.text(), st.text(), st.text()), unique=True, min_size=2, max_size=6))
def test_every_page_has_a_name_of_its_own_that_any_server_takes(given: list[tuple[str, str, str]]) -> None:
    names = [page_name(*one) for one in given]
    assert len({name.lower() for name in names}) == len(given)
    assert all(re.fullmatch(r"pages/[a-z0-9-]{1,95}\.html", name) for name in names)
