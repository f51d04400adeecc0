"""Programs with pages of settings: chats, automation, a home."""

from __future__ import annotations

from gbproxy.connect.program import Field, Format, Program, Way
from gbproxy.connect.program import translatable as _

_API_KEY = _("API key")
_MODEL = _("Model")
_API_HOST = _("API host")
_CUSTOM_MODELS = _("Custom models")
_PROXY = _("API proxy address")
_CONTAINER = _(
    "In a container 127.0.0.1 is the container itself: write host.docker.internal in its place, or"
    " the address of the gateway's machine."
)
_BROWSER = _(
    "Its page calls the gateway from the browser: the address has to be reachable from there."
)
_CHAT, _RESPONSES = "/v1/chat/completions", "/v1/responses"
_MESSAGES = "/v1/messages"
_GENERATE = "/v1beta/models/{model}:streamGenerateContent"


def _cherry(format_: Format, type_: str, path: str) -> Way:
    return Way(
        format=format_,
        base="{url}",
        path=path,
        menu=_("Settings → Model Provider → Add"),
        fields=(
            Field(_("Provider type"), type_),
            Field(_API_HOST, "{url}"),
            Field(_API_KEY, "{key}"),
            Field(_MODEL, "{model}"),
        ),
        notes=(_("It adds the rest of the path by itself: neither /v1 nor # at the end."),),
    )


_CHERRY_STUDIO = Program(
    "cherry-studio",
    "Cherry Studio",
    (
        _cherry("chat", "OpenAI", _CHAT),
        _cherry("responses", "OpenAI-Response", _RESPONSES),
        _cherry("anthropic", "Anthropic", _MESSAGES),
        _cherry("gemini", "Gemini", _GENERATE),
    ),
)

_OPEN_WEBUI = Program(
    "open-webui",
    "Open WebUI",
    (
        Way(
            format="chat",
            base="{url}/v1",
            path="/chat/completions",
            menu=_("Admin Settings → Connections → OpenAI API → Manage → Add Connection"),
            fields=(Field(_("URL"), "{url}/v1"), Field(_API_KEY, "{key}")),
            variables={"OPENAI_API_BASE_URL": "{url}/v1", "OPENAI_API_KEY": "{key}"},
            server=True,
            notes=(
                _CONTAINER,
                _(
                    "It keeps what was set on its page: the variables count at its first start only"
                    " (ENABLE_PERSISTENT_CONFIG)."
                ),
                _(
                    "It also asks for titles, tags and suggestions, which spend quota; its settings"
                    " switch them off."
                ),
            ),
        ),
    ),
)

_NEXTCHAT = Program(
    "nextchat",
    "NextChat",
    (
        Way(
            format="chat",
            base="{url}",
            path=_CHAT,
            menu=_("Settings → Custom Endpoint"),
            fields=(
                Field(_("Model provider"), "OpenAI"),
                Field(_("Endpoint"), "{url}"),
                Field(_API_KEY, "{key}"),
                Field(_CUSTOM_MODELS, "+{model}"),
            ),
            variables={
                "BASE_URL": "{url}",
                "OPENAI_API_KEY": "{key}",
                "CUSTOM_MODELS": "+{model}",
            },
            server=True,
            notes=(_BROWSER,),
        ),
        Way(
            format="gemini",
            base="{url}",
            path=_GENERATE,
            menu=_("Settings → Custom Endpoint"),
            fields=(
                Field(_("Model provider"), "Google"),
                Field(_("Endpoint"), "{url}"),
                Field(_API_KEY, "{key}"),
                Field(_CUSTOM_MODELS, "+{model}@google"),
            ),
            variables={
                "GOOGLE_URL": "{url}",
                "GOOGLE_API_KEY": "{key}",
                "CUSTOM_MODELS": "+{model}@google",
            },
            server=True,
            notes=(_BROWSER,),
        ),
    ),
)

_LOBECHAT = Program(
    "lobechat",
    "LobeChat",
    (
        Way(
            format="chat",
            base="{url}/v1",
            path="/chat/completions",
            menu=_("Settings → AI Service Provider → OpenAI"),
            fields=(
                Field(_API_KEY, "{key}"),
                Field(_PROXY, "{url}/v1"),
                Field(_("Model list"), "{model}"),
            ),
            variables={
                "OPENAI_PROXY_URL": "{url}/v1",
                "OPENAI_API_KEY": "{key}",
                "OPENAI_MODEL_LIST": "+{model}",
            },
            server=True,
            notes=(_BROWSER, _CONTAINER),
        ),
        Way(
            format="gemini",
            base="{url}",
            path=_GENERATE,
            menu=_("Settings → AI Service Provider → Google"),
            fields=(Field(_API_KEY, "{key}"), Field(_PROXY, "{url}")),
            variables={"GOOGLE_PROXY_URL": "{url}", "GOOGLE_API_KEY": "{key}"},
            server=True,
            notes=(_BROWSER, _CONTAINER),
        ),
    ),
)

_CHATBOX = Program(
    "chatbox",
    "ChatBox",
    (
        Way(
            format="chat",
            base="{url}",
            path=_CHAT,
            menu=_("Settings → Model Provider → Add"),
            fields=(
                Field(_("API mode"), _("OpenAI API compatible")),
                Field(_API_HOST, "{url}"),
                Field(_("API path"), _CHAT),
                Field(_API_KEY, "{key}"),
                Field(_MODEL, "{model}"),
            ),
        ),
        Way(
            format="gemini",
            base="{url}",
            path=_GENERATE,
            menu=_("Settings → Model Provider → Google Gemini"),
            fields=(Field(_API_HOST, "{url}"), Field(_API_KEY, "{key}")),
        ),
    ),
)

_N8N = Program(
    "n8n",
    "n8n",
    (
        Way(
            format="responses",
            base="{url}/v1",
            path="/responses",
            menu=_("Credentials → Create credential → OpenAI"),
            fields=(Field(_API_KEY, "{key}"), Field(_("Base URL"), "{url}/v1")),
            notes=(
                _(
                    "Its OpenAI node asks for Responses; other nodes have a switch for them, and"
                    " work either way. Choose the model in the node."
                ),
                _CONTAINER,
            ),
        ),
    ),
)

_HOME_ASSISTANT = Program(
    "home-assistant",
    "Home Assistant",
    (
        Way(
            format="chat",
            base="{url}",
            path=_CHAT,
            menu=_("Settings → Devices & services → Add integration → LiteLLM"),
            fields=(
                Field(_("URL"), "{url}"),
                Field(_API_KEY, "{key}"),
                Field(_("Add conversation agent → Model"), "{model}"),
            ),
            notes=(
                _(
                    "Its own OpenAI integration takes no other address: the LiteLLM one does, and"
                    " adds /v1 by itself."
                ),
                _CONTAINER,
            ),
        ),
    ),
)

CHATS = (
    _CHERRY_STUDIO,
    _OPEN_WEBUI,
    _NEXTCHAT,
    _LOBECHAT,
    _CHATBOX,
    _N8N,
    _HOME_ASSISTANT,
)
