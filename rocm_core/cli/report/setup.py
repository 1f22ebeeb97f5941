"""``llama-rocm setup``: which engine reaches the card, how to get it, and a proof that it works."""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import shlex
import subprocess
import sys
from dataclasses import replace
from typing import Any

from rocm_core.cli.screen import say
from rocm_core.config import LoadConfig
from rocm_core.doctor.setup.advice import Advice, advise
from rocm_core.doctor.setup.installed import advise_here, look_at_engines
from rocm_core.doctor.setup.site import Site, look_at_site
from rocm_core.doctor.setup.trial import Speed, Trial, try_device
from rocm_core.engine.embedded_start import ELSEWHERE
from rocm_core.engine.installed.choice import process_environment
from rocm_core.engine.installed.software import names_software
from rocm_core.errors import BackendUnavailable, RocmError


def add_command(commands: Any) -> None:
    """Register ``setup``."""
    parser = commands.add_parser(
        "setup", help="find the engine that reaches your card, install it, and prove it"
    )
    parser.add_argument(
        "--yes", action="store_true", help="run the pip commands; the others are printed"
    )
    parser.add_argument(
        "--device",
        action="append",
        default=[],
        help="prove it on this device, by index or name; llvmpipe: Mesa's software device, for "
        "machines without a GPU",
    )
    parser.add_argument("--server-path", help="the llama-server to look at")
    parser.add_argument("--root", metavar="DIR", help="advise for a recorded machine")
    parser.set_defaults(run=run, verbose=False)


def run(options: argparse.Namespace) -> int:
    """Advise, install with ``--yes``, prove; 0 if the card answered or there is none to use."""
    site = look_at_site(options.root or "/")
    if options.root:
        _show(site, advise(site, ()))
        return 0
    config = LoadConfig(devices=tuple(options.device), server_path=options.server_path)
    advice = _advise(config, site)
    _show(site, advice)
    if advice.steps and options.yes:
        _install(advice)
        importlib.invalidate_caches()
        advice = _advise(config, site)
        if advice.steps:
            _show(site, advice)
    if advice.steps:
        return 1
    if not (site.has_card or options.device):
        say("proof    not tried: there is no card (--device llvmpipe tries a software device)")
        return 0
    return _prove(config)


def _advise(config: LoadConfig, site: Site) -> Advice:
    """Return the advice; for a software device that of a machine whose card is one."""
    if not names_software(config.devices) or site.has_card:
        return advise_here(config)
    with_card = replace(site, render_nodes=("software",), kfd_problem=None)
    return advise(with_card, look_at_engines(config, process_environment(config)))


def _show(site: Site, advice: Advice) -> None:
    cards = [gpu.label for gpu in site.gpus] or [f"at {pci}" for pci in site.bare_cards]
    drivers = ", ".join(site.vulkan_drivers) or "none"
    libc = f", glibc {'.'.join(map(str, site.glibc))}" if site.glibc else ""
    say(f"card     {'; '.join(cards) or ('unknown (WSL)' if site.wsl else 'no AMD card')}")
    say(f"driver   {'amdgpu' if site.amdgpu else 'no amdgpu'}; Vulkan: {drivers}")
    say(f"python   {platform.python_version()}, {site.machine}{libc}")
    say(f"engine   {advice.engine}: {advice.reason}")
    for step in advice.steps:
        say(f"do       {step.command}")


def _install(advice: Advice) -> None:
    for step in advice.steps:
        if step.kind != "pip":
            say(f"yours    {step.command}")
            continue
        words = shlex.split(step.command)
        changes = dict(word.split("=", 1) for word in words[: words.index("pip")])
        command = [sys.executable, "-m", *words[words.index("pip") :]]
        say(f"running  {shlex.join(command)}")
        env = {**os.environ, **changes}
        # ``-m`` would import what a folder has beside pip's own modules.
        code = subprocess.run(command, check=False, env=env, cwd=ELSEWHERE).returncode
        if code:
            raise BackendUnavailable(
                f"pip ended with {code}: read its last lines above; {step.command} is the command"
            )


def _prove(config: LoadConfig) -> int:
    say("proof    loading the demo model on the device (a first load compiles shaders) …")
    try:
        trial = try_device(config)
    except RocmError as error:
        say(f"proof    failed: {error}")
        return 1
    for line in proof(trial):
        say(f"proof    {line}")
    return 0


def proof(trial: Trial) -> list[str]:
    """Return what a trial showed, as lines."""
    places = ", ".join(
        f"{name}: {held.weights:.1f} MiB of weights, {held.cache:.1f} MiB of KV cache"
        for name, held in trial.buffers.items()
    )
    software = " (a software device: it computes on the CPU)" if trial.software else ""
    device, cpu = trial.on_device, trial.on_cpu
    return [
        f"loaded in {trial.load_seconds:.1f} s on {places}{software}",
        f"answer: {trial.answer!r}",
        f"prefill {_compared(device, cpu, 'prefill')}; decode {_compared(device, cpu, 'decode')}",
    ]


def _compared(device: Speed, cpu: Speed, what: str) -> str:
    there, here = getattr(device, what), getattr(cpu, what)
    ratio = f"{there / here:.2g} times" if here else "more than"
    return f"{there:.0f} tokens/s, {ratio} the CPU's {here:.0f}"
