"""The network: a small llama, laid out so that llama.cpp reads the weights as they are.

    tokens ─ embedding ─┬─ norm ─ attention ─(+)─┬─ norm ─ feed-forward ─(+)─ … ─ norm ─ head
                        └───────────────────────┘└──────────────────────┘

A structured start
==================
Copying is the main thing such a model must do, and gradient descent finds it late.  The circuit
for it is known (an *induction head*: "this token stood there before; what came after it?"), so
we write a rough one into the fresh weights and let training refine it, like everything else:

* A third of the width holds what the token is, a third what the previous token was, a third the
  token to copy.
* Layer 0, head 0 looks one position back: its query and key are constants, and the rotary
  encoding makes their product largest at distance one.  It writes the previous token's identity.
* Layer 1, head 0 compares "what I am" with "what stood before you" and copies the token where
  both agree; the output head starts out reading that third.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class Shape:
    """The numbers that define the network. Every row length is a multiple of 32, as Q8_0 wants."""

    vocabulary: int = 1536
    width: int = 192
    layers: int = 5
    heads: int = 4
    hidden: int = 512
    context: int = 4096
    rope_base: float = 1e7
    epsilon: float = 1e-5

    @property
    def head_width(self) -> int:
        """Width of one attention head."""
        return self.width // self.heads


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary position encoding of neighboring pairs, the layout of llama.cpp's ``llama``."""
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2)


class Attention(nn.Module):
    """Every position looks back at those before it."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.q, self.k, self.v, self.o = (
            nn.Linear(shape.width, shape.width, bias=False) for _ in range(4)
        )

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Mix values of earlier positions into each position."""
        rows, length, width = x.shape
        split = (rows, length, self.shape.heads, self.shape.head_width)
        q, k, v = (part(x).view(split).transpose(1, 2) for part in (self.q, self.k, self.v))
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
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

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """One layer."""
        x = x + self.attention(self.attention_norm(x), cos, sin)
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

    def forward(self, tokens: Tensor) -> Tensor:
        """The state of each position, ready for ``head``."""
        speeds = self.get_buffer("speeds")
        angles = torch.outer(torch.arange(tokens.shape[1]), speeds)
        cos, sin = angles.cos(), angles.sin()
        x = self.embedding(tokens)
        for block in self.blocks:
            x = block(x, cos, sin)
        out: Tensor = self.norm(x)
        return out


# ---- the start ------------------------------------------------------------------------------


@torch.no_grad()
def fresh(shape: Shape, seed: int) -> Network:
    """A network with random weights, the rough induction head among them."""
    torch.manual_seed(seed)
    network = Network(shape)
    deep = 1 / math.sqrt(2 * shape.layers)
    for name, weight in network.named_parameters():
        if weight.dim() == 2:
            scale = deep if name.endswith(("o.weight", "down.weight")) else 1.0
            weight.normal_(0, 0.5 * scale / math.sqrt(weight.shape[1]))
    _start_embedding(network)
    _start_previous_token(network)
    _start_induction(network)
    return network


def _thirds(shape: Shape) -> tuple[slice, slice, slice]:
    """Dimensions for: what I am (0 is the constant), what stood before me, what to copy."""
    size = shape.head_width
    return slice(1, shape.width - 2 * size), slice(-2 * size, -size), slice(-size, None)


def _project(shape: Shape) -> Tensor:
    """A fixed way to squeeze an identity into the width of one head."""
    identity, _, _ = _thirds(shape)
    generator = torch.Generator().manual_seed(7)
    columns = (identity.stop % shape.width) - identity.start
    matrix = torch.randn(shape.head_width, columns, generator=generator)
    rows: Tensor = torch.linalg.qr(matrix.T).Q.T
    return rows


def _start_embedding(network: Network) -> None:
    weight = network.embedding.weight
    identity, _, _ = _thirds(network.shape)
    weight.mul_(0.05)
    rows = torch.randn_like(weight[:, identity])
    # Rows of one length: otherwise the constant below would differ after the norm.
    weight[:, identity] = math.sqrt(rows.shape[1]) * functional.normalize(rows, dim=1)
    weight[:, 0] = 1.0


def _start_previous_token(network: Network) -> None:
    shape, attention = network.shape, network.attention(0)
    _identity, previous, _ = _thirds(shape)
    size = shape.head_width
    pairs = min(8, size // 2)
    strength = math.sqrt(15 * math.sqrt(size))
    attention.q.weight[:size] = 0
    attention.k.weight[:size] = 0
    for pair in range(pairs):
        # One step of rotation ahead of the query: key and query agree at distance one.
        angle = float(network.get_buffer("speeds")[pair])
        attention.q.weight[2 * pair, 0] = strength
        attention.k.weight[2 * pair, 0] = strength * math.cos(angle)
        attention.k.weight[2 * pair + 1, 0] = strength * math.sin(angle)
    _copy_head(network, 0, previous, _project(shape))


def _start_induction(network: Network) -> None:
    shape, attention = network.shape, network.attention(1)
    identity, previous, to_copy = _thirds(shape)
    size = shape.head_width
    slow = size // 3  # rows that rotate fast would blur the comparison
    strength = 1.6
    project = _project(shape)
    attention.q.weight[:size] = 0
    attention.k.weight[:size] = 0
    attention.q.weight[slow:size, identity] = strength * project[slow:]
    attention.k.weight[slow:size, previous] = strength * torch.eye(size)[slow:]
    _copy_head(network, 1, to_copy, project)
    embedding = network.embedding.weight[:, identity]
    network.head.weight[:, to_copy] = 0.25 * embedding @ project.T


def _copy_head(network: Network, layer: int, target: slice, project: Tensor) -> None:
    """Let head 0 of ``layer`` write the squeezed identity of what it looks at to ``target``."""
    shape, attention = network.shape, network.attention(layer)
    identity, _, _ = _thirds(shape)
    size = shape.head_width
    attention.v.weight[:size] = 0
    attention.v.weight[:size, identity] = project
    attention.o.weight[:, :size] = 0
    attention.o.weight[target, :size] = torch.eye(size)
