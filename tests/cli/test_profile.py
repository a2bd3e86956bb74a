"""``bibench-deploy profile`` as a user meets it."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import time
from pathlib import Path

import pytest

from bibench_deploy.converters.manifest import SourceModel, manifest_path
from bibench_deploy.results import Store
from support.command import ORDINARY, bibench, bibench_here, is_clean, small_disk, started
from support.tiny import add_artefact

pytestmark = pytest.mark.larq

#: As few turns as there can be: what this machine needs for them means nothing.
QUICK = ("--min-time", "0.01", "--max-time", "0.02", "--min-runs", "5", "--precision", "100")


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A binarized model and its twin."""
    folder = tmp_path / "bibench-workspace"
    add_artefact(folder, "fp32")
    add_artefact(folder, "bnn")
    return folder


def test_a_workspace_is_measured_and_compared(workspace: Path) -> None:
    done = bibench("profile", "--threads", "1", *QUICK, cwd=workspace.parent)
    assert done.returncode == 0, done.stderr
    for text in ("device local", "engine larq", "fp32", "bnn", "speedup", "compression", "hardware metric"):
        assert text in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80 or "made for ARM" in done.stdout


def test_json_is_one_document_that_agrees_with_itself(workspace: Path) -> None:
    done = bibench("profile", "--threads", "1,2", *QUICK, "--json", cwd=workspace.parent)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert [(row["variant"], row["threads"]) for row in document["rows"]] == [
        ("fp32", 1),
        ("bnn", 1),
        ("fp32", 2),
        ("bnn", 2),
    ]
    for row in document["rows"]:
        assert 0 < row["p10_ms"] <= row["median_ms"] <= row["p90_ms"]
        assert row["runs"] >= 5
        assert row["size_bytes"] == (workspace / row["file"]).stat().st_size
    assert [(metric["variant"], metric["threads"]) for metric in document["metrics"]] == [
        ("bnn", 1),
        ("bnn", 2),
    ]
    fp32, bnn = document["rows"][:2]
    assert document["metrics"][0]["speedup"] == pytest.approx(fp32["median_ms"] / bnn["median_ms"])
    assert document["metrics"][0]["compression"] == pytest.approx(fp32["size_bytes"] / bnn["size_bytes"])


def test_the_kernel_that_was_timed_is_named_and_a_twin_has_none(workspace: Path) -> None:
    done = bibench("profile", *QUICK, "--json", cwd=workspace.parent)
    fp32, bnn = json.loads(done.stdout)["rows"]
    assert fp32["kernel"] is None
    assert bnn["kernel"] in ("default", "reference", "indirect")


def test_raw_samples_are_added_to_the_store(workspace: Path) -> None:
    for _ in range(2):
        assert bibench("profile", *QUICK, cwd=workspace.parent).returncode == 0
    contents = Store.of_workspace(workspace).read()
    assert contents.damaged == ()
    assert sorted(row.variant for row in contents.rows) == ["bnn", "bnn", "fp32", "fp32"]
    assert all(len(row.samples_ns) >= 5 for row in contents.rows)
    assert all(row.warmup_runs >= 3 for row in contents.rows)


def test_named_artefacts_are_measured_and_no_others(workspace: Path, tmp_path: Path) -> None:
    artefact = workspace / "tiny.larq.tflite"
    out = tmp_path / "elsewhere"
    done = bibench("profile", artefact, "--workspace", out, *QUICK, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [row["variant"] for row in json.loads(done.stdout)["rows"]] == ["bnn"]
    assert len(Store.of_workspace(out).read().rows) == 1


def test_the_workspace_of_the_environment_is_taken(workspace: Path, tmp_path: Path) -> None:
    folder = workspace.rename(tmp_path / "mine")
    done = bibench("profile", *QUICK, "--json", cwd=tmp_path, BIBENCH_WORKSPACE=str(folder))
    assert len(json.loads(done.stdout)["rows"]) == 2


def test_changes_of_function_and_missing_verification_are_marked(tmp_path: Path) -> None:
    folder = tmp_path / "bibench-workspace"
    add_artefact(folder, "bnn", changes=["conv1: pads +1"], verified=False)
    done = bibench("profile", *QUICK, cwd=tmp_path)
    assert "bnn ≠ ?" in done.stdout
    assert "computes another function than its model: conv1: pads +1" in done.stdout
    (row,) = json.loads(bibench("profile", *QUICK, "--json", cwd=tmp_path).stdout)["rows"]
    assert (row["changes"], row["verified"]) == (["conv1: pads +1"], False)


def test_more_threads_than_cores_run_with_a_warning(workspace: Path) -> None:
    threads = str(len(os.sched_getaffinity(0)) + 1)
    done = bibench(
        "profile", workspace / "tiny.larq.tflite", "--threads", threads, *QUICK, cwd=workspace.parent
    )
    assert done.returncode == 0
    assert f"oversubscribed: {threads} threads" in " ".join(done.stderr.split())
    assert "oversubscribed" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--threads", "0"), "between 1 and 1024"),
        (("--threads", "two"), "neither a number nor a range"),
        (("--min-time", "0"), "between 0 and 3600"),
        (("--min-time", "nan"), "between 0 and 3600"),
        (("--min-runs", "0"), "between 1 and 1000000"),
        (("--device", "rpi44"), "unknown device 'rpi44'"),
        (("--device", "local,"), "an empty name"),
        (("--tag", "nightly"), "no device has the tag 'nightly'"),
        (("--inventory", "absent.toml", "--device", "rpi4"), "no such inventory"),
        (("--device", "rpi4"), "none of the artefacts can be executed on it"),
        (("--timeout", "0"), "--timeout"),
        (("--cool-down", "warm"), "'warm' is no temperature to wait for"),
        (("--profiles", "absent"), "no such folder of device profiles"),
        (("--workspace", "absent"), "no such workspace"),
        (("absent.tflite",), "no such file"),
        (("bibench-workspace/tiny.larq.tflite.json",), "a manifest, not an artefact"),
        (("bibench-workspace",), "no such file"),
        (("--no-such-option",), "No such option"),
    ],
)
def test_wrong_usage_ends_with_2_and_a_reason(workspace: Path, arguments: tuple[str, ...], why: str) -> None:
    done = bibench_here("profile", *arguments, cwd=workspace.parent)
    assert done.returncode == 2
    assert why in " ".join(done.stderr.split())
    assert is_clean(done.stderr)
    assert done.stdout == ""
    assert not Store.of_workspace(workspace).path.exists()


def test_a_profile_of_ones_own_is_known(workspace: Path, tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    text = 'format = 1\nid = "mine"\nname = "my board"\narch = "aarch64"\nsource = "its label"\n'
    (tmp_path / "p" / "mine.toml").write_text(text, encoding="utf-8")
    done = bibench_here("profile", "--device", "mine", "--profiles", "p", cwd=tmp_path)
    assert done.returncode == 2
    assert "error: mine: none of the artefacts can be executed on it" in done.stderr


def test_an_empty_workspace_says_how_to_fill_it(tmp_path: Path) -> None:
    (tmp_path / "bibench-workspace").mkdir()
    done = bibench_here("profile", cwd=tmp_path)
    assert done.returncode == 2
    assert "holds no artefacts" in done.stderr
    assert "bibench-deploy convert" in done.stderr


def damaged_artefact(artefact: Path) -> str:
    artefact.write_bytes(artefact.read_bytes()[:-1])
    return "sha256 is not the one in its manifest"


def damaged_manifest(artefact: Path) -> str:
    manifest_path(artefact).write_text('{"engine": "larq"', encoding="utf-8")
    return "not a manifest of this tool"


def foreign_manifest(artefact: Path) -> str:
    manifest_path(artefact).write_text('{"name": "package"}', encoding="utf-8")
    return "not a manifest of this tool"


def lost_artefact(artefact: Path) -> str:
    artefact.unlink()
    return "there is no such file"


@pytest.mark.parametrize("damage", [damaged_artefact, damaged_manifest, foreign_manifest, lost_artefact])
def test_a_damaged_artefact_is_named_before_anything_is_measured(workspace: Path, damage: object) -> None:
    artefact = workspace / "tiny.larq.tflite"
    assert callable(damage)
    why = damage(artefact)
    done = bibench_here("profile", *QUICK, cwd=workspace.parent)
    assert done.returncode == 2
    assert why in done.stderr
    assert artefact.name in done.stderr
    assert is_clean(done.stderr)
    assert not Store.of_workspace(workspace).path.exists()


def test_an_engine_without_a_runner_is_a_failure_and_the_rest_is_measured(workspace: Path) -> None:
    add_artefact(workspace, "bnn", name="other", engine="tomorrow")
    done = bibench("profile", *QUICK, "--json", cwd=workspace.parent)
    assert done.returncode == 2
    assert "engine 'tomorrow'" in done.stderr
    assert len(json.loads(done.stdout)["rows"]) == 2


def test_an_artefact_that_the_engine_refuses_is_a_failure_of_the_engine(workspace: Path) -> None:
    """A flatbuffer that is none, with a manifest that is true of it."""
    data = b"TFL3" * 100
    artefact = add_artefact(
        workspace, name="broken", sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data)
    )
    artefact.write_bytes(data)
    done = bibench("profile", *QUICK, "--json", cwd=workspace.parent)
    assert done.returncode == 3, done.stderr
    assert "broken.larq.tflite" in done.stderr
    assert is_clean(done.stderr)
    assert len(json.loads(done.stdout)["rows"]) == 2


def test_a_workspace_that_may_not_be_written_is_refused_before_measuring(workspace: Path) -> None:
    workspace.chmod(0o555)
    done = bibench("profile", *QUICK, cwd=workspace.parent, prefix=ORDINARY)
    workspace.chmod(0o755)
    assert done.returncode == 2
    assert "permission" in done.stderr.lower()
    assert is_clean(done.stderr)


def test_a_full_disk_keeps_the_rows_that_fitted(tmp_path: Path) -> None:
    """Half a second of the tiny model is tens of thousands of samples."""
    artefact = add_artefact(tmp_path)
    with small_disk(tmp_path / "disk", "128k") as disk:
        first = bibench("profile", artefact, "--workspace", disk, *QUICK, cwd=tmp_path)
        assert first.returncode == 0, first.stderr
        second = bibench("profile", artefact, "--workspace", disk, "--min-runs", "100000", cwd=tmp_path)
        assert second.returncode == 3
        assert "the disk is full" in second.stderr
        assert is_clean(second.stderr)
        contents = Store.of_workspace(disk).read()
    assert len(contents.rows) == 1
    assert contents.damaged == ()


def test_a_store_that_is_a_folder(workspace: Path) -> None:
    Store.of_workspace(workspace).path.mkdir()
    done = bibench_here("profile", *QUICK, cwd=workspace.parent)
    assert done.returncode == 2
    assert "results.sqlite: not a regular file" in done.stderr
    assert is_clean(done.stderr)


def test_ctrl_c_keeps_what_was_measured(tmp_path: Path) -> None:
    """The signal comes when the first of two models is done; the second then needs seconds yet."""
    workspace = tmp_path / "bibench-workspace"
    add_artefact(workspace, name="a", source=SourceModel(file="a.onnx", sha256="a" * 64))
    add_artefact(workspace, name="b", source=SourceModel(file="b.onnx", sha256="b" * 64))
    store = Store.of_workspace(workspace)
    with started("profile", "--min-time", "4", "--fresh", cwd=tmp_path) as process:
        deadline = time.monotonic() + 120
        while not store.read().rows:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "1 finished measurement is kept" in " ".join(err.split())
    assert "the same command without --fresh continues there" in " ".join(err.split())
    assert is_clean(err)
    assert out == ""
    contents = store.read()
    assert [row.model for row in contents.rows] == ["a"]
    assert contents.damaged == ()


def test_layers_and_cores_of_this_machine(converted: Path, tmp_path: Path) -> None:
    """The native engine tells its layers and is pinned; the table of cores knows no x86-64 ones to predict from."""
    core = str(max(os.sched_getaffinity(0)))
    artefact = converted / "tiny.native.bbm"
    options = ("--per-op", "--cpus", core, "--workspace", "w", *QUICK)
    shown = bibench("profile", artefact, *options, cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert "layers of tiny bnn native, local, 1 thread" in shown.stdout
    assert "a bare loop of XOR, popcount, add measured between them" in shown.stdout
    done = bibench("profile", artefact, *options, "--json", "--threads", "2", cwd=tmp_path)
    (row,) = json.loads(done.stdout)["rows"]
    assert (row["cpus"], row["cores"], row["context"]["affinity"]) == (core, 1, core)
    assert row["oversubscribed"]
    layers = {layer["kind"]: layer for layer in row["operators"]}
    assert {"binary", "float"} <= set(layers)
    assert all(layers[kind]["percent_of_ceiling"] > 0 for kind in ("binary", "float"))
    assert all(layer["read_gbs"] > 0 for layer in layers.values())
    assert sum(layer["share"] for layer in row["operators"]) == pytest.approx(1)


def test_cores_that_are_not_there_are_wrong_usage(converted: Path, tmp_path: Path) -> None:
    done = bibench_here(
        "profile", converted / "tiny.native.bbm", "--cpus", "900", "--workspace", "w", cwd=tmp_path
    )
    assert done.returncode == 2
    assert "--cpus: '900': there is no core 900" in " ".join(done.stderr.split())
