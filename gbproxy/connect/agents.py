"""Coding agents in the terminal, each with files of its own."""

from __future__ import annotations

from gbproxy.connect.program import ConfigFile, Format, Program, Way
from gbproxy.connect.program import translatable as _

# model_catalog_url is read only with the feature (Codex 0.156 and later); without it the CLI
# guesses how long a prompt may be. wire_api "chat" is no longer taken.
_CODEX = Program(
    "codex",
    "Codex CLI",
    (
        Way(
            format="responses",
            base="{url}/v1",
            path="/responses",
            variables={"OPENAI_API_KEY": "{key}"},
            files=(
                ConfigFile(
                    "toml",
                    ".codex",
                    ("config.toml",),
                    {
                        "model": "{model}",
                        "model_provider": "gbproxy",
                        "model_providers": {
                            "gbproxy": {
                                "name": "gbproxy",
                                "base_url": "{url}/v1",
                                "model_catalog_url": "{url}/v1/models",
                                "env_key": "OPENAI_API_KEY",
                                "wire_api": "responses",
                            }
                        },
                        "features": {"api_key_model_discovery": True},
                    },
                    (("CODEX_HOME", ""),),
                ),
            ),
            notes=(
                _(
                    "The file names the variable that holds the key: set it where the program"
                    " is started."
                ),
                _("Its web search is left out, unless it is set to search the live web."),
            ),
        ),
    ),
)

_CLAUDE_CODE_VARIABLES = {
    "ANTHROPIC_BASE_URL": "{url}",
    "ANTHROPIC_AUTH_TOKEN": "{key}",
    "ANTHROPIC_MODEL": "{model}",
    "ANTHROPIC_DEFAULT_HAIKU_MODEL": "{small}",
}

_CLAUDE_CODE = Program(
    "claude-code",
    "Claude Code",
    (
        Way(
            format="anthropic",
            base="{url}",
            path="/v1/messages",
            variables=_CLAUDE_CODE_VARIABLES,
            files=(
                ConfigFile(
                    "json",
                    ".claude",
                    ("settings.json",),
                    {"env": _CLAUDE_CODE_VARIABLES},
                    (("CLAUDE_CONFIG_DIR", ""),),
                ),
            ),
            notes=(
                _("It adds /v1 by itself. What stands in the file wins over the environment."),
                _(
                    "Set no ANTHROPIC_API_KEY beside the token: both would be sent. In a project's"
                    " own settings a key would be shared with everybody who has the project."
                ),
            ),
        ),
    ),
)


def _opencode(format_: Format, npm: str, base: str, path: str) -> Way:
    provider = {
        "npm": npm,
        "options": {"baseURL": base, "apiKey": "{key}"},
        "models": {"{model}": {}},
    }
    return Way(
        format=format_,
        base=base,
        path=path,
        files=(
            ConfigFile(
                "json",
                ".config/opencode",
                ("opencode.jsonc", "opencode.json"),
                {"provider": {"gbproxy": provider}},
                (("OPENCODE_CONFIG_DIR", ""), ("XDG_CONFIG_HOME", "opencode")),
            ),
        ),
        notes=(_("Choose the model by /models; further ones are added under models."),),
    )


_OPENCODE = Program(
    "opencode",
    "opencode",
    (
        _opencode("chat", "@ai-sdk/openai-compatible", "{url}/v1", "/chat/completions"),
        _opencode("anthropic", "@ai-sdk/anthropic", "{url}/v1", "/messages"),
        _opencode(
            "gemini", "@ai-sdk/google", "{url}/v1beta", "/models/{model}:streamGenerateContent"
        ),
    ),
)

_GEMINI_VARIABLES = {
    "GOOGLE_GEMINI_BASE_URL": "{url}",
    "GEMINI_API_KEY": "{key}",
    "GEMINI_MODEL": "{model}",
}

_GEMINI_CLI = Program(
    "gemini-cli",
    "Gemini CLI",
    (
        Way(
            format="gemini",
            base="{url}",
            path="/v1beta/models/{model}:streamGenerateContent",
            preferred="gemini-3.1-pro-preview",
            variables=_GEMINI_VARIABLES,
            files=(
                ConfigFile(
                    "env",
                    ".gemini",
                    (".env",),
                    _GEMINI_VARIABLES,
                    (("GEMINI_CLI_HOME", ".gemini"),),
                ),
                ConfigFile(
                    "json",
                    ".gemini",
                    ("settings.json",),
                    {"security": {"auth": {"selectedType": "gemini-api-key"}}},
                    (("GEMINI_CLI_HOME", ".gemini"),),
                ),
            ),
            notes=(
                _(
                    "It reads one .env only, the nearest one: that of a project, with .gemini/.env"
                    " first, hides the one in the home directory. In a folder that is not trusted"
                    " it reads none."
                ),
            ),
        ),
    ),
)

AGENTS = (_CODEX, _CLAUDE_CODE, _OPENCODE, _GEMINI_CLI)
