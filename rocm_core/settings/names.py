"""What the settings are called in the environment, and how far each place is trusted."""

from __future__ import annotations

PREFIX = "LLAMA_ROCM_"
CONFIG_VARIABLE = f"{PREFIX}CONFIG"
ALIASES = {
    "LLAMA_URL": "base_url",
    "ROCM_LLAMA_SERVER_PATH": "server_path",
    "ROCM_MODEL_DIR": "model_dir",
}
"""Variables with names of their own, and the options that they set."""


def variable_of(option: str) -> str:
    """Return the environment variable of an option: ``LLAMA_ROCM_CONTEXT_LEN``."""
    return PREFIX + option.upper()


ARGUMENT, ENVIRONMENT, USER, PROJECT = range(4)
"""Where a value came from, the most trusted place first. A project's files come with its folder,
from whoever made it: they are last, until the user trusts them (``trust``)."""

GUARDED = frozenset(
    {"server_path", "environment", "extra_args", "lora", "rpc_servers", "allow_insecure_rpc"}
    | {"chat_template", "chat_template_file"}
    | {"ca_file", "client_cert", "client_key", "verify_tls", "media_root"}
)
"""Options that name programs, code or files to open, or that weaken TLS: in a project's file they
count only after ``llama-rocm trust``."""

ROUTING_HEADERS = frozenset(
    {"host", "forwarded", "x-forwarded-host", "x-original-url", "x-rewrite-url"}
)
"""Headers by which a proxy decides whose server gets a request, with the user's key in it: with one
of them, ``headers`` of a project's file count only after ``llama-rocm trust``."""

CREDENTIALS = ("api_key", "headers", "client_cert", "client_key")
"""Options that show a server who we are."""
