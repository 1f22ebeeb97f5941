"""What the settings are called in the environment."""

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
