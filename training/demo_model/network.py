"""The network: a small llama, laid out so that llama.cpp reads the weights as they are.

    tokens ─ embedding ─┬─ norm ─ attention ─(+)─┬─ norm ─ feed-forward ─(+)─ … ─ norm ─ head
                        └───────────────────────┘└──────────────────────┘

A structured start
==================
Copying is the main thing such a model must do, and gradient descent finds it late.  The circuit
for it is known (an *induction head*: "this stood there before; what came after it?"), so we write
a rough one into the fresh weights and let training refine it, like everything else.  One token of
context is not enough: "the" stands everywhere.  Two are not enough for digits, and for characters
of several bytes.  So three tokens are compared:

* The width is divided into what the token is, what the three before it were, and the token to
  copy.  Tokens that differ only in the space before them are the same but for one number, so a
  word in quotation marks is found again in a sentence.
* The heads of layer 0 look one, two and three positions back: their queries and keys are constants,
  and the rotary encoding makes their product largest at that distance.  They write identities.
* Layer 1, head 0 compares "what I am, and the two before me" with "the three before you", and
  copies the token where they agree; the output head starts out reading it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.demo_model.shape import Shape


def rotate(x: Tensor, turns: Tensor) -> Tensor:
    """Rotary position encoding of neighboring pairs, the layout of llama.cpp's ``llama``.

    Each pair is a complex number, turned by a product: a step takes 250 ms, with sines and cosines
    267.
    """
    pairs = torch.view_as_complex(x.reshape(*x.shape[:-1], -1, 2))
    return torch.view_as_real(pairs * turns).flatten(-2)


class Attention(nn.Module):
    """Every position looks back at those before it."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.q, self.k, self.v, self.o = (
            nn.Linear(shape.width, shape.width, bias=False) for _ in range(4)
        )

    def forward(self, x: Tensor, turns: Tensor) -> Tensor:
        """Mix values of earlier positions into each position."""
        rows, length, width = x.shape
        split = (rows, length, self.shape.heads, self.shape.head_width)
        q, k, v = (part(x).view(split).transpose(1, 2).float() for part in (self.q, self.k, self.v))
        q, k = rotate(q, turns), rotate(k, turns)
        with torch.autocast("cpu", enabled=False):  # in bfloat16 it is slower, and less exact
            y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        out: Tensor = self.o(y.transpose(1, 2).reshape(rows, length, width))
        return out


class Block(nn.Module):
    """Attention, then a gated feed-forward network; both add to what comes in."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.attention_norm = nn.RMSNorm(shape.width, eps=shape.epsilon)
        self.attention = Attention(shape)
        self.norm = nn.RMSNorm(shape.width, eps=shape.epsilon)
        self.gate = nn.Linear(shape.width, shape.hidden, bias=False)
        self.up = nn.Linear(shape.width, shape.hidden, bias=False)
        self.down = nn.Linear(shape.hidden, shape.width, bias=False)

    def forward(self, x: Tensor, turns: Tensor, wanted: Tensor | None = None) -> Tensor:
        """One layer; ``wanted`` marks the positions whose outcome is asked for."""
        x = x + self.attention(self.attention_norm(x), turns)
        if wanted is not None:
            x = x[wanted]
        h = self.norm(x)
        out: Tensor = x + self.down(functional.silu(self.gate(h)) * self.up(h))
        return out


class Network(nn.Module):
    """The whole model; ``forward`` gives the states, ``head`` turns states into scores."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(shape.vocabulary, shape.width)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.norm = nn.RMSNorm(shape.width, eps=shape.epsilon)
        self.head = nn.Linear(shape.width, shape.vocabulary, bias=False)
        half = shape.head_width // 2
        speeds = shape.rope_base ** (-torch.arange(half) / half)
        self.register_buffer("speeds", speeds, persistent=False)

    def attention(self, layer: int) -> Attention:
        """The attention of one layer."""
        block = self.blocks[layer]
        assert isinstance(block, Block)
        return block.attention

    def forward(self, tokens: Tensor, wanted: Tensor) -> Tensor:
        """The states of the positions marked in ``wanted``, one after the other, for ``head``."""
        speeds = self.get_buffer("speeds")
        angles = torch.outer(torch.arange(tokens.shape[1]), speeds)
        turns = torch.polar(torch.ones_like(angles), angles)
        x = self.embedding(tokens)
        *blocks, last = self.blocks
        for block in blocks:
            x = block(x, turns)
        x = last(x, turns, wanted)
        out: Tensor = self.norm(x)
        return out


# ---- the start ------------------------------------------------------------------------------


@torch.no_grad()
def fresh(shape: Shape, seed: int, twins: Sequence[tuple[int, int]]) -> Network:
    """A network with random weights, the rough induction head among them.

    Args:
        twins: ids of tokens that differ only in the space before them: with it, without.
    """
    torch.manual_seed(seed)
    network = Network(shape)
    deep = 1 / math.sqrt(2 * shape.layers)
    for name, weight in network.named_parameters():
        if weight.dim() == 2:
            scale = deep if name.endswith(("o.weight", "down.weight")) else 1.0
            weight.normal_(0, 0.5 * scale / math.sqrt(weight.shape[1]))
    _start_embedding(network, twins)
    _start_looking_back(network)
    _start_induction(network)
    return network


_PART = 36
"""Dimensions for each of: the three tokens before, the token to copy."""

_IDENTITY = slice(1, -4 * _PART)  # dimension 0 is the constant
_BEFORE = tuple(slice(-n * _PART, (1 - n) * _PART) for n in (4, 3, 2))
_TO_COPY = slice(-_PART, None)

_SPACE_BEFORE = 3.0
"""The last number of an identity, negative without a space before the token.

Nats a conversation after 600 steps: 11.8 with 1.5, 10.9 with 3, 11.6 with 5.
"""


def _orthogonal_rows(rows: int, columns: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    found: Tensor = torch.linalg.qr(torch.randn(columns, rows, generator=generator)).Q.T
    return found


def _project(network: Network) -> Tensor:
    """A fixed way to squeeze an identity into a part."""
    columns = network.embedding.weight[:, _IDENTITY].shape[1]
    return _orthogonal_rows(_PART, columns, seed=7)


def _start_embedding(network: Network, twins: Sequence[tuple[int, int]]) -> None:
    weight = network.embedding.weight
    weight.mul_(0.05)
    rows = torch.randn_like(weight[:, _IDENTITY])
    for spaced, bare in twins:
        rows[spaced] = rows[bare]
    # Rows of nearly one length: otherwise the constant below would differ after the norm.
    rows = math.sqrt(rows.shape[1]) * functional.normalize(rows, dim=1)
    rows[:, -1] = -_SPACE_BEFORE
    rows[[spaced for spaced, _ in twins], -1] = _SPACE_BEFORE
    weight[:, _IDENTITY] = rows
    weight[:, 0] = 1.0


def _start_looking_back(network: Network) -> None:
    size, attention = network.shape.head_width, network.attention(0)
    strength = math.sqrt(12 * math.sqrt(size))
    for head, target in enumerate(_BEFORE):
        first = head * size
        attention.q.weight[first : first + size] = 0
        attention.k.weight[first : first + size] = 0
        for pair in range(10):
            # The key is turned ahead: it agrees with a query that stands head + 1 further on.
            angle = float(network.get_buffer("speeds")[pair]) * (head + 1)
            row = first + 2 * pair
            attention.q.weight[row, 0] = strength
            attention.k.weight[row, 0] = strength * math.cos(angle)
            attention.k.weight[row + 1, 0] = strength * math.sin(angle)
        _copy_head(network, 0, head, target)


def _start_induction(network: Network) -> None:
    size, attention = network.shape.head_width, network.attention(1)
    slow = slice(size - _PART, size)  # rows that turn fast would blur the comparison
    strength, share = 1.8, 0.8
    project = _project(network)
    # Each distance compares in a basis of its own, or "ab" would agree with "ba".
    further = [share * _orthogonal_rows(_PART, _PART, seed=8 + n) for n in range(2)]
    attention.q.weight[:size] = 0
    attention.k.weight[:size] = 0
    attention.q.weight[slow, _IDENTITY] = strength * project
    attention.k.weight[slow, _BEFORE[0]] = strength * torch.eye(_PART)
    for mine, yours, mix in zip(_BEFORE, _BEFORE[1:], further, strict=False):
        attention.q.weight[slow, mine] = strength * mix
        attention.k.weight[slow, yours] = strength * mix
    _copy_head(network, 1, 0, _TO_COPY)
    identity = network.embedding.weight[:, _IDENTITY]
    network.head.weight[:, _TO_COPY] = 0.25 * identity @ project.T


Part = tuple[Tensor, tuple[slice, slice]]


def copying(network: Network) -> list[Part]:
    """The parts of the weights that make the start: a weight, and where in it."""
    size, whole = network.shape.head_width, slice(None)
    found: list[Part] = [(network.embedding.weight, (whole, whole))]
    for layer, heads in ((0, len(_BEFORE)), (1, 1)):
        attention, mine = network.attention(layer), slice(heads * size)
        found += [(part.weight, (mine, whole)) for part in (attention.q, attention.k, attention.v)]
        found.append((attention.o.weight, (whole, mine)))
    return [*found, (network.head.weight, (whole, _TO_COPY))]


def _copy_head(network: Network, layer: int, head: int, target: slice) -> None:
    """Let a head write the squeezed identity of what it looks at to ``target``."""
    size, attention = network.shape.head_width, network.attention(layer)
    first = head * size
    rows = slice(first, first + size)
    attention.v.weight[rows] = 0
    attention.v.weight[first : first + _PART, _IDENTITY] = _project(network)
    attention.o.weight[:, rows] = 0
    attention.o.weight[target, first : first + _PART] = torch.eye(_PART)
