"""Every environment variable: type, default, description, and the rules that its text must keep.

`load` reads a mapping, never `os.environ` by itself, and reports all mistakes in one error.
"""

from gbproxy.settings.entries import AccountSettings, ModelSettings
from gbproxy.settings.environment import LEGACY_IGNORED
from gbproxy.settings.fields import Settings
from gbproxy.settings.loading import SettingsError, load
from gbproxy.settings.validators import STATUS_LINES

__all__ = [
    "LEGACY_IGNORED",
    "STATUS_LINES",
    "AccountSettings",
    "ModelSettings",
    "Settings",
    "SettingsError",
    "load",
]
