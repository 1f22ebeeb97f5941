"""Name the load options that may have ended a server whose log does not tell why. Pure.

A build takes options on its command line that it cannot compute with: it loads, listens, and ends
at the first request (an assertion of ggml, a signal) without a word about the option.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping, Sequence
from typing import Any

from rocm_core.diagnosis.failure import Failure

# Options that decide where weights and cache lie and how they are computed; first those that the
# fewest builds and models were tried with.
TUNING = (
    *("lazy_mode", "n_cpu_ffn", "override_tensor", "kv_unified_per_slot", "n_cpu_moe"),
    *("mmproj_device", "load_mode", "split_mode", "tensor_split", "main_gpu", "rpc_servers"),
    *("cache_type_v", "cache_type_k", "flash_attn", "draft_model", "lora", "pooling"),
    *("ubatch_size", "batch_size", "extra_args"),
)
# A server that ends so was told to.
_TOLD = (0, -int(signal.SIGTERM), -int(signal.SIGINT), -int(getattr(signal, "SIGKILL", 9)))


def tuned(options: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, str]:
    """Return the options of ``TUNING`` that differ from their defaults, each as ``name=value``.

    Args:
        options, defaults: values by name. Of ``extra_args`` only the flags are shown.
    """
    found = {}
    for name in TUNING:
        value = options.get(name)
        if value in (None, (), defaults.get(name)):
            continue
        if name == "extra_args":
            value = [str(word).partition("=")[0] for word in value if str(word).startswith("-")]
        found[name] = f"{name}={list(value) if isinstance(value, tuple) else value!r}"
    return found


def blame_options(
    found: Mapping[str, str], said: Sequence[str], returncode: int | None
) -> Failure | None:
    """Return the failure that lists the tuned options; ``None`` if there are none to blame.

    Args:
        found: from ``tuned``.
        said: the log's last error lines; options that they name come first.
        returncode: exit code, or minus the signal number; a server that was told to end is none.
    """
    if not found or returncode is None or returncode in _TOLD:
        return None
    named = [name for name in found if any(_names(line, name) for line in said)]
    order = [*named, *(name for name in found if name not in named)]
    lines = f"{'; '.join(said)}; " if said else ""
    told = " (the log names it)" if named else ""
    listed = ", ".join(found[name] for name in order)
    cause = (
        f"{lines}no known failure explains it, and the model was loaded with options that not "
        f"every build can compute with: {listed}"
    )
    rest = f", then {', '.join(order[1:])}" if order[1:] else ""
    remedy = (
        f"load it without {order[0]}{told}{rest}; or keep them and use another build "
        "(server_path=, engine=)"
    )
    return Failure("tuned_options", cause, remedy, said[-1] if said else "")


def _names(line: str, option: str) -> bool:
    """Whether a line has the option's name, as we or llama-server write it."""
    words = re.escape(option).replace("_", "[-_ ]")
    return bool(re.search(rf"(?<![a-z]){words}(?![a-z])", line, re.IGNORECASE))
