"""Every environment variable, typed and frozen, each with its description and default.

`load` reads them from a mapping, never from `os.environ` by itself, and reports all mistakes in one
error.
"""

from gbproxy.settings.documentation import Documented, documented
from gbproxy.settings.entries import AccountSettings, ModelSettings
from gbproxy.settings.environment import LEGACY_IGNORED, RESERVED
from gbproxy.settings.errors import SettingsError
from gbproxy.settings.fields import Settings
from gbproxy.settings.loading import load
from gbproxy.settings.types import STATUS_LINES

__all__ = [
    "LEGACY_IGNORED",
    "RESERVED",
    "STATUS_LINES",
    "AccountSettings",
    "Documented",
    "ModelSettings",
    "Settings",
    "SettingsError",
    "documented",
    "load",
]
