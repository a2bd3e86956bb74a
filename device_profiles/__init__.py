"""Facts about boards and chips, one TOML each, and the user's inventory of his own."""

from .cores import CoreType, features, load_cores
from .inventory import Device, HostEntry, Inventory, read_inventory, split_names
from .profile import LOCAL, Cluster, DeviceProfile, find_profile, load_profiles
from .reach import Reach

__all__ = [
    "LOCAL",
    "Cluster",
    "CoreType",
    "Device",
    "DeviceProfile",
    "HostEntry",
    "Inventory",
    "Reach",
    "features",
    "find_profile",
    "load_cores",
    "load_profiles",
    "read_inventory",
    "split_names",
]
