"""How boards of a kind usually are reached: what stands in for what a user leaves out."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

SSH_PORT = 22

#: Relative to the login's home: every system has one that its owner may write and, outside Android's shared
#: storage, execute from; /tmp is missing on Termux and often mounted noexec.
WORKDIR = ".cache/bibench-deploy"

Port = Annotated[int, Field(ge=1, le=65535)]
# Names that login(1) takes, and Android's (u0_a123); no leading dash, which a program would take as an option.
UserName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._@\\-]*$")]


def _work_folder(text: str) -> str:
    """A folder on a device; ``~/x`` is ``x``, since relative folders start at the login's home.

    Raises:
        ValueError: empty, the home or the root itself, a control character, or a step out by '..'.
    """
    folder = text.removeprefix("~/").rstrip("/")
    if not folder or folder == "~":
        raise ValueError("a folder of its own is needed, not the home or the root")
    if any(ord(letter) < ord(" ") or letter == "\x7f" for letter in folder):
        raise ValueError("a control character in a path")
    if ".." in folder.split("/"):
        raise ValueError("'..' in a path")
    if folder.startswith(("~", "$", "-")):
        raise ValueError("a path is not expanded by a shell: write it absolute, or relative to the home")
    return folder


WorkFolder = Annotated[str, AfterValidator(_work_folder)]


class Reach(BaseModel):
    """The usual way to a board.

    Attributes:
        user: login that the usual system comes with; None where it has none, or every user chooses one.
        port: TCP port of its sshd.
        workdir: folder for what is pushed: absolute, or relative to the login's home.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    user: UserName | None = None
    port: Port = SSH_PORT
    workdir: WorkFolder = WORKDIR
