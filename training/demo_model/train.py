"""Training: from random weights to a model on two cores; the model card says in how many minutes.

The loss counts the assistant's tokens only.  Matrices inside the blocks are trained with Muon,
which learns from fewer tokens, everything else with AdamW.  When the rate has come down to nothing,
a second, short course begins at a part of it (a warm restart, Loshchilov and Hutter, 2016), with
more of what the first has learned least.  Every random draw has a fixed seed, and a checkpoint
every few minutes lets an interrupted training go on where it was.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional

from training.demo_model import dataset, tokenizer
from training.demo_model.data import mix
from training.demo_model.muon import FAST_BFLOAT16, Muon
from training.demo_model.network import Network, copying, fresh
from training.demo_model.shape import Shape


@dataclass(frozen=True)
class Plan:
    """How long and how fast to learn.

    Attributes:
        steps, second: batches to learn from, in the first course and in the second.
        tokens: about so many in a batch.
        rate: of learning, at its highest.
        again: share of the rate with which the second course begins.
        started, embedding: shares of the rate for what starts out with a purpose, and for the
            embedding.
        protected: the part of the first course in which what starts out with a purpose stays.
        warmup: steps until the rate is reached.
    """

    steps: int = 9_000
    second: int = 1_000
    tokens: int = 2048
    seed: int = 1
    rate: float = 5e-3
    again: float = 0.3
    started: float = 0.3
    embedding: float = 0.3
    protected: float = 0.25
    warmup: int = 60
    save_every: int = 100
    threads: int = 2


def rate_at(plan: Plan, step: int) -> float:
    """The share of the learning rate: up in a few steps, then straight down to nothing, twice."""
    if step >= plan.steps:
        return plan.again * (1 - (step - plan.steps) / plan.second)
    return min(1.0, (step + 1) / plan.warmup) * (1 - step / plan.steps)


_STARTED = ("0.attention.", "1.attention.q.", "1.attention.k.")
"""Matrices of the blocks that start out with a purpose; see ``network``."""


def optimizers(network: Network, plan: Plan) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the blocks, AdamW for the rest.

    What starts out good learns slowly, or the first steps, in which everything else is noise,
    would wear it down.
    """
    matrices: dict[tuple[torch.Size, float], list[Tensor]] = {}
    rest = []
    for name, weight in network.named_parameters():
        if weight.dim() == 2 and name.startswith("blocks."):
            slow = name.removeprefix("blocks.").startswith(_STARTED)
            rate = plan.rate * (plan.started if slow else 1)
            matrices.setdefault((weight.shape, rate), []).append(weight)
        elif name != "embedding.weight":
            rest.append(weight)
    groups = [{"params": same, "lr": rate} for (_, rate), same in matrices.items()]
    muon = Muon(groups, lr=plan.rate)
    embedding = {"params": [network.embedding.weight], "lr": plan.rate * plan.embedding}
    adam = torch.optim.AdamW(
        [{"params": rest}, embedding], lr=plan.rate, weight_decay=0.01, betas=(0.9, 0.98)
    )
    for optimizer in (muon, adam):
        for group in optimizer.param_groups:
            group["base"] = group["lr"]
    return [muon, adam]


def loss_of(network: Network, batch: dataset.Batch) -> Tensor:
    """Cross entropy of the tokens to learn; what follows the last attention, for those only.

    Products are computed in bfloat16 where that is faster; weights, gradients and sums stay in
    float32.
    """
    ids = torch.from_numpy(batch.ids).long()
    learn = torch.from_numpy(batch.learn)[:, 1:]
    with torch.autocast("cpu", torch.bfloat16, enabled=FAST_BFLOAT16):
        scores = network.head(network(ids[:, :-1], learn))
    return functional.cross_entropy(scores.float(), ids[:, 1:][learn])


def step_once(
    network: Network, batch: dataset.Batch, steppers: Sequence[torch.optim.Optimizer], share: float
) -> float:
    """One step of learning; returns the loss."""
    loss = loss_of(network, batch)
    torch.autograd.backward(loss)
    torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    for stepper in steppers:
        for group in stepper.param_groups:
            group["lr"] = group["base"] * share
        stepper.step()
        stepper.zero_grad(set_to_none=True)
    return float(loss.detach())


def prepare_tokenizer(folder: Path) -> Path:
    """Train the tokenizer, unless the folder has it."""
    path = folder / "tokenizer.json"
    if not path.exists():
        tokenizer.train(dataset.texts(seed=0, count=20_000)).save(str(path))
    return path


def save(path: Path, network: Network, steppers: Sequence[Any], step: int) -> None:
    """Write a checkpoint, whole or not at all."""
    state = {
        "shape": asdict(network.shape),
        "network": network.state_dict(),
        "steppers": [s.state_dict() for s in steppers],
        "step": step,
    }
    part = path.with_suffix(".part")
    torch.save(state, part)
    part.replace(path)


def train(folder: Path, plan: Plan) -> Network:
    """Train, or go on with the checkpoint in ``folder``; returns the network."""
    torch.set_num_threads(plan.threads)
    folder.mkdir(parents=True, exist_ok=True)
    text = tokenizer.load(prepare_tokenizer(folder))
    twins = tokenizer.twins(text)
    network = fresh(Shape(vocabulary=text.get_vocab_size()), plan.seed, twins)
    steppers = optimizers(network, plan)
    checkpoint = folder / "checkpoint.pt"
    first = 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        if state.get("shape") != asdict(network.shape):
            raise SystemExit(f"{checkpoint} is of another shape of network: move it away")
        network.load_state_dict(state["network"])
        for stepper, kept in zip(steppers, state["steppers"], strict=True):
            stepper.load_state_dict(kept)
        first = state["step"]
    if first < plan.steps + plan.second:
        batches = _lessons(text, plan)
        _run(network, steppers, plan, first, batches=batches, checkpoint=checkpoint)
    return network


def _lessons(text: Tokenizer, plan: Plan) -> list[dataset.Batch]:
    """The batches of both courses."""
    lessons = []
    for course, count, seed in (
        (mix.MIX, plan.steps, plan.seed),
        (mix.SECOND, plan.second, plan.seed + 1_000),
    ):
        source = mix.training(seed, course)
        lessons += dataset.batches(text, source, count, plan.tokens, seed=seed)
    return lessons


def _run(
    network: Network,
    steppers: list[torch.optim.Optimizer],
    plan: Plan,
    first: int,
    *,
    batches: list[dataset.Batch],
    checkpoint: Path,
) -> None:
    network.train()
    start = [(weight, where, weight.detach()[where].clone()) for weight, where in copying(network)]
    begun, mean = time.monotonic(), 0.0
    for step in range(first, len(batches)):
        loss = step_once(network, batches[step], steppers, rate_at(plan, step))
        if step < plan.protected * plan.steps:
            for weight, where, value in start:
                weight.data[where] = value
        mean = loss if step == first else 0.98 * mean + 0.02 * loss
        if (step + 1) % 25 == 0:
            minutes = (time.monotonic() - begun) / 60
            done = f"step {step + 1}/{len(batches)}"
            print(f"{done}  loss {mean:.3f}  {minutes:.1f} min", flush=True)
        if (step + 1) % plan.save_every == 0 or step + 1 == len(batches):
            save(checkpoint, network, steppers, step + 1)
