"""Training learns, stops at any step, and goes on as if it had not stopped."""

from __future__ import annotations

import dataclasses
import json
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from bibench_deploy.errors import InputError
from bibench_deploy.zoo import checkpoint as checkpoints
from bibench_deploy.zoo.build import ModelSpec
from bibench_deploy.zoo.checkpoint import Checkpoint, Recipe
from bibench_deploy.zoo.data import ImageData, from_npz
from bibench_deploy.zoo.training import Callbacks, EpochReport, train

pytestmark = pytest.mark.zoo

CLASSES = 4


@pytest.fixture(scope="module")
def npz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """320 noisy images of 8×8; the class is the quadrant that is brighter."""
    random = np.random.default_rng(0)
    labels = random.integers(0, CLASSES, 320)
    images = random.integers(0, 120, (320, 8, 8)).astype(np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[4 * (label // 2) :, 4 * (label % 2) :][:4, :4] += 100
    path = tmp_path_factory.mktemp("data") / "quadrants.npz"
    np.savez(path, images=images, labels=labels)
    return path


@pytest.fixture(scope="module")
def data(npz: Path) -> ImageData:
    return from_npz(npz)


def _recipe(data: ImageData, algorithm: str = "bireal", epochs: int = 2) -> Recipe:
    spec = ModelSpec("vgg-tiny", algorithm, data.dataset)
    return Recipe(spec, epochs=epochs, batch_size=48, lr=2e-3, seed=0, data_fingerprint=data.fingerprint)


@pytest.mark.parametrize("algorithm", ["fp32", "reactnet", "fda"])
def test_it_learns(data: ImageData, tmp_path: Path, algorithm: str) -> None:
    reports: list[EpochReport] = []
    state = train(
        _recipe(data, algorithm, epochs=5),
        data,
        tmp_path / "c.ckpt",
        resume=False,
        callbacks=Callbacks(epoch=reports.append),
    )
    assert [report.epoch for report in reports] == [1, 2, 3, 4, 5]
    assert reports[-1].loss < reports[0].loss
    assert state.finished
    assert state.accuracy is not None
    assert state.accuracy > 0.9  # chance is 0.25
    assert state.test_images == 32


# 288 images in batches of 48: 6 steps an epoch. FDA and ReCU schedule something, XNOR++ sizes itself.
@pytest.mark.parametrize("algorithm", ["bireal", "xnorpp", "recu", "fda"])
@pytest.mark.parametrize("stop", [1, 6, 8])
def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(
    data: ImageData, tmp_path: Path, algorithm: str, stop: int
) -> None:
    recipe = _recipe(data, algorithm)
    whole = train(recipe, data, tmp_path / "whole.ckpt", resume=False)
    done = 0

    def count(step: int, total: int) -> None:
        nonlocal done
        done = step
        assert total == 12

    path = tmp_path / "stopped.ckpt"
    stopped = train(
        recipe, data, path, resume=False, callbacks=Callbacks(step=count, stop=lambda: done >= stop)
    )
    assert (stopped.finished, stopped.step) == (False, stop)
    resumed = train(recipe, data, path, resume=True)
    assert resumed.accuracy == whole.accuracy
    assert list(resumed.model) == list(whole.model)
    assert all(torch.equal(resumed.model[name], whole.model[name]) for name in whole.model)


def test_a_finished_run_is_not_run_again(data: ImageData, tmp_path: Path) -> None:
    path = tmp_path / "c.ckpt"
    first = train(_recipe(data), data, path, resume=False)

    def never(step: int, total: int) -> None:
        raise AssertionError("a step was made")

    again = train(_recipe(data), data, path, resume=True, callbacks=Callbacks(step=never))
    assert (again.accuracy, again.step) == (first.accuracy, first.step)


def test_what_can_not_be_resumed_is_refused(data: ImageData, tmp_path: Path) -> None:
    recipe, path = _recipe(data), tmp_path / "c.ckpt"
    with pytest.raises(InputError, match="no such checkpoint"):
        train(recipe, data, path, resume=True)
    train(recipe, data, path, resume=False, callbacks=Callbacks(stop=lambda: True))
    with pytest.raises(InputError, match="unfinished run"):
        train(recipe, data, path, resume=False)
    with pytest.raises(InputError, match="epochs: 3, in the checkpoint 2"):
        train(dataclasses.replace(recipe, epochs=3), data, path, resume=True)
    with pytest.raises(InputError, match="larger than the training set"):
        train(dataclasses.replace(recipe, batch_size=289), data, tmp_path / "d.ckpt", resume=False)


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04cut"])
def test_files_that_are_no_checkpoint(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "c.ckpt"
    path.write_bytes(content)
    with pytest.raises(InputError, match="not a checkpoint"):
        checkpoints.load(path)


def test_a_checkpoint_of_something_else_is_refused_and_not_executed(tmp_path: Path) -> None:
    path = tmp_path / "c.ckpt"
    for foreign in ({"state_dict": {}}, {"bibench_checkpoint": 1}, torch.nn.Linear(1, 1)):
        torch.save(foreign, path)
        with pytest.raises(InputError, match="not a checkpoint"):
            checkpoints.load(path)


def test_a_checkpoint_round_trips(data: ImageData, tmp_path: Path) -> None:
    written = Checkpoint(_recipe(data), 3, {"w": torch.ones(2)}, {"state": {}}, 0.5, 7, data.mean, data.std)
    checkpoints.save(written, tmp_path / "c.ckpt")
    read = checkpoints.load(tmp_path / "c.ckpt")
    assert torch.equal(read.model.pop("w"), written.model.pop("w"))
    assert read == written


@pytest.mark.slow
def test_ctrl_c_says_how_to_go_on_and_going_on_gives_the_same_file(npz: Path, tmp_path: Path) -> None:
    def command(name: str) -> list[str]:
        options = ["--data", str(npz), "--epochs", "8", "--batch-size", "24", "-a", "recu"]
        return ["zoo", "train", "vgg-tiny", *options, "-o", str(tmp_path / name)]

    whole = _run([*command("whole.onnx"), "--json"])
    assert whole.returncode == 0, whole.stderr
    running = subprocess.Popen(
        _launch(command("stopped.onnx")), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert running.stderr is not None
    assert running.stderr.readline().startswith("epoch 1")
    running.send_signal(signal.SIGINT)
    _, rest = running.communicate(timeout=60)
    assert running.returncode == 130, rest
    assert {path.name for path in tmp_path.iterdir()} == {"whole.onnx", "whole.ckpt", "stopped.ckpt"}
    assert not checkpoints.load(tmp_path / "stopped.ckpt").finished

    printed = rest.splitlines()[-1].strip()
    program, *arguments = shlex.split(printed)
    assert program == "bibench-deploy"
    resumed = _run(arguments)
    assert resumed.returncode == 0, resumed.stderr
    assert (tmp_path / "stopped.onnx").read_bytes() == (tmp_path / "whole.onnx").read_bytes()
    properties = {entry.key: entry.value for entry in onnx.load(tmp_path / "whole.onnx").metadata_props}
    assert float(properties["bibench.accuracy"]) == pytest.approx(json.loads(whole.stdout)["accuracy"])
    assert properties["bibench.accuracy_images"] == "32"
    assert float(properties["bibench.input_std"]) > 0


def _launch(arguments: list[str]) -> list[str]:
    return [sys.executable, "-m", "bibench_deploy.cli.app", *arguments]


def _run(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(_launch(arguments), capture_output=True, text=True, timeout=120, check=False)
