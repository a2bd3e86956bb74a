"""What every command shares: where output goes, how JSON is printed, how an error reads.

Tables and JSON go to stdout, progress and warnings to stderr.
"""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bibench_deploy.errors import BibenchError

if TYPE_CHECKING:
    from rich.console import Console

INTERRUPTED = 130
INTERNAL_ERROR = 70  # EX_SOFTWARE of sysexits.h: a bug of the tool itself


@dataclass
class Settings:
    """Options that hold for the whole process."""

    debug: bool = os.environ.get("BIBENCH_DEBUG", "") not in ("", "0")


settings = Settings()


def stdout() -> Console:
    """Console for tables."""
    from rich.console import Console

    return Console(highlight=False, emoji=False, soft_wrap=False)


def stderr() -> Console:
    """Console for progress and warnings."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, emoji=False)


def warn(message: str) -> None:
    """One warning line on stderr."""
    stderr().print(f"[yellow]warning:[/yellow] {_escape(message)}")


def print_json(document: Any) -> None:
    """One JSON document on stdout. Strict JSON: a NaN is a bug of the caller."""
    sys.stdout.write(json.dumps(document, indent=2, allow_nan=False) + "\n")


def guarded(command: Callable[[], object]) -> int:
    """Run the command line and return its exit code; every error becomes one message on stderr."""
    import typer

    try:
        command()
    except SystemExit as stop:
        if (interruption := _interruption(stop)) is not None:  # typer ends with 130 then, without a word
            _say_interrupted(interruption)
        return stop.code if isinstance(stop.code, int) else 1
    except (KeyboardInterrupt, typer.Abort) as error:
        _say_interrupted(_interruption(error) or error)
        return INTERRUPTED
    except BibenchError as error:
        return _report(error)
    except OSError as error:
        code = _report(_storage(error))
        _say_notes(error)
        return code
    except Exception as error:
        if (interruption := _interruption(error)) is not None:  # in the middle of importing a library
            _say_interrupted(interruption)
            return INTERRUPTED
        if settings.debug:
            raise
        _say(f"internal error ({type(error).__name__}: {error})")
        _say_notes(error)
        _say("this is a bug of bibench-deploy; run again with --debug and report the traceback")
        return INTERNAL_ERROR
    return 0


def _interruption(error: BaseException | None) -> KeyboardInterrupt | None:
    """The Ctrl-C that an error came of."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error


def _say_interrupted(interruption: BaseException) -> None:
    _say("interrupted; nothing half-written was left")
    _say_notes(interruption)
    # Python notes an interrupt inside of exec(), as of a library that is being imported, and with -m ends by the
    # signal then, whatever the exit code. The next exec() clears the note.
    exec("")


def _say_notes(error: BaseException) -> None:
    """What else went wrong: see `side_by_side`."""
    for note in getattr(error, "__notes__", ()):
        _say(f"  besides: {note}")


def _report(error: BibenchError) -> int:
    if settings.debug:
        import traceback

        traceback.print_exception(error)
    where = f"{error.where}: " if error.where else ""
    _say(f"error: {where}{error.message}")
    if error.remedy:
        _say(f"  what to do: {error.remedy}")
    _say_notes(error)
    return error.exit_code


def _storage(error: OSError) -> BibenchError:
    """An operating system's error that no stage gave a better name."""
    from bibench_deploy.errors import OutputPathError, StorageError

    where = str(error.filename) if error.filename else None
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageError("the disk is full", where=where, remedy="free some space and run it again")
    if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
        return OutputPathError(
            f"no permission ({os.strerror(error.errno)})", where=where, remedy="choose another folder"
        )
    return StorageError(str(error), where=where)


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)
