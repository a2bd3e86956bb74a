"""TOML text to validated data, and what is told to the user whose file is wrong."""

from __future__ import annotations

import tomllib
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from bibench_deploy.errors import InputError, did_you_mean

Model = TypeVar("Model", bound=BaseModel)


def parse_toml(data: bytes, where: str) -> dict[str, Any]:
    """The document in a TOML file.

    Raises:
        InputError: not UTF-8 or not TOML; names line and column.
    """
    try:
        return tomllib.loads(data.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"not a TOML file ({error})", where=where, remedy="correct it") from error


def validated(model: type[Model], data: object, *, what: str, where: str, remedy: str) -> Model:
    """``data`` as a ``model``.

    Args:
        what: what the file should hold, for the message.
        where: file, and table in it.
        remedy: what to do where the mistake is not a misspelt key.

    Raises:
        InputError: names the first field that is wrong, and why.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or what
        if first["type"] != "extra_forbidden":
            message = first["msg"].removeprefix("Value error, ")
            if first["type"] == "string_pattern_mismatch":  # the pattern itself is no help
                message = f"{first['input']!r} has not the form that is needed"
            raise InputError(
                f"not a valid {what} ({field}: {message})", where=where, remedy=remedy
            ) from error
        if len(first["loc"]) == 1:
            known = list(model.model_fields)
            remedy = did_you_mean(field, known).strip() or f"its keys are: {', '.join(known)}"
        raise InputError(f"not a valid {what} ({field}: unknown key)", where=where, remedy=remedy) from error
