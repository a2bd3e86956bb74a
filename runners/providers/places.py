"""What a place of labgrid is as a device. Pure: labgrid's places and resources in, devices or a refusal out.

========================  ==================================================================================
of the device             comes from
========================  ==================================================================================
name                      the place's name
profile                   the place's tag ``profile``, else the inventory's entry of the same name
host, port, user          the place's NetworkService (address, port, username)
jump host                 the inventory's entry, else the exporter that says it has to be passed through
key, known_hosts, workdir the inventory's entry of the same name, if there is one
tags                      the place's tags with the value ``yes``
========================  ==================================================================================
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from bibench_deploy.device_profiles import Device, DeviceProfile, HostEntry, Inventory, find_profile
from bibench_deploy.device_profiles.inventory import check_name, is_name
from bibench_deploy.errors import InputError, PermanentDeviceError, UnreachableError

from .coordinator import ResourcePath

PROFILE_TAG = "profile"
#: What a tag without a value means: ``--tag nightly`` are the places with the tag nightly=yes.
YES = "yes"
SERVICE = "NetworkService"
#: Of several services of a place the one that is named so by its match.
SERVICE_NAME = "ssh"
#: The place that labgrid's exporters tell for a resource that failed to start.
_BROKEN = "<broken>"
_SHOWN = 20
_DOCUMENT = "see docs/lab/labgrid.md"


def chosen(names: Sequence[str], tags: Sequence[str], places: Mapping[str, Any], where: str) -> list[str]:
    """The names of the places that are meant: those named, then those that have any of the tags; each once.

    Args:
        names: of places, or aliases.
        tags: ``KEY=VALUE``, or ``KEY`` for KEY=yes.
        where: the lab, for messages.

    Raises:
        InputError: an unknown name or tag, or an alias of several places.
    """
    wanted = dict.fromkeys(_named(name, places, where) for name in names)
    for tag in tags:
        wanted |= dict.fromkeys(_tagged(tag, places, where))
    return list(wanted)


def profile_of(place: Any, inventory: Inventory) -> str | None:
    """Id or alias of the profile of a place; None where nothing says it."""
    entry = inventory.entries.get(place.name)
    return place.tags.get(PROFILE_TAG) or (entry.profile if entry else None)


def device_of(
    place: Any,
    service: Mapping[str, Any] | None,
    inventory: Inventory,
    profiles: Mapping[str, DeviceProfile],
    where: str,
) -> Device:
    """The device that a place is.

    Args:
        service: parameters of its NetworkService; None where they aren't known: its host is its name then.

    Raises:
        InputError: it has no profile, or no name that a device can have.
        PermanentDeviceError: its service is nothing that ssh could reach.
    """
    here = f"{where}, place {place.name}"
    check_name(place.name, here)
    entry = inventory.entries.get(place.name)
    profile = profile_of(place, inventory)
    if profile is None:
        raise InputError(
            f"nothing says which board it is: it has no tag '{PROFILE_TAG}', and {inventory.path} has no device "
            "of that name",
            where=here,
            remedy=f"labgrid-client -p {place.name} set-tags {PROFILE_TAG}=rpi4 (or another profile)",
        )
    known = find_profile(profile, profiles, where=here)
    groups = tuple(sorted(tag for tag, value in place.tags.items() if value == YES and is_name(tag)))
    facts = {"profile": profile, "tags": groups}
    return Device(place.name, known, _reached(service or {"address": place.name}, entry, facts, here))


def offered_service(place: Any, resources: Mapping[ResourcePath, Any], where: str) -> Mapping[str, Any]:
    """The parameters of the NetworkService that a place would have now.

    Raises:
        PermanentDeviceError: there is none, or there are several.
    """
    offered = [path for path in resources if place.hasmatch(path) and path[2] == SERVICE]
    return _service(place, offered, resources, f"{where}, place {place.name}")


def acquired_service(place: Any, resources: Mapping[ResourcePath, Any], where: str) -> Mapping[str, Any]:
    """The parameters of an acquired place's NetworkService.

    Raises:
        UnreachableError: its exporter has gone.
        PermanentDeviceError: it has none, or several.
    """
    services = [path for path in map(_tuple, place.acquired_resources) if path[2] == SERVICE]
    return _service(place, services, resources, f"{where}, place {place.name}")


def missing_match(place: Any, resources: Iterable[ResourcePath], where: str) -> UnreachableError | None:
    """The error of a place one of whose matches is offered by no exporter; None if all are there."""
    match = place.unmatched(list(resources))
    if match is None:
        return None
    return _gone(f"no exporter offers {match!r} now", f"{where}, place {place.name}")


def occupied(place: Any, resources: Mapping[ResourcePath, Any]) -> list[str]:
    """What keeps a free place from being acquired, in words: what another place has of it, and what is broken."""
    matched = sorted(path for path, entry in resources.items() if entry.acquired and place.hasmatch(path))
    return [
        f"{'/'.join(path)} is "
        + (
            "broken"
            if resources[path].acquired == _BROKEN
            else f"acquired by place {resources[path].acquired}"
        )
        for path in matched
    ]


def holder(place: Any, reservations: Iterable[Any]) -> str:
    """Who has a place, in words."""
    if place.acquired:
        return str(place.acquired)
    owner = next((one.owner for one in reservations if one.token == place.reservation), None)
    return f"{owner}, who has reserved it" if owner else "others, who asked for it before"


def _named(name: str, places: Mapping[str, Any], where: str) -> str:
    if name in places:
        return name
    found = sorted(known for known, place in places.items() if name in place.aliases)
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(
            f"'{name}' is an alias of several places: {', '.join(found)}",
            where=where,
            remedy="name one of them",
        )
    raise InputError(
        f"there is no place '{name}'",
        where=where,
        remedy=f"the places are: {_listed(sorted(places))}"
        if places
        else "make one: labgrid-client -p NAME create",
    )


def _tagged(tag: str, places: Mapping[str, Any], where: str) -> list[str]:
    key, given, value = tag.partition("=")
    value = value if given else YES
    found = sorted(place.name for place in places.values() if place.tags.get(key) == value)
    if not found:
        known = {f"{key}={value}" for place in places.values() for key, value in place.tags.items()}
        raise InputError(
            f"no place has the tag {key}={value}",
            where=where,
            remedy=f"the tags are: {_listed(sorted(known))}"
            if known
            else f"labgrid-client -p PLACE set-tags {key}={value}",
        )
    return found


def _service(
    place: Any, services: Sequence[ResourcePath], resources: Mapping[ResourcePath, Any], here: str
) -> Mapping[str, Any]:
    if not services:
        raise PermanentDeviceError(
            f"it has no {SERVICE}, which would tell its address",
            where=here,
            remedy=f"export one: {_DOCUMENT}",
        )
    called = [path for path in services if place.getmatch(path).rename == SERVICE_NAME]
    several = called or services
    if len(several) > 1:
        paths = ", ".join("/".join(path) for path in several)
        raise PermanentDeviceError(
            f"it has {len(several)} of the kind {SERVICE}: {paths}",
            where=here,
            remedy=f"labgrid-client -p {place.name} add-named-match EXPORTER/GROUP/{SERVICE}/NAME {SERVICE_NAME}",
        )
    entry = resources.get(several[0])
    if entry is None:
        raise _gone(f"the exporter of {'/'.join(several[0])} has gone", here)
    params: Mapping[str, Any] = entry.params
    return params


def _reached(
    service: Mapping[str, Any], entry: HostEntry | None, facts: Mapping[str, Any], here: str
) -> HostEntry:
    address, extra = str(service.get("address", "")), service.get("extra") or {}
    if "%" in address:
        raise PermanentDeviceError(
            f"its address {address} holds on its exporter only",
            where=here,
            remedy="export an address that can be reached through the exporter (labgrid-exporter --isolated)",
        )
    ours = entry.model_dump(exclude_unset=True) if entry else {}
    proxy = extra.get("proxy") if extra.get("proxy_required") else None
    theirs = {"host": address, "port": service.get("port"), "user": service.get("username"), **facts}
    known = {key: value for key, value in theirs.items() if value is not None}
    try:
        return HostEntry.model_validate({"jump": proxy} | ours | known)
    except ValidationError as error:
        wrong = ", ".join(f"{'.'.join(map(str, one['loc']))} {one['input']!r}" for one in error.errors())
        raise PermanentDeviceError(
            f"its {SERVICE} can't be reached by ssh: {wrong}",
            where=here,
            remedy="correct the exporter's file",
        ) from error


def _gone(what: str, here: str) -> UnreachableError:
    return UnreachableError(
        what, where=here, remedy="see that labgrid-exporter runs, and what labgrid-client resources tells"
    )


def _tuple(path: Sequence[str]) -> ResourcePath:
    exporter, group, cls, name = path
    return exporter, group, cls, name


def _listed(words: Sequence[str]) -> str:
    more = f" and {len(words) - _SHOWN} more" if len(words) > _SHOWN else ""
    return ", ".join(words[:_SHOWN]) + more
