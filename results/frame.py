"""Rows as a pandas DataFrame (extra ``data``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from .extras import load
from .fields import FIELDS, SAMPLE_KEYS, SUMMARY, Kind, record, sample_records
from .row import Row

if TYPE_CHECKING:
    import pandas as pd

# Types that hold an unknown beside whole numbers and truths; a NaN would turn them into real numbers.
_TYPES: Mapping[Kind, str] = {
    "text": "string",
    "json": "string",
    "whole": "Int64",
    "real": "Float64",
    "truth": "boolean",
    "moment": "datetime64[us, UTC]",
}


def frame(rows: Sequence[Row], samples: bool = False) -> pd.DataFrame:
    """One line a row with the summary of its samples in ms; or one line a sample, in ns.

    Raises:
        MissingExtraError, InputError: pandas is not installed, or does not fit what else is.
    """
    pandas = load("pandas", "a DataFrame")
    kinds = columns(samples)
    records = [line for row in rows for line in (sample_records(row) if samples else [record(row)])]
    found: pd.DataFrame = pandas.DataFrame.from_records(records, columns=list(kinds))
    return found.astype({name: _TYPES[kind] for name, kind in kinds.items()})


def columns(samples: bool = False) -> dict[str, Kind]:
    """Names and kinds of the columns, in their order."""
    facts = {field.name: field.kind for field in FIELDS}
    if samples:
        return {name: facts[name] for name in SAMPLE_KEYS} | {"run": "whole", "latency_ns": "whole"}
    return facts | dict(SUMMARY)
