"""Muon, an optimizer for matrices: momentum whose singular values are all set to one.

A gradient points mostly along a few strong directions.  Muon (Keller Jordan, 2024) takes the
nearest orthogonal matrix instead, so weak directions learn as fast as strong ones.  The
Newton-Schulz iteration finds it with matrix products alone.  PyTorch has a Muon of its own, but
that one computes in bfloat16 always, which most CPUs do ten times slower than float32.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor
from torch.optim import Optimizer

FAST_BFLOAT16 = torch.cpu._is_avx512_bf16_supported()
"""Whether the processor multiplies bfloat16 matrices by itself, twice as fast as float32."""


def orthogonal(matrices: Tensor, steps: int = 4) -> Tensor:
    """Matrices near orthogonal ones: singular values between about 0.7 and 1.2, but for the least.

    Four steps of the iteration instead of the usual five: after 600 steps of training the loss
    was no higher (13.2 and 13.5 nats a conversation).
    """
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    x = x.bfloat16() if FAST_BFLOAT16 else x
    for _ in range(steps):
        square = x @ x.mT
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    found: Tensor = x.mT if tall else x
    return found.float()


class Muon(Optimizer):
    """Muon with the step size of AdamW, so that both can share one learning rate.

    The matrices of one parameter group must have one shape: they are computed as a stack.
    """

    def __init__(
        self,
        groups: Iterable[dict[str, object]],
        lr: float,
        momentum: float = 0.9,
        decay: float = 0.05,
    ) -> None:
        super().__init__(groups, {"lr": lr, "momentum": momentum, "decay": decay})

    @torch.no_grad()
    def step(self, closure: object = None) -> None:  # type: ignore[override]
        """Move every matrix."""
        for group in self.param_groups:
            weights = group["params"]
            gradients = torch.stack([weight.grad for weight in weights])
            state = self.state[weights[0]]
            if "average" not in state:
                state["average"] = torch.zeros_like(gradients)
            average = state["average"]
            average.lerp_(gradients, 1 - group["momentum"])
            directions = orthogonal(gradients.lerp(average, group["momentum"]))
            size = 0.2 * group["lr"] * math.sqrt(max(gradients.shape[1:]))
            for weight, direction in zip(weights, directions, strict=True):
                weight.mul_(1 - group["lr"] * group["decay"])
                weight.add_(direction, alpha=-size)
