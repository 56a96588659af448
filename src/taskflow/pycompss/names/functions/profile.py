"""Memory profiles."""

from taskflow.functions.profile import Profile, profile

PROFILE = profile

__all__ = ["PROFILE", "Profile", "profile"]
