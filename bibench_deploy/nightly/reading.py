"""The text of a plan: understood, or every mistake in it with its line."""

from __future__ import annotations

import copy
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bibench_deploy.errors import InputError

from .mistakes import Mistake, of_schema, refuse
from .plan import TABLES, Plan
from .toml_lines import Place, lines_of


@dataclass(frozen=True)
class Partial:
    """What is left of a plan without what is wrong in it, so that the rest can be looked at, too.

    Attributes:
        models, devices: for each entry that is left, its number in the file.
    """

    plan: Plan
    models: Sequence[int]
    devices: Sequence[int]

    def written(self, place: Place) -> Place:
        """A place of ``plan`` as one of the file."""
        numbers = {"models": self.models, "devices": self.devices}.get(str(place[0])) if place else None
        if numbers is None or len(place) < 2:
            return place
        return (place[0], numbers[int(place[1])], *place[2:])


@dataclass(frozen=True)
class Read:
    """A plan's text as it was understood.

    Attributes:
        plan: None where it has mistakes.
        partial: the plan, or what is left without them; None where that is none.
        lines: in which each key stands.
        mistakes: that the schema sees.
    """

    plan: Plan | None
    partial: Partial | None
    lines: Mapping[Place, int]
    mistakes: tuple[Mistake, ...] = ()


def plan_text(path: Path) -> str:
    """The text of a plan's file.

    Raises:
        InputError: it can't be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"can't be read ({error})", where=str(path), remedy="give the file of a plan"
        ) from error


def parse_plan(text: str, where: str) -> Plan:
    """A plan from its text.

    Args:
        where: its file.

    Raises:
        InputError: it is wrong; every mistake with its line.
    """
    read = understand(text, where)
    refuse(read.mistakes, where)
    assert read.plan is not None, "a plan without a mistake is one"
    return read.plan


def understand(text: str, where: str) -> Read:
    """A plan's text with all mistakes that the schema sees.

    Args:
        where: its file, for the plan's name.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        return Read(None, None, {}, (_not_toml(str(error), text),))
    lines = lines_of(text)
    document.setdefault("name", Path(where).stem)
    try:
        plan = Plan.model_validate(document)
    except ValidationError as error:
        details = error.errors()
        mistakes = tuple(of_schema(details, lines, TABLES))
        return Read(None, _rest(document, [tuple(detail["loc"]) for detail in details]), lines, mistakes)
    return Read(plan, Partial(plan, range(len(plan.models)), range(len(plan.devices))), lines)


def _rest(document: dict[str, Any], wrong: Sequence[Place]) -> Partial | None:
    """A plan without the keys that are wrong, and without the entries that then lack one."""
    document = copy.deepcopy(document) | {"format": 1}
    numbers = {
        table: list(range(len(document[table])))
        for table in ("models", "devices")
        if isinstance(document.get(table), list)
    }
    for _ in range(_ROUNDS):
        gone = {place[:2] for place in dict.fromkeys(place[:3] for place in wrong) if _drop(document, place)}
        for table, kept in numbers.items():
            left = [number for number in range(len(kept)) if (table, number) not in gone]
            document[table] = [document[table][number] for number in left]
            numbers[table] = [kept[number] for number in left]
        try:
            plan = Plan.model_validate(document)
        except ValidationError as error:
            wrong = [tuple(detail["loc"]) for detail in error.errors()]
        else:
            return Partial(plan, numbers["models"], numbers["devices"])
    return None


#: First the keys go that are wrong, then the entries that lack one, then lists that are left empty: for nothing.
_ROUNDS = 3


def _drop(document: dict[str, Any], place: Place) -> bool:
    """Remove a key; whether the entry of an array as a whole has to go instead."""
    table = document.get(str(place[0]))
    if isinstance(table, list):
        if len(place) < 2 or not isinstance(place[1], int):  # called too short: its entries are wrong
            return False
        entry = table[place[1]]
        if len(place) > 2 and isinstance(entry, dict) and place[2] in entry:
            del entry[place[2]]
            return False
        return True
    if isinstance(table, dict) and len(place) >= 2 and place[1] in table:
        del table[place[1]]
    else:
        document.pop(str(place[0]), None)
    return False


def _not_toml(said: str, text: str) -> Mistake:
    """tomllib's message ends with "(at line 3, column 5)" or "(at end of document)"."""
    found = re.search(r" \(at (?:line (\d+), column \d+|end of document)\)$", said)
    line = int(found[1]) if found and found[1] else text.count("\n") + 1
    return Mistake((), f"not TOML: {said[: found.start()] if found else said}", line)
