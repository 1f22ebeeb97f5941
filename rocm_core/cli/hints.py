"""What somebody who comes from Ollama or llama.cpp typed, and what it is here."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from rocm_core.config import nearest
from rocm_core.config.catalog import groups

# Commands of Ollama, and of others.
COMMANDS = {
    "run": "`llama-rocm chat -m MODEL`",
    "generate": "`llama-rocm chat -m MODEL PROMPT`",
    "list": "`llama-rocm models`",
    "ls": "`llama-rocm models`",
    "show": "`llama-rocm fit MODEL`, or `llama-rocm models`",
    "pull": "`llama-rocm models pull org/repo`; `llama-rocm chat -m org/repo` downloads it as well",
    "create": "-m of every command, which takes any GGUF file",
    "rm": "`llama-rocm models rm NAME`",
    "start": "`llama-rocm serve -m MODEL`",
    "server": "`llama-rocm serve -m MODEL`",
    "kill": "`llama-rocm stop`",
    "status": "`llama-rocm ps`",
    "version": "`llama-rocm --version`",
    "help": "`llama-rocm --help`",
}
# Flags of llama-server (common/arg.cpp) beyond those that the options' declarations name.
_FLAGS = {
    "--ctx-size": "context_len",
    "--ctx": "context_len",
    "--n-gpu-layers": "gpu_layers",
    "--n-predict": "max_tokens",
    "--predict": "max_tokens",
    "-n": "max_tokens",
    "--temp": "temperature",
    "--model-draft": "draft_model",
    "--alias": "model_name",
    "-a": "model_name",
    "-s": "seed",
    "-dev": "devices",
    "--no-mmap": "load_mode",
    "--mlock": "load_mode",
    "-dio": "load_mode",
}
_OF_A_MODEL = ("-hf", "-hfr", "--hf-repo", "--hf", "--model-path")


def command_hint(name: str, commands: Collection[str]) -> str:
    """Return what to type instead of an unknown command; empty for no idea."""
    if name in COMMANDS:
        return f"Here it is {COMMANDS[name]}."
    near = nearest(name, commands)
    return f"Did you mean {near!r}?" if near else ""


def flag_hints(arguments: Sequence[str], known: Collection[str]) -> list[str]:
    """Return a sentence for each unknown flag.

    Args:
        arguments: what the parser did not know.
        known: the flags of the command.
    """
    names = [argument.partition("=")[0] for argument in arguments if argument.startswith("-")]
    return [_flag_hint(name, known) for name in dict.fromkeys(names)]


def _flag_hint(name: str, known: Collection[str]) -> str:
    if name == "--api-key":
        return "A key never stands on a command line: --api-key-file PATH, or --api-key-env NAME."
    if name in _OF_A_MODEL:
        return f"{name} is -m here: a GGUF file, or org/repo[:quant]."
    ours = _ours().get(name)
    if ours and ours in known:
        return f"{name} is {ours} here."
    if near := nearest(name, known):
        return f"Did you mean {near}?"
    if "--extra-arg" in known:
        return f"If {name} is a flag of llama-server's own: --extra-arg={name}."
    return f"This command has no {name}."


def _ours() -> dict[str, str]:
    """Return llama-server's flag to ours."""
    options = {name: option for group in groups().values() for name, option in group.items()}
    flags = {theirs: f"--{options[name].flag}" for theirs, name in _FLAGS.items()}
    declared = {o.wire: f"--{o.flag}" for o in options.values() if o.wire.startswith("-")}
    return declared | flags
