"""Devices and profiles as JSON documents and as tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bibench_deploy.device_profiles import LOCAL, Cluster, CoreType, Device, DeviceProfile, features
from bibench_deploy.device_profiles.cores import cluster_ceiling
from bibench_deploy.device_profiles.reach import SSH_PORT

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

Cores = Mapping[str, CoreType]


def profile_document(profile: DeviceProfile, cores: Cores) -> dict[str, Any]:
    """A profile's facts, and what its core types add."""
    document = profile.model_dump(mode="json")
    document["features"] = sorted(features(profile, cores))
    document["clusters"] = [_cluster_document(cluster, cores) for cluster in profile.clusters]
    return document


def _cluster_document(cluster: Cluster, cores: Cores) -> dict[str, Any]:
    core = cores.get(cluster.core)
    return {
        **cluster.model_dump(mode="json"),
        "popcount_macs_per_cycle": core.popcount_ceiling if core else None,
        "popcount_gmacs": cluster_ceiling(cluster.core, cluster.max_mhz, cores),
        "ceiling_source": (core.source or None) if core else None,
    }


def device_document(device: Device, cores: Cores) -> dict[str, Any]:
    """A device: how it is reached, as far as the inventory and the profile say, and what it is."""
    entry = device.entry
    return {
        "device": device.name,
        "host": device.host,
        "reached_by": "inventory" if entry else "this machine" if device.name == LOCAL else "ssh alias",
        "workdir": device.workdir,
        "entry": entry.model_dump(mode="json") if entry else None,
        "profile": profile_document(device.profile, cores),
    }


def devices_table(devices: Sequence[Device]) -> Table:
    """One row a device."""
    from rich.markup import escape
    from rich.table import Column, Table

    table = Table("device", "board", Column("reached at", overflow="fold"), "tags")
    for device in devices:
        tags = ", ".join(device.entry.tags) if device.entry else ""
        table.add_row(device.name, device.profile.name, escape(_address(device)), tags or "-")
    return table


def _address(device: Device) -> str:
    entry = device.entry
    if entry is None:
        return "this machine" if device.name == LOCAL else f"ssh {device.name}"
    user = f"{entry.user}@" if entry.user else ""
    port = f":{entry.port}" if entry.port else ""
    host = f"[{entry.host}]" if port and ":" in entry.host else entry.host
    return f"{user}{host}{port}" + (f" by {entry.jump}" if entry.jump else "")


def profiles_table(profiles: Iterable[DeviceProfile], cores: Cores) -> Table:
    """One row a profile, one line a cluster; what is not known is left open."""
    from rich.table import Column, Table

    ceiling = Column("GMAC/s", justify="right")
    table = Table(Column("profile", no_wrap=True), "board", Column("cores", no_wrap=True), ceiling)
    for profile in profiles:
        ceilings = (cluster_ceiling(cluster.core, cluster.max_mhz, cores) for cluster in profile.clusters)
        table.add_row(
            profile.id,
            profile.name,
            "\n".join(_cluster(cluster) for cluster in profile.clusters) or "any",
            "\n".join("unknown" if value is None else f"{value:.0f}" for value in ceilings),
        )
    return table


def _cluster(cluster: Cluster) -> str:
    clock = f"{cluster.max_mhz} MHz" if cluster.max_mhz else "unknown clock"
    return f"{cluster.count} × {cluster.core}, {clock}"


def _ceiling(cluster: Cluster, cores: Cores) -> str:
    ceiling = cluster_ceiling(cluster.core, cluster.max_mhz, cores)
    known = "unknown" if ceiling is None else f"{ceiling:.0f} GMAC/s"
    return f"{_cluster(cluster)}; popcount ceiling of one: {known}"


def print_device(device: Device, cores: Cores, out: Console) -> None:
    """A device, one fact a line."""
    profile = device.profile
    memory = ", ".join(str(size) for size in profile.memory_mib)
    facts = {
        "device": device.name,
        "reached at": _address(device),
        "work folder": device.workdir,
        "tags": ", ".join(device.entry.tags) if device.entry else "",
        "board": f"{profile.name} (profile {profile.id})",
        "also called": ", ".join(profile.aliases),
        "system on chip": profile.soc or "",
        "architecture": profile.arch,
        "cores": "\n".join(_ceiling(cluster, cores) for cluster in profile.clusters),
        "extensions": " ".join(sorted(features(profile, cores))),
        "memory": f"{memory} MiB" if memory else "",
        "usual system": profile.os or "",
        "usual port": str(profile.reach.port) if profile.reach.port != SSH_PORT else "",
        "usual threads": ", ".join(map(str, profile.threads)),
        "in the paper": profile.published or "",
        "source": profile.source,
    }
    print_facts(facts, out)


def print_facts(facts: Mapping[str, str], out: Console) -> None:
    """Names and values in two columns, whole, so that they can be copied; empty values are left out."""
    shown = {name: value.splitlines() for name, value in facts.items() if value}
    width = max(map(len, shown))
    for name, (first, *others) in shown.items():
        for label, line in ((name, first), *(("", line) for line in others)):
            out.print(f"{label:{width}}  {line}", soft_wrap=True, markup=False)
