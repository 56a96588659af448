"""Memory profiles."""

from taskflow.pycompss.placeholders import missing

Profile = missing("Profile")
profile = missing("profile")
PROFILE = missing("PROFILE")
