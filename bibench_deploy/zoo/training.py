"""Train a small network, stop at any step, and go on as if nothing had happened.

Adam, cross entropy, a cosine from lr to 0; latent weights are clipped to ±1 after each step (BNN, Alg. 1).
The order of the images is a function of seed and epoch alone, so a resumed run sees what it would have seen.
An epoch leaves out the images that would not fill a batch; they differ from epoch to epoch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bibench_deploy.errors import InputError
from bibench_deploy.zoo import checkpoint as checkpoints
from bibench_deploy.zoo.build import binary_layers, build, deploy, set_progress
from bibench_deploy.zoo.checkpoint import Checkpoint, Recipe
from bibench_deploy.zoo.data import ImageData

EVALUATION_BATCH = 500


@dataclass(frozen=True)
class EpochReport:
    """What an epoch ended with: its number from 1, mean loss, share of its images classified right."""

    epoch: int
    loss: float
    accuracy: float


@dataclass(frozen=True)
class Callbacks:
    """How a caller follows a run and stops it.

    Attributes:
        step: called after each step with steps done and steps in all.
        epoch: called after each epoch.
        stop: asked after each step; True ends the run with a checkpoint.
    """

    step: Callable[[int, int], None] = lambda done, total: None
    epoch: Callable[[EpochReport], None] = lambda report: None
    stop: Callable[[], bool] = lambda: False


def train(
    recipe: Recipe, data: ImageData, path: Path, *, resume: bool, callbacks: Callbacks | None = None
) -> Checkpoint:
    """Run to the end or until stopped; either way the last state is in the checkpoint file.

    Args:
        recipe: of the run.
        data: its training set is the recipe's.
        path: checkpoint file; written after each epoch and when stopped.
        resume: go on from the file instead of starting anew.
        callbacks: how to follow and stop the run.

    Returns:
        The last state; ``finished`` tells whether the run came to its end.

    Raises:
        InputError: nothing to resume, a checkpoint of another recipe, an unfinished one that would be lost,
            or a batch larger than the training set.
    """
    callbacks = callbacks or Callbacks()
    if recipe.batch_size > len(data.train_images):
        raise InputError(
            f"a batch of {recipe.batch_size} is larger than the training set of {len(data.train_images)}",
            where="--batch-size",
            remedy="choose a smaller batch",
        )
    model = build(recipe.spec, seed=recipe.seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=recipe.lr)
    state = _start(recipe, data, path, resume, model, optimizer)
    if state.finished:
        return state
    images, labels = torch.from_numpy(data.train_images), torch.from_numpy(data.train_labels)
    normalize = Normalizer(data.mean, data.std)
    steps = len(images) // recipe.batch_size
    used = steps * recipe.batch_size
    total = steps * recipe.epochs
    model.train()
    while state.step < total:
        epoch, index = divmod(state.step, steps)
        set_progress(model, (epoch + 1) / recipe.epochs)
        order = _order(recipe.seed, epoch, len(images))
        for first in range(index * recipe.batch_size, used, recipe.batch_size):
            chosen = order[first : first + recipe.batch_size]
            for group in optimizer.param_groups:
                group["lr"] = recipe.lr / 2 * (1 + math.cos(math.pi * state.step / total))
            logits = model(normalize(images[chosen]))
            loss = F.cross_entropy(logits, labels[chosen])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            _clip(model)
            state.step += 1
            state.epoch_loss += loss.item() * len(chosen)
            state.epoch_right += int((logits.argmax(1) == labels[chosen]).sum())
            callbacks.step(state.step, total)
            if state.step % steps and callbacks.stop():
                return _saved(state, model, optimizer, path)
        report = EpochReport(epoch + 1, state.epoch_loss / used, state.epoch_right / used)
        state.epoch_loss, state.epoch_right = 0.0, 0
        _saved(state, model, optimizer, path)
        callbacks.epoch(report)
        if callbacks.stop() and state.step < total:
            return state
    deploy(model)  # the saved state stays in its training form, which build() makes
    state.accuracy = accuracy(model, data)
    state.test_images = len(data.test_images)
    checkpoints.save(state, path)
    return state


def accuracy(model: nn.Module, data: ImageData) -> float:
    """Share of the test images that a model in evaluation mode classifies right."""
    normalize = Normalizer(data.mean, data.std)
    right = 0
    with torch.no_grad():
        for first in range(0, len(data.test_images), EVALUATION_BATCH):
            part = slice(first, first + EVALUATION_BATCH)
            predicted = model(normalize(torch.from_numpy(data.test_images[part]))).argmax(1).numpy()
            right += int(np.count_nonzero(predicted == data.test_labels[part]))
    return right / len(data.test_images)


class Normalizer:
    """(images / 255 − mean) / std of uint8 (N, C, H, W), as float32.

    Args:
        mean, std: one value a channel.
    """

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        self._mean = torch.tensor(mean).view(1, -1, 1, 1)
        self._std = torch.tensor(std).view(1, -1, 1, 1)

    def __call__(self, images: Tensor) -> Tensor:
        return (images.float() / 255 - self._mean) / self._std


def _start(
    recipe: Recipe,
    data: ImageData,
    path: Path,
    resume: bool,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
) -> Checkpoint:
    if not resume:
        if path.exists() and not checkpoints.load(path).finished:
            raise InputError(
                "holds an unfinished run", where=str(path), remedy="go on with --resume, or remove the file"
            )
        return Checkpoint(recipe, 0, model.state_dict(), optimizer.state_dict(), mean=data.mean, std=data.std)
    state = checkpoints.load(path)
    different = checkpoints.differences(recipe, state.recipe)
    if different:
        raise InputError(
            f"a run can't change on the way ({'; '.join(different)})",
            where=str(path),
            remedy="resume with the options that it was started with",
        )
    model.load_state_dict(state.model)
    optimizer.load_state_dict(state.optimizer)
    return state


def _saved(state: Checkpoint, model: nn.Module, optimizer: torch.optim.Optimizer, path: Path) -> Checkpoint:
    state.model = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state.optimizer = optimizer.state_dict()
    checkpoints.save(state, path)
    return state


def _order(seed: int, epoch: int, count: int) -> Tensor:
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed * 1_000_003 + epoch))


def _clip(model: nn.Module) -> None:
    with torch.no_grad():
        for _, layer in binary_layers(model):
            weight = layer.get_parameter("weight")
            weight.clamp_(-1, 1)
