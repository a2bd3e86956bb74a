"""``bibench-deploy zoo``."""

from __future__ import annotations

import typer

app = typer.Typer(help="Binarized operators and architectures: list, export, train.", no_args_is_help=True)
