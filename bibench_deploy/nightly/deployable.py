"""Which engines take which models: the answer of ``check``, for many models at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bibench_deploy.errors import BibenchError, InputError, NotDeployableError

from .conversion import Task, known
from .making import sentence
from .pools import Pool


@dataclass(frozen=True)
class Verdict:
    """What is to be said of a model on an engine; nothing if it is deployable.

    Attributes:
        reasons: why it is not deployable.
        error: why it can't be read.
    """

    reasons: tuple[str, ...] = ()
    error: str | None = None


@dataclass(frozen=True)
class _Question:
    model: Path
    engines: tuple[str, ...]
    allow: tuple[str, ...]


def verdicts(
    tasks: Iterable[Task], workspace: Path, pool: Pool, say: Callable[[str], None] = lambda message: None
) -> dict[tuple[Path, str], Verdict]:
    """The verdict on each task: of its conversion, if that was made before; else the model is read and judged.

    Raises:
        InfrastructureError: the pool can't be opened.
    """
    found: dict[tuple[Path, str], Verdict] = {}
    left: dict[tuple[Path, tuple[str, ...]], list[str]] = {}
    for task in tasks:
        try:
            kept = known(task, workspace)
        except BibenchError:  # its data or its engine is missing: the model can be read all the same
            kept = None
        if kept is None:
            left.setdefault((task.model, task.allow), []).append(task.engine)
        else:
            found[task.model, task.engine] = Verdict(tuple(kept.record.refused))
    questions = [_Question(model, tuple(engines), allow) for (model, allow), engines in left.items()]
    if len(questions) == 1:  # not worth a process
        say(f"reading {questions[0].model.name}")
        return found | _by_engine(questions[0], _answer(questions[0]))
    if questions:
        with pool() as executor:
            answers = executor.map(_answer, questions)
            for number, (question, answer) in enumerate(zip(questions, answers, strict=True), start=1):
                say(f"read {number} of {len(questions)}: {question.model.name}")
                found |= _by_engine(question, answer)
    return found


def _by_engine(question: _Question, answer: Mapping[str, Verdict]) -> dict[tuple[Path, str], Verdict]:
    return {(question.model, engine): verdict for engine, verdict in answer.items()}


def _answer(question: _Question) -> dict[str, Verdict]:
    from bibench_deploy.conversion import no_binary_layer
    from bibench_deploy.converters.capabilities import load
    from bibench_deploy.converters.deployability import Allowed, assess, parse_allow
    from bibench_deploy.converters.fusion import fuse
    from bibench_deploy.converters.reader import read

    try:
        graph = fuse(read(question.model))
        if not graph.binary_layers:
            raise no_binary_layer(graph)
        try:
            allowed = parse_allow(question.allow)
        except InputError:  # which ``checks`` says
            allowed = Allowed()
        return {
            engine: Verdict(tuple(map(sentence, assess(graph, load(engine), allowed).reasons)))
            for engine in question.engines
        }
    except NotDeployableError as error:
        return dict.fromkeys(question.engines, Verdict((error.message,)))
    except BibenchError as error:
        return dict.fromkeys(question.engines, Verdict(error=error.message))
