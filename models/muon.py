"""Muon, an optimizer for matrices: momentum whose singular values are all set to one.

A gradient points mostly along a few strong directions.  Muon (Keller Jordan, 2024) takes the
nearest orthogonal matrix instead, so weak directions learn as fast as strong ones.  The
Newton-Schulz iteration finds it with matrix products alone.  PyTorch has a Muon of its own, but
that one computes in bfloat16, which is ten times slower than float32 on most CPUs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor
from torch.optim import Optimizer


def orthogonal(matrix: Tensor, steps: int = 5) -> Tensor:
    """The orthogonal matrix near ``matrix``: singular values between about 0.7 and 1.2."""
    x = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    x = x / (float(x.norm()) + 1e-7)
    for _ in range(steps):
        square = x @ x.T
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    found: Tensor = x.T if matrix.shape[0] > matrix.shape[1] else x
    return found


class Muon(Optimizer):
    """Muon with the step size of AdamW, so that both can share one learning rate."""

    def __init__(
        self, parameters: Iterable[Tensor], lr: float, momentum: float = 0.95, decay: float = 0.05
    ) -> None:
        super().__init__(list(parameters), {"lr": lr, "momentum": momentum, "decay": decay})

    @torch.no_grad()
    def step(self, closure: object = None) -> None:  # type: ignore[override]
        """Move every matrix."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if "average" not in state:
                    state["average"] = torch.zeros_like(weight)
                average = state["average"]
                average.lerp_(weight.grad, 1 - group["momentum"])
                direction = orthogonal(weight.grad.lerp(average, group["momentum"]))
                weight.mul_(1 - group["lr"] * group["decay"])
                weight.add_(direction, alpha=-0.2 * group["lr"] * math.sqrt(max(weight.shape)))
