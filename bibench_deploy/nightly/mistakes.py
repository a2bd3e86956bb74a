"""What is wrong with a plan: place, line and what to do, one a line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bibench_deploy.errors import InputError, did_you_mean

from .toml_lines import Place, line_of

if TYPE_CHECKING:
    from pydantic import BaseModel


@dataclass(frozen=True)
class Mistake:
    """One thing that is wrong, or worth a warning.

    Attributes:
        place: keys and numbers of entries; () for the plan as a whole.
        said: what is wrong, and what to do.
        line: from 1; None where it is not known.
        warning: whether the plan can be used all the same.
    """

    place: Place
    said: str
    line: int | None = None
    warning: bool = False

    @property
    def name(self) -> str:
        """The place, as ``models[1].engines``; entries of a list of words are named by their list."""
        place = (
            self.place[:-1]
            if self.place and isinstance(self.place[-1], int) and len(self.place) > 2
            else self.place
        )
        parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in place]
        return "".join(parts).removeprefix(".") or "plan"

    def text(self, file: str) -> str:
        """As compilers write it: ``lab.toml:12: models[1].engines: no engine 'lark'``."""
        where = f"{file}:{self.line}" if self.line else file
        return f"{where}: {'warning: ' if self.warning else ''}{self.name}: {self.said}"

    def as_json(self) -> dict[str, Any]:
        """For ``plan check --json``."""
        return {
            "line": self.line,
            "place": self.name,
            "message": self.said,
            "severity": "warning" if self.warning else "error",
        }


def in_order(mistakes: Iterable[Mistake]) -> list[Mistake]:
    """By line, each once; those of the plan as a whole last."""
    return sorted(dict.fromkeys(mistakes), key=lambda mistake: (mistake.line is None, mistake.line or 0))


def of_schema(
    details: Iterable[Mapping[str, Any]], lines: Mapping[Place, int], tables: Mapping[str, type[BaseModel]]
) -> list[Mistake]:
    """What pydantic found.

    Args:
        details: a ``ValidationError``'s.
        tables: the model of each table, by its key; "" for the plan itself.
    """
    found = [(tuple(detail["loc"]), detail) for detail in details]
    return [
        Mistake(place, _said(detail, place, tables), line_of(place, lines))
        for place, detail in found
        # A list whose entries are all wrong is called too short besides.
        if detail["type"] != "too_short" or not any(_inside(other, place) for other, _ in found)
    ]


def _inside(place: Place, other: Place) -> bool:
    return len(place) > len(other) and place[: len(other)] == other


def refuse(mistakes: Iterable[Mistake], file: str) -> None:
    """Say all mistakes at once; warnings alone are none.

    Raises:
        InputError: there are some.
    """
    found = [mistake for mistake in in_order(mistakes) if not mistake.warning]
    if not found:
        return
    lines = "\n".join(mistake.text(file) for mistake in found)
    count = f"{len(found)} mistakes" if len(found) > 1 else "a mistake"
    raise InputError(
        f"{count} in the plan\n{lines}", where=file, remedy="correct it; 'bibench-deploy plan check' explains"
    )


def _said(detail: Mapping[str, Any], place: Place, tables: Mapping[str, type[BaseModel]]) -> str:
    if detail["type"] == "missing":
        return "is needed"
    if detail["type"] != "extra_forbidden":
        return str(detail["msg"]).removeprefix("Value error, ")
    table = next((part for part in place[:-1] if isinstance(part, str)), "")
    known = list(tables[table].model_fields) if table in tables else []
    meant = did_you_mean(str(place[-1]), known).strip()
    return f"unknown key; {meant or 'the keys are ' + ', '.join(known)}"
