"""``bibench-deploy convert`` as its users meet it: files, JSON, exit codes, and what is left when it fails."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest

from bibench_deploy.cli import app as cli
from bibench_deploy.cli import console
from bibench_deploy.runners.workspace import read_artefact, read_workspace
from support.cli_nets import inputs, write_net
from support.command import COMMAND, bibench, environment, is_clean, started
from support.extras import needs
from support.onnx_models import execute

needs("larq_compute_engine", "larq")

pytestmark = pytest.mark.larq


class Result:
    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def convert(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """The command in this process: what LCE costs to import is paid once."""

    def run(*arguments: str | Path) -> Result:
        monkeypatch.setattr(sys, "argv", ["bibench-deploy", "convert", *map(str, arguments)])
        code = console.guarded(cli.app)
        captured = capfd.readouterr()
        return Result(code, captured.out, captured.err)

    return run


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


def test_a_model_becomes_verified_artefacts(tmp_path: Path) -> None:
    model = write_net(tmp_path / "net.onnx")
    x = inputs(6)
    np.savez(tmp_path / "data.npz", x=x, labels=np.arange(6))
    done = bibench(
        "convert",
        model,
        "-e",
        "larq",
        "-o",
        "out",
        "--data",
        "data.npz",
        "--save-graph",
        "--json",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)  # nothing but JSON
    assert "{" not in done.stderr
    assert document["refused"] == []
    assert names(tmp_path / "out") == {
        "net.graph.onnx",
        "net.larq.tflite",
        "net.larq.tflite.check.npz",
        "net.larq.tflite.json",
        "net-fp32.larq.tflite",
        "net-fp32.larq.tflite.check.npz",
        "net-fp32.larq.tflite.json",
    }
    binary, twin = document["artefacts"]
    assert [binary["variant"], twin["variant"]] == ["dorefa|bireal|recu|fda", "fp32"]
    for artefact, operators in ((binary, 2), (twin, 0)):
        data = (tmp_path / artefact["path"]).read_bytes()
        assert artefact["engine"] == "larq"
        assert artefact["sha256"] == hashlib.sha256(data).hexdigest()
        assert artefact["size_bytes"] == len(data)
        assert artefact["binary_ops"] == operators
        assert artefact["verified"] is True
        assert artefact["changes"] == []
        assert artefact["verification"]["problem"] is None
    assert binary["verification"]["data"]["rows"] == 6
    truth = np.concatenate([execute(onnx.load(model), {"x": x[i : i + 1]})["y"] for i in range(6)])
    accuracy = float((truth.argmax(1) == np.arange(6)).mean())
    assert binary["verification"]["data"]["accuracy"] == {"reference": accuracy, "artefact": accuracy}
    assert twin["size_bytes"] > binary["size_bytes"]

    manifest = read_artefact(tmp_path / "out" / "net.larq.tflite").manifest
    assert (manifest.engine, manifest.model, manifest.binary_ops, manifest.binary_layers) == (
        "larq",
        "net",
        2,
        2,
    )
    assert manifest.source.sha256 == hashlib.sha256(model.read_bytes()).hexdigest()
    assert manifest.verification == binary["verification"]
    assert {"bibench-deploy", "python", "onnx", "onnxruntime", "larq-compute-engine"} <= set(
        manifest.versions
    )
    assert [tensor.shape for tensor in manifest.inputs] == [[1, 3, 8, 8]]
    assert len(read_workspace(tmp_path / "out")) == 2

    saved = onnx.load(tmp_path / "out" / "net.graph.onnx")
    np.testing.assert_allclose(execute(saved, {"x": x[:1]})["y"], truth[:1], rtol=1e-3, atol=1e-3)


def test_for_people(convert: Callable[..., Result], tmp_path: Path) -> None:
    result = convert(write_net(tmp_path / "net.onnx"), "-o", tmp_path / "out", "--no-twin")
    assert result.code == 0
    text = " ".join(result.out.split())  # lines are broken where the terminal ends
    assert "net: 2 binary layers" in text
    assert "2 binary operators" in text
    assert "verified: " in text
    assert "executed by a semantic model of dabnn, not by its library" in text
    artefacts = {"net.larq.tflite", "net.native.bbm", "net.dabnn.dab"}
    beside = {f"{name}{suffix}" for name in artefacts for suffix in (".json", ".check.npz")}
    assert names(tmp_path / "out") == artefacts | beside


def test_the_workspace_is_the_environments_or_here(tmp_path: Path) -> None:
    model = write_net(tmp_path / "net.onnx")
    done = bibench(
        "convert", model, "-e", "larq", "--no-twin", cwd=tmp_path, BIBENCH_WORKSPACE=str(tmp_path / "mine")
    )
    assert done.returncode == 0, done.stderr
    assert "net.larq.tflite" in names(tmp_path / "mine")


def test_a_name_that_looks_like_markup(convert: Callable[..., Result], tmp_path: Path) -> None:
    model = write_net(tmp_path / "net[bold] [b].onnx")
    result = convert(model, "-o", tmp_path / "out", "--no-twin", "-e", "larq")
    assert result.code == 0, result.err
    assert "net[bold] [b]: 2 binary layers" in result.out
    assert "net[bold] [b].larq.tflite" in names(tmp_path / "out")


def test_a_model_that_no_engine_can_take(convert: Callable[..., Result], tmp_path: Path) -> None:
    model = write_net(tmp_path / "xnor.onnx", runtime_factor=True)
    result = convert(model, "-e", "larq", "-o", tmp_path / "out", "--json")
    assert result.code == 1
    document = json.loads(result.out)
    assert document["artefacts"] == []
    (refused,) = document["refused"]
    assert (refused["engine"], refused["verdict"]) == ("larq", "not_deployable")
    assert {reason["code"] for reason in refused["reasons"]} == {"runtime-factor"}
    assert all({"node", "layer", "code", "message", "remedy"} <= set(reason) for reason in refused["reasons"])
    assert names(tmp_path / "out") == set()
    text = convert(model, "-e", "larq", "-o", tmp_path / "out")
    assert text.code == 1
    assert "larq can't" in text.out


def test_a_model_without_binary_layers(convert: Callable[..., Result], tmp_path: Path) -> None:
    model = write_net(tmp_path / "fp32.onnx", binary=False)
    result = convert(model, "-o", tmp_path / "out", "--json")
    assert result.code == 1
    assert result.out == ""
    assert "no layer of this model is binary (2 look as if meant to be" in result.err
    assert "its input is binary, but its weights are real-valued" in result.err
    assert "what to do: a binary layer has weights of one magnitude a channel" in result.err
    assert names(tmp_path / "out") == set()


def test_a_change_that_is_allowed_is_written_down(convert: Callable[..., Result], tmp_path: Path) -> None:
    """torch.sign on bare sums of ±1, which are often 0."""
    model = write_net(tmp_path / "bare.onnx", sign="torch", scaled=False)
    refused = convert(model, "-e", "larq", "-o", tmp_path / "out", "--no-twin", "--json")
    assert refused.code == 1
    assert json.loads(refused.out)["refused"][0]["verdict"] == "changes_function"
    assert names(tmp_path / "out") == set()
    done = convert(
        model, "-e", "larq", "-o", tmp_path / "out", "--no-twin", "--json", "--allow", "sign-zero=+1"
    )
    assert done.code == 0, done.err
    (artefact,) = json.loads(done.out)["artefacts"]
    assert artefact["verified"]
    assert artefact["changes"]
    assert all("sign(0) becomes +1" in change for change in artefact["changes"])
    assert read_artefact(tmp_path / "out" / "bare.larq.tflite").manifest.changes == artefact["changes"]


def test_an_artefact_that_fails_its_verification_is_not_written(
    convert: Callable[..., Result], tmp_path: Path
) -> None:
    """The sign of exactly 0 is 0 in the model; the user's data holds zeros, which no random input does."""
    model = write_net(tmp_path / "net.onnx", sign="torch", first=True)
    out = tmp_path / "out"
    out.mkdir()
    (out / "net.larq.tflite").write_bytes(b"old")
    x = np.where(np.random.default_rng(0).random((4, 3, 8, 8)) < 0.3, 0, inputs(4)).astype(np.float32)
    np.savez(tmp_path / "data.npz", x=x)
    result = convert(model, "-e", "larq", "-o", out, "--data", tmp_path / "data.npz", "--json")
    assert result.code == 1
    assert result.out == ""
    assert "the artefact computes something else" in result.err
    assert "nothing was written" in result.err
    assert names(out) == {"net.larq.tflite"}
    assert (out / "net.larq.tflite").read_bytes() == b"old"
    assert "--allow sign-zero=+1" in result.err
    allowed = convert(
        model,
        "-e",
        "larq",
        "-o",
        out,
        "--data",
        tmp_path / "data.npz",
        "--allow",
        "sign-zero=+1",
        "--no-twin",
    )
    assert allowed.code == 0, allowed.err
    assert "changed" in allowed.out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--engine", "bolt"], "no engine 'bolt'"),
        (["--allow", "sign-zero=2"], "--allow sign-zero takes"),
        (["--allow", "padding"], "--allow padding takes"),
        (["--data", "nothing.npz"], "nothing.npz: there is no such file"),
        (["--data", "labels.npz"], "labels of shape (3,) for 4 rows"),
        (["--data", "other.npz"], "has the shape (4, 1, 8, 8)"),
        (["--data", "net.onnx"], "not an .npz file"),
        (["-o", "net.onnx"], "net.onnx: can't be written (File exists)"),
        (["-o", "net.onnx/out"], "can't be written (Not a directory)"),
    ],
)
def test_wrong_usage_ends_with_2(
    convert: Callable[..., Result],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    says: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_net(tmp_path / "net.onnx")
    np.savez(tmp_path / "labels.npz", x=inputs(4), labels=np.arange(3))
    np.savez(tmp_path / "other.npz", x=inputs(4)[:, :1])
    before = names(tmp_path)
    result = convert("net.onnx", *arguments)
    assert result.code == 2, result.err
    assert says in result.err
    assert "what to do" in result.err
    assert is_clean(result.err)
    assert result.out == ""
    assert not any("tflite" in name for name in names(tmp_path))
    assert names(tmp_path) - before <= {"bibench-workspace"}


# Trouble from outside


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users may enter, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_a_folder_without_permission(open_folder: Path) -> None:
    model = write_net(open_folder / "net.onnx")
    model.chmod(0o644)
    out = open_folder / "out"
    out.mkdir(mode=0o555)
    out.chmod(0o555)
    command = [*COMMAND, "convert", str(model), "-o", str(out)]
    if os.geteuid() == 0:  # whom no permission stops
        if shutil.which("setpriv") is None:
            pytest.skip("root without setpriv can't become someone else")
        command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *command]
    done = subprocess.run(
        command, cwd=open_folder, env=environment(HOME="/"), capture_output=True, text=True, check=False
    )
    assert done.returncode == 2, done.stderr
    assert f"{out}: can't be written (Permission denied)" in done.stderr
    assert is_clean(done.stderr)
    assert names(out) == set()


@pytest.mark.parametrize("room", [0, 8192], ids=["for nothing", "for a part"])
def test_a_full_disk(convert: Callable[..., Result], tmp_path: Path, room: int) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    out = tmp_path / "out"
    out.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(out)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this container may not mount file systems")
    try:
        (out / "net.larq.tflite").write_bytes(b"old")
        (out / "net.larq.tflite.json").write_bytes(b"{}")
        (out / "filler").write_bytes(b"x" * (64 * 1024 - 2 * 4096 - room))
        result = convert(write_net(tmp_path / "net.onnx"), "-e", "larq", "-o", out, "--no-twin")
        assert result.code == 3, result.err
        assert "the disk is full" in result.err
        assert is_clean(result.err)
        assert names(out) == {"net.larq.tflite", "net.larq.tflite.json", "filler"}
        assert (out / "net.larq.tflite").read_bytes() == b"old"
    finally:
        subprocess.run(["umount", "-l", out], check=True)


@pytest.mark.parametrize("later", [0.0, 0.7, 1.5])
def test_an_interrupt_leaves_everything_as_it_was(tmp_path: Path, later: float) -> None:
    """At a few moments behind the start of the work, which takes seconds; as a terminal's Ctrl-C does it."""
    model = write_net(tmp_path / "net.onnx", layers=8, channels=128, size=48)
    out = tmp_path / "out"
    out.mkdir()
    (out / "net.larq.tflite").write_bytes(b"old")
    with started("convert", model, "-e", "larq", "-o", out, cwd=tmp_path) as process:
        maps = Path(f"/proc/{process.pid}/maps")
        while process.poll() is None and "onnxruntime" not in maps.read_text():
            time.sleep(0.02)
        time.sleep(later)
        os.killpg(process.pid, signal.SIGINT)
        stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert "interrupted" in stderr
    assert is_clean(stderr)
    assert stdout == ""
    assert names(out) == {"net.larq.tflite"}
    assert (out / "net.larq.tflite").read_bytes() == b"old"


#: Hides a distribution and its modules from a whole interpreter, as if it were not installed.
HIDDEN = """
import importlib.metadata as metadata
import sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "larq_compute_engine":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Hidden())
found = metadata.MetadataPathFinder.find_distributions
def visible(context=metadata.DistributionFinder.Context()):
    return (d for d in found(context) if "larq" not in (d.metadata["Name"] or ""))
metadata.MetadataPathFinder.find_distributions = visible
"""


def test_an_engine_that_is_not_installed(tmp_path: Path) -> None:
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden" / "sitecustomize.py").write_text(HIDDEN)
    model = write_net(tmp_path / "net.onnx")
    done = bibench("convert", model, "-e", "larq", cwd=tmp_path, PYTHONPATH=str(tmp_path / "hidden"))
    assert done.returncode == 2, done.stderr
    assert "needs the extra 'larq'" in done.stderr
    assert "pip install 'bibench-deploy[larq]'" in done.stderr
    assert is_clean(done.stderr)
    assert names(tmp_path / "bibench-workspace") == set()


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    plain = bibench("convert", "nothing.onnx", cwd=tmp_path)
    assert (plain.returncode, is_clean(plain.stderr)) == (2, True)
    for done in (
        bibench("--debug", "convert", "nothing.onnx", cwd=tmp_path),
        bibench("convert", "nothing.onnx", cwd=tmp_path, BIBENCH_DEBUG="1"),
    ):
        assert done.returncode == 2
        assert "Traceback (most recent call last)" in done.stderr
        assert "ModelFileError" in done.stderr
        assert "nothing.onnx: there is no such file" in done.stderr
