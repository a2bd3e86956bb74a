"""The libraries of the extra ``data``, loaded when they are needed."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from bibench_deploy.errors import InputError, MissingExtraError


def load(module: str, what: str) -> Any:
    """A module of pandas or pyarrow.

    Args:
        what: what needs it, for the message.

    Raises:
        MissingExtraError: it is not installed.
        InputError: it is, and does not fit what else is: pyarrow 24 and later need NumPy 2, LCE needs NumPy 1.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != module.partition(".")[0]:
            raise _unfit(module, what, error) from error
        raise MissingExtraError("data", what) from error
    except ImportError as error:
        raise _unfit(module, what, error) from error


def _unfit(module: str, what: str, error: ImportError) -> InputError:
    name = module.partition(".")[0]
    return InputError(
        f"{what} needs {name}, which is installed and can't be loaded ({error})",
        remedy=f"install a version of {name} that fits, such as pip install 'pyarrow<24' with NumPy 1",
    )
