"""Checkpoints of ``zoo train``: everything that a run needs to go on as if it had not stopped."""

from __future__ import annotations

import io
import pickle
import zipfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bibench_deploy.errors import InputError
from bibench_deploy.files import write_atomically
from bibench_deploy.zoo.build import ModelSpec
from bibench_deploy.zoo.registry import Dataset, OperatorOptions

FORMAT = 1


@dataclass(frozen=True)
class Recipe:
    """What determines a training run; a run resumes only under the recipe it began with.

    Attributes:
        spec: the model.
        epochs, batch_size, lr, seed: of the run; lr falls from here to 0 as a cosine.
        data_fingerprint: CRC-32 of the training set.
    """

    spec: ModelSpec
    epochs: int
    batch_size: int
    lr: float
    seed: int
    data_fingerprint: int


@dataclass
class Checkpoint:
    """State of a run after ``step`` optimizer steps.

    Attributes:
        recipe: of the run.
        step: steps done, over all epochs.
        model, optimizer: their state dictionaries.
        epoch_loss, epoch_right: summed loss and right answers since the epoch began.
        mean, std: of the data's channels.
        accuracy: on the test set, once finished.
        test_images: images in the test set.
    """

    recipe: Recipe
    step: int
    model: dict[str, Tensor]
    optimizer: dict[str, Any]
    epoch_loss: float = 0.0
    epoch_right: int = 0
    mean: tuple[float, ...] = field(default=())
    std: tuple[float, ...] = field(default=())
    accuracy: float | None = None
    test_images: int = 0

    @property
    def finished(self) -> bool:
        """Whether the run came to its end."""
        return self.accuracy is not None


def save(checkpoint: Checkpoint, path: Path) -> None:
    """Write atomically; errors as ``write_atomically``'s."""
    content = {name: getattr(checkpoint, name) for name in checkpoint.__dataclass_fields__}
    buffer = io.BytesIO()
    torch.save({"bibench_checkpoint": FORMAT, **content, "recipe": asdict(checkpoint.recipe)}, buffer)
    write_atomically(path, buffer.getvalue())


def load(path: Path) -> Checkpoint:
    """Read a checkpoint; nothing in the file is executed.

    Raises:
        InputError: missing, damaged, or not written by ``zoo train``.
    """
    foreign = InputError(
        "not a checkpoint of 'zoo train'", where=str(path), remedy="give the .ckpt file beside the model"
    )
    if not path.exists():
        raise InputError("no such checkpoint", where=str(path), remedy="check the path, or train anew")
    # torch.load takes other formats too, and fails on garbage with whatever its parser stumbles over.
    if not zipfile.is_zipfile(path):
        raise foreign
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as damaged:
        raise foreign from damaged
    if not isinstance(content, dict) or content.pop("bibench_checkpoint", None) != FORMAT:
        raise foreign
    try:
        recipe = content.pop("recipe")
        spec = recipe.pop("spec")
        dataset = spec.pop("dataset")
        shape: tuple[int, int, int] = tuple(dataset["input_shape"])
        model = ModelSpec(
            spec["arch"],
            spec["algorithm"],
            Dataset(dataset["id"], shape, dataset["classes"]),
            OperatorOptions(**spec["options"]),
        )
        return Checkpoint(recipe=Recipe(spec=model, **recipe), **content)
    except (KeyError, TypeError, AttributeError) as incomplete:
        raise foreign from incomplete


def differences(wanted: Recipe, found: Recipe) -> list[str]:
    """What two recipes differ in, as "epochs: 5, in the checkpoint 3"."""
    pairs = {
        "architecture": (wanted.spec.arch, found.spec.arch),
        "algorithm": (wanted.spec.algorithm, found.spec.algorithm),
        "data set": (wanted.spec.dataset, found.spec.dataset),
        "options": (wanted.spec.options, found.spec.options),
        "epochs": (wanted.epochs, found.epochs),
        "batch size": (wanted.batch_size, found.batch_size),
        "lr": (wanted.lr, found.lr),
        "seed": (wanted.seed, found.seed),
        "training images": (wanted.data_fingerprint, found.data_fingerprint),
    }
    return [f"{name}: {a}, in the checkpoint {b}" for name, (a, b) in pairs.items() if a != b]
