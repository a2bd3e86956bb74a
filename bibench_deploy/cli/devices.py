"""``bibench-deploy devices``: which boards there are, how they are reached, and what they really are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from bibench_deploy.cli import console, device_checks, device_clean
from bibench_deploy.cli.device_options import missing_files
from bibench_deploy.cli.options import JsonOption
from bibench_deploy.cli.targets import InventoryOption, LabOption, ProfilesOption, TagOption
from bibench_deploy.errors import InputError

app = typer.Typer(
    help="Boards: your inventory, what they are, what is wrong with them.", no_args_is_help=True
)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of the device.")]


@app.command("add")
def add(
    name: NameArgument,
    host: Annotated[
        str, typer.Option("--host", metavar="HOST", help="Address, name, or an alias of ~/.ssh/config.")
    ],
    profile: Annotated[
        str | None,
        typer.Option("--profile", metavar="ID", help="What board it is; by default the one that NAME says."),
    ] = None,
    user: Annotated[str | None, typer.Option("--user", help="Login on the device.")] = None,
    port: Annotated[int | None, typer.Option("--port", help="Port of its sshd.")] = None,
    key: Annotated[Path | None, typer.Option("--key", metavar="FILE", help="Private key file.")] = None,
    known_hosts: Annotated[
        Path | None,
        typer.Option("--known-hosts", metavar="FILE", help="Host keys, instead of your own file."),
    ] = None,
    jump: Annotated[
        str | None, typer.Option("--jump", metavar="[USER@]HOST[:PORT]", help="Jump host, as ssh's -J.")
    ] = None,
    workdir: Annotated[
        str | None,
        typer.Option("--workdir", metavar="DIR", help="Folder on the device; relative to its home."),
    ] = None,
    tag: Annotated[
        list[str] | None, typer.Option("--tag", metavar="TAG", help="A group to put it in (repeatable).")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a device of this name; comments stay.")
    ] = False,
    inventory: InventoryOption = None,
    profiles: ProfilesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put a device into the inventory. What is left out is looked up in ~/.ssh/config, then in the profile."""
    from bibench_deploy.cli.device_views import device_document
    from bibench_deploy.device_profiles import find_profile, load_cores, load_profiles
    from bibench_deploy.device_profiles.inventory_file import add_device
    from bibench_deploy.device_profiles.profile import profile_names

    known = load_profiles(profiles or [])
    if profile is None and name not in profile_names(known):
        raise InputError(
            f"which board is '{name}'?",
            where=f"devices add {name}",
            remedy=f"say it with --profile, one of: {', '.join(sorted(known))}",
        )
    board = find_profile(profile or name, known, where="--profile")
    keys: dict[str, Any] = {
        "profile": profile or name,
        "host": host,
        "user": user,
        "port": port,
        "key": _kept_path(key),
        "known_hosts": _kept_path(known_hosts),
        "jump": jump,
        "workdir": workdir,
        "tags": list(dict.fromkeys(tag or [])) or None,
    }
    after = add_device(
        inventory, name, {key: value for key, value in keys.items() if value is not None}, replace=force
    )
    device = after.device(name, known)
    for missing in missing_files(device):
        console.warn(missing)
    if as_json:
        document = device_document(device, load_cores(profiles or []))
        console.print_json({"inventory": str(after.path), "device": document})
        return
    _say(f"{name}: {board.name} at {device.host}, kept in {after.path}")


@app.command("remove")
def remove(name: NameArgument, inventory: InventoryOption = None, as_json: JsonOption = False) -> None:
    """Take a device out of the inventory. The device itself is not touched."""
    from bibench_deploy.device_profiles.inventory_file import remove_device

    after = remove_device(inventory, name)
    if as_json:
        console.print_json({"inventory": str(after.path), "removed": name, "left": list(after.entries)})
        return
    _say(f"{name}: no longer in {after.path}")


@app.command("list")
def list_(
    every: Annotated[
        bool, typer.Option("--all", help="Also every board whose facts are known, with its aliases.")
    ] = False,
    tag: TagOption = None,
    inventory: InventoryOption = None,
    profiles: ProfilesOption = None,
    lab: LabOption = None,
    as_json: JsonOption = False,
) -> None:
    """The devices of the inventory, or of a lab."""
    from bibench_deploy.cli.device_views import (
        device_document,
        devices_table,
        profile_document,
        profiles_table,
    )
    from bibench_deploy.device_profiles import load_cores, load_profiles, split_names
    from bibench_deploy.runners.providers import provider

    known, cores = load_profiles(profiles or []), load_cores(profiles or [])
    source = provider(lab, inventory, known)
    devices = source.resolve([] if tag else source.names(), split_names(tag or []))
    if as_json:
        document: dict[str, Any] = {
            "inventory": source.where,
            "devices": [device_document(device, cores) for device in devices],
        }
        if every:
            document["profiles"] = [profile_document(profile, cores) for profile in known.values()]
        console.print_json(document)
        return
    if devices:
        console.stdout().print(devices_table(devices))
    else:
        add = "a place of it needs a tag 'profile'" if lab else "add one with 'bibench-deploy devices add'"
        _say(f"no devices in {source.where}: {add}")
    if every:
        console.stdout().print(profiles_table(known.values(), cores))


@app.command("show")
def show(
    name: NameArgument,
    inventory: InventoryOption = None,
    profiles: ProfilesOption = None,
    as_json: JsonOption = False,
) -> None:
    """How a device is reached, and the facts of its profile, with their source."""
    from bibench_deploy.cli.device_options import chosen_devices
    from bibench_deploy.cli.device_views import device_document, print_device
    from bibench_deploy.device_profiles import load_cores

    cores = load_cores(profiles or [])
    (device,) = chosen_devices([name], [], inventory, profiles or [])
    if as_json:
        console.print_json(device_document(device, cores))
    else:
        print_device(device, cores, console.stdout())


def _say(line: str) -> None:
    # Paths must stay whole to be copied: no wrapping.
    console.stdout().print(line, soft_wrap=True, markup=False)


def _kept_path(path: Path | None) -> str | None:
    """A path as it is written into the inventory: of this folder, not of the inventory's; ``~`` stays."""
    if path is None:
        return None
    return str(path) if str(path).startswith("~") else str(path.absolute())


app.command("probe")(device_checks.probe)
app.command("doctor")(device_checks.doctor)
app.command("clean")(device_clean.clean)
