"""Changes to the inventory's file: a device added or removed, all that the user wrote around it kept."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bibench_deploy.errors import InputError
from bibench_deploy.files import make_folder, write_atomically

from .inventory import HostEntry, Inventory, default_path, parse_inventory, read_entry

if TYPE_CHECKING:
    from tomlkit import TOMLDocument


def add_device(path: Path | None, name: str, keys: Mapping[str, Any], *, replace: bool = False) -> Inventory:
    """Add a device to an inventory, which is made if it is missing.

    Args:
        path: the file; None stands for the user's own.
        keys: of ``HostEntry``; those left out are not written.
        replace: whether a device of this name may be there already.

    Returns:
        The inventory as it is now.

    Raises:
        InputError: a key that can't be, a device of this name is there, or the file is no inventory.
        OutputPathError, StorageError: it can't be written.
    """
    file, document, before = _open(path)
    entry = read_entry(name, dict(keys), file)
    if name in before.entries and not replace:
        raise InputError(
            f"there is a device '{name}' already",
            where=before.where(name),
            remedy="choose another name, or replace it with --force",
        )
    _merge(_table(document, name), keys)
    return _write(file, document, expected={**before.entries, name: entry})


def remove_device(path: Path | None, name: str) -> Inventory:
    """Remove a device from an inventory, with the comments in its table.

    Returns:
        The inventory as it is now.

    Raises:
        InputError: there is no such device, or the file is no inventory.
        OutputPathError, StorageError: it can't be written.
    """
    file, document, before = _open(path)
    if name not in before.entries:
        raise InputError(
            f"no device '{name}' in the inventory",
            where=str(before.path),
            remedy=f"it has: {', '.join(before.entries) or 'none'}",
        )
    del document["devices"][name]
    left = {other: entry for other, entry in before.entries.items() if other != name}
    return _write(file, document, expected=left)


def _open(path: Path | None) -> tuple[Path, TOMLDocument, Inventory]:
    """The file itself (not a link to it, which stays), its text with comments, and what it says."""
    import tomlkit

    file = (path or default_path()).resolve()
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        data = b""
    except OSError as error:
        raise InputError(
            f"can't be read ({error.strerror})", where=str(file), remedy="choose a file"
        ) from error
    before = parse_inventory(data, file)
    return file, tomlkit.parse(data.decode("utf-8")), before


def _table(document: TOMLDocument, name: str) -> Any:
    """The device's table, made if it is missing."""
    import tomlkit

    devices = document.setdefault("devices", tomlkit.table(is_super_table=True))
    if name not in devices:
        inline = isinstance(devices, tomlkit.items.InlineTable)
        devices[name] = tomlkit.inline_table() if inline else tomlkit.table()
    return devices[name]


def _merge(table: Any, keys: Mapping[str, Any]) -> None:
    """Let a table have these keys and no others; what stays the same keeps its place and comment."""
    for key in [key for key in table if key not in keys]:
        del table[key]
    for key, value in keys.items():
        table[key] = value


def _write(file: Path, document: TOMLDocument, expected: Mapping[str, HostEntry]) -> Inventory:
    import tomlkit

    data = tomlkit.dumps(document).encode("utf-8")
    by_hand = InputError(
        "the file is written in a way that can't be changed here", where=str(file), remedy="edit it by hand"
    )
    # Dotted keys are among TOML's spellings that tomlkit does not change rightly.
    try:
        after = parse_inventory(data, file)
    except InputError as error:
        raise by_hand from error
    if dict(after.entries) != expected:
        raise by_hand
    if file == default_path().resolve():
        make_folder(
            file.parent, "give a file of your own by --inventory, or a folder in the variable XDG_CONFIG_HOME"
        )
    write_atomically(file, data)
    return after
