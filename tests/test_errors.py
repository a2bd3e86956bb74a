"""Every error has an exit code, one message, and a place in the one hierarchy."""

from __future__ import annotations

import inspect

import pytest

from bibench_deploy import errors

ALL = [
    member
    for _, member in inspect.getmembers(errors, inspect.isclass)
    if issubclass(member, errors.BibenchError) and member is not errors.BibenchError
]
CODES = {errors.RefusedError: 1, errors.InputError: 2, errors.InfrastructureError: 3}


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_the_exit_code_follows_from_the_branch(kind: type[errors.BibenchError]) -> None:
    (branch,) = [base for base in CODES if issubclass(kind, base)]
    assert kind.exit_code == CODES[branch]


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_the_documented_tree_names_every_error(kind: type[errors.BibenchError]) -> None:
    assert errors.__doc__ is not None
    assert f" {kind.__name__} " in errors.__doc__.replace("\n", " ")


@pytest.mark.parametrize(
    ("where", "remedy", "text"),
    [
        (None, None, "it broke"),
        ("a.onnx", None, "a.onnx: it broke"),
        (None, "repair it", "it broke\nrepair it"),
        ("a.onnx", "repair it", "a.onnx: it broke\nrepair it"),
    ],
)
def test_as_text(where: str | None, remedy: str | None, text: str) -> None:
    assert str(errors.ModelFileError("it broke", where=where, remedy=remedy)) == text


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            errors.DataError("it broke", where="a.npz", remedy="repair it"),
            "a.npz: it broke; repair it; besides",
        ),
        (OSError(28, "No space left on device"), "[Errno 28] No space left on device; besides"),
        (TypeError("no str"), "internal error (TypeError: no str); besides"),
    ],
)
def test_in_a_line(error: Exception, line: str) -> None:
    error.add_note("besides")
    assert errors.in_a_line(error) == line


def test_a_missing_extra_says_how_to_install_it() -> None:
    error = errors.MissingExtraError("larq", "converting for Larq")
    assert error.extra == "larq"
    assert str(error) == "converting for Larq needs the extra 'larq'\npip install 'bibench-deploy[larq]'"
