"""Reading tidy tables: told apart by their columns, wrong lines named."""

from __future__ import annotations

from pathlib import Path

import pytest

from bibench_deploy.errors import DataError
from bibench_deploy.tracks import read_tables
from bibench_deploy.tracks.tables import Tables, identifier, tables_of

ACCURACY = (
    "task,subtask,architecture,algorithm,accuracy\nCIFAR10,,ResNet20,FP32,92\nCIFAR10,,ResNet20,Bi-Real,86\n"
)
CORRUPTED = "corruption,severity,algorithm,accuracy\nnone,0,fp32,95\nfog,1,fp32,90\n"
TRAINING = "algorithm,optimizer,accuracy\nfp32,Adam,94\n"
COUNTED = "algorithm,compression,speedup\nbnn,13.27,12.5\n"
LATENCY = "device,threads,architecture,library,variant,latency_ms\nrpi4,1,ResNet18,native,XNOR++,20\n"


@pytest.mark.parametrize(
    ("text", "kind", "lines"),
    [
        (ACCURACY, "accuracy", 2),
        (CORRUPTED, "corrupted", 2),
        (TRAINING, "training", 1),
        (COUNTED, "counted", 1),
        (LATENCY, "latency", 1),
    ],
)
def test_the_columns_say_what_a_file_holds(text: str, kind: str, lines: int) -> None:
    tables = tables_of([("any name", text)])
    assert len(getattr(tables, kind)) == lines
    others = [name for name in Tables.__dataclass_fields__ if name != kind]
    assert all(getattr(tables, name) == () for name in others)


@pytest.mark.parametrize(
    ("spelled", "meant"),
    [
        ("FP32", "fp32"),
        ("Bi-Real", "bireal"),
        ("XNOR++", "xnorpp"),
        ("ReActNet", "reactnet"),
        (" FDA ", "fda"),
    ],
)
def test_spellings_of_algorithms(spelled: str, meant: str) -> None:
    assert identifier(spelled) == meant


def test_a_folder_is_all_of_its_csv_files(tmp_path: Path) -> None:
    for name, text in (("b", ACCURACY), ("a", ACCURACY), ("c", LATENCY)):
        (tmp_path / f"{name}.csv").write_text(text, encoding="utf-8")
    (tmp_path / "notes.txt").write_text("no table", encoding="utf-8")
    tables = read_tables(tmp_path)
    assert (len(tables.accuracy), len(tables.latency)) == (4, 1)
    assert tables.latency[0].variant == "xnorpp"


@pytest.mark.parametrize(
    ("text", "where", "message"),
    [
        ("a,b\n1,2\n", "x.csv", "none of the tables"),
        ("", "x.csv", "none of the tables"),
        (ACCURACY + "CIFAR10,,ResNet20,bnn,good\n", "x.csv, line 4", "'accuracy'"),
        (ACCURACY + "CIFAR10,,ResNet20,bnn,\n", "x.csv, line 4", "'accuracy'"),
        (ACCURACY + "CIFAR10,,ResNet20,bnn,nan\n", "x.csv, line 4", "'accuracy'"),
        (LATENCY + "rpi4,0,ResNet18,native,bnn,20\n", "x.csv, line 3", "'threads'"),
        (LATENCY + "rpi4,1,ResNet18,native,bnn,-1\n", "x.csv, line 3", "'latency_ms'"),
    ],
)
def test_a_wrong_line_is_named(text: str, where: str, message: str) -> None:
    with pytest.raises(DataError) as caught:
        tables_of([("x.csv", text)])
    assert caught.value.where == where
    assert message in caught.value.message


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_tables(tmp_path / "missing.csv")
    with pytest.raises(DataError, match="no CSV file"):
        read_tables(tmp_path)
