"""``bibench-deploy tracks``: the paper's tables, and one's own."""

from __future__ import annotations

import json
from pathlib import Path

from support.command import bibench, bibench_here

FIELDS = {"track", "metric", "algorithm", "value", "unit", "published", "difference", "derivable", "note"}


def test_the_papers_values_as_json(tmp_path: Path) -> None:
    done = bibench("tracks", "--source", "bibench", "--json", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    scores = json.loads(done.stdout)
    assert len(scores) == 192
    assert all(set(score) == FIELDS for score in scores)
    assert all((score["value"] is None) == (not score["derivable"]) for score in scores)


def test_the_papers_tables_fit_a_narrow_terminal(tmp_path: Path) -> None:
    done = bibench_here("tracks", cwd=tmp_path, COLUMNS="80")
    assert done.returncode == 0
    assert "…" not in done.stdout
    assert "152 of 154 derived values agree" in done.stdout
    for title in ("learning task (%)", "corruption robustness (%)", "hardware inference"):
        assert title in done.stdout


def test_ones_own_table(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text(
        "task,architecture,algorithm,accuracy\nKWS,FSMN,fp32,90\nKWS,FSMN,ours,81\n", encoding="utf-8"
    )
    done = bibench_here("tracks", "--source", "mine.csv", "--json", cwd=tmp_path)
    values = {(s["metric"], s["algorithm"]): s["value"] for s in json.loads(done.stdout)}
    assert values == {("KWS", "ours"): 90.0, ("overall", "ours"): 90.0}
    assert "KWS" in bibench_here("tracks", "--source", "mine.csv", cwd=tmp_path).stdout


def test_a_table_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    for source, word in (("x.csv", "none of the tables"), ("y.csv", "no such file")):
        done = bibench_here("tracks", "--source", source, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        assert word in done.stderr
        assert source in done.stderr
        assert "Traceback" not in done.stderr
