"""Facts about boards and chips, one TOML each."""

from .profile import Cluster, DeviceProfile, find_profile, load_profiles

__all__ = ["Cluster", "DeviceProfile", "find_profile", "load_profiles"]
