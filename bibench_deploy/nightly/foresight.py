"""A plan looked at without doing anything: what is wrong, what it means, how long it will take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from bibench_deploy.errors import BibenchError, InfrastructureError, InputError

from .checks import check_budget, check_models, look_up
from .conversion import Task, known, tasks
from .deployable import verdicts
from .estimate import Estimate, estimate, rule_of
from .expansion import Wanted, expand
from .kept import seconds_of
from .mistakes import Mistake, in_order
from .plan import Plan, store_of, workspace_of
from .pools import Pool, usable_cores
from .reading import plan_text, understand
from .toml_lines import line_of

if TYPE_CHECKING:
    from bibench_deploy.results import Row, Store
    from bibench_deploy.runners.providers import DeviceProvider

#: What jobs took longer ago was another model, or another board.
MEMORY = timedelta(days=14)

Say = Callable[[str], None]


@dataclass(frozen=True)
class Foresight:
    """What a night will be.

    Attributes:
        wanted: its jobs.
        stale: what has to be converted first.
    """

    wanted: tuple[Wanted, ...]
    stale: tuple[Task, ...]
    expected: Estimate


@dataclass(frozen=True)
class Checked:
    """A plan that was looked at.

    Attributes:
        foresight: of what is right in it; None where it is nothing.
    """

    mistakes: tuple[Mistake, ...]
    foresight: Foresight | None

    @property
    def ok(self) -> bool:
        """Whether the plan can be run."""
        return all(mistake.warning for mistake in self.mistakes)


def former(plan: Plan, store: Store, now: datetime | None = None) -> tuple[Row, ...]:
    """Rows of a plan's last nights.

    Raises:
        InputError, StoreError: the store can't be read.
    """
    from bibench_deploy.results import Selection

    since = (now or datetime.now(UTC)) - MEMORY
    return store.read(Selection(sessions=(f"{plan.name}/",), since=since)).rows


def foresee(
    plan: Plan,
    wanted: Sequence[Wanted],
    to_convert: Sequence[Task],
    workspace: Path,
    history: Sequence[Row],
) -> Foresight:
    """What some jobs of a plan will be.

    Args:
        to_convert: as ``conversion.tasks`` gives it for the jobs.
        history: as ``former`` gives it.
    """
    stale = tuple(task for task in to_convert if _is_stale(task, workspace))
    engines = {task.engine for task in stale}
    took = [seconds for engine in engines for seconds in seconds_of(workspace, engine)]
    cools_down = plan.measure.cool_down is not None
    expected = estimate(wanted, rule_of(plan), history, len(stale), took, usable_cores(), cools_down)
    return Foresight(tuple(wanted), stale, expected)


def _is_stale(task: Task, workspace: Path) -> bool:
    try:
        return known(task, workspace) is None
    except BibenchError:  # it will be reported as one that failed, and takes no time
        return False


def check(
    path: Path,
    provider: DeviceProvider,
    pool: Pool,
    store: str | None = None,
    say: Say = lambda message: None,
) -> Checked:
    """All that can be said of a plan.

    Args:
        pool: where models are read.
        store: the user's choice, which goes before the plan's.
        say: told of progress.

    Raises:
        InputError: the file can't be read.
        InfrastructureError: the lab can't be asked, or the registry of engines is damaged.
    """
    read = understand(plan_text(path), str(path))
    if read.partial is None:
        return Checked(tuple(in_order(read.mistakes)), None)
    plan, partial, folder = read.partial.plan, read.partial, path.parent
    found = look_up(partial, read.lines, folder, provider)
    mistakes = [*read.mistakes, *found.mistakes]
    wanted = expand(plan, found.models, found.boards)
    to_convert = tasks(plan, found.models, folder, wanted)
    workspace = workspace_of(plan, path)
    judged = verdicts(to_convert, workspace, pool, say)
    mistakes += check_models(partial, read.lines, found.models, judged)
    history: Sequence[Row] = ()
    line = line_of(("store",), read.lines)
    if not any(mistake.place == ("store",) for mistake in mistakes):
        try:
            history = former(plan, store_of(plan, path, store))
        except InputError as error:  # a file that is no store, or a newer version's
            mistakes.append(Mistake(("store",), error.message, line))
        except InfrastructureError as error:
            said = f"{error.message}: no night before tells how long this one takes"
            mistakes.append(Mistake(("store",), said, line, warning=True))
    foresight = foresee(plan, wanted, to_convert, workspace, history)
    mistakes += check_budget(partial, read.lines, foresight.expected)
    return Checked(tuple(in_order(mistakes)), foresight)
