"""gbproxy: a gateway to the models behind your own Gemini Business account, compatible with OpenAI,
Anthropic and Google.

As a library:

    from gbproxy import ChatRequest, Message, Settings, TextDelta, TextPart, open_gateway

    settings = Settings(accounts=[{"name": "mine", "secure_c_ses": "…", …}])
    with open_gateway(settings) as gateway:
        for event in gateway.stream(ChatRequest((Message("user", (TextPart("Hello"),)),))):
            if isinstance(event, TextDelta):
                print(event.text, end="")

What is named here is loaded when it is first used: the command's help needs none of it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gbproxy.app import create_app
    from gbproxy.domain.attachment import Attachment, LinkedAttachment
    from gbproxy.domain.chat import ChatRequest, Message, TextPart, ToolCallPart, ToolResultPart
    from gbproxy.domain.events import (
        Answer,
        ChatEvent,
        Citation,
        Done,
        FileOutput,
        Flush,
        Refusal,
        Started,
        TextDelta,
        ThoughtDelta,
        ToolCallDelta,
        ToolCallStarted,
        Usage,
    )
    from gbproxy.domain.response_format import ResponseFormat
    from gbproxy.domain.tools import CustomTool, FunctionTool, ToolChoice, Tools
    from gbproxy.errors import GatewayError
    from gbproxy.library import LocalGateway, load_settings, open_gateway
    from gbproxy.settings import AccountSettings, ModelSettings, Settings, SettingsError
    from gbproxy.storage.prepare import CannotBeUsed
    from gbproxy.version import __version__

__all__ = [
    "AccountSettings",
    "Answer",
    "Attachment",
    "CannotBeUsed",
    "ChatEvent",
    "ChatRequest",
    "Citation",
    "CustomTool",
    "Done",
    "FileOutput",
    "Flush",
    "FunctionTool",
    "GatewayError",
    "LinkedAttachment",
    "LocalGateway",
    "Message",
    "ModelSettings",
    "Refusal",
    "ResponseFormat",
    "Settings",
    "SettingsError",
    "Started",
    "TextDelta",
    "TextPart",
    "ThoughtDelta",
    "ToolCallDelta",
    "ToolCallPart",
    "ToolCallStarted",
    "ToolChoice",
    "ToolResultPart",
    "Tools",
    "Usage",
    "__version__",
    "create_app",
    "load_settings",
    "open_gateway",
]

_HOMES = {
    "app": ("create_app",),
    "domain.attachment": ("Attachment", "LinkedAttachment"),
    "domain.chat": ("ChatRequest", "Message", "TextPart", "ToolCallPart", "ToolResultPart"),
    "domain.response_format": ("ResponseFormat",),
    "domain.tools": ("CustomTool", "FunctionTool", "ToolChoice", "Tools"),
    "errors": ("GatewayError",),
    "library": ("LocalGateway", "load_settings", "open_gateway"),
    "settings": ("AccountSettings", "ModelSettings", "Settings", "SettingsError"),
    "storage.prepare": ("CannotBeUsed",),
    "version": ("__version__",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'gbproxy' has no attribute {name!r}")
    home = import_module(f"gbproxy.{_HOME_OF.get(name, 'domain.events')}")
    return getattr(home, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
