"""The numbers that define the network, for those who must not need PyTorch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """The numbers that define the network. Every row length is a multiple of 32, as Q8_0 wants."""

    vocabulary: int = 1549
    width: int = 192
    layers: int = 5
    heads: int = 3
    hidden: int = 512
    context: int = 4096
    rope_base: float = 1e7
    epsilon: float = 1e-5

    @property
    def head_width(self) -> int:
        """Width of one attention head."""
        return self.width // self.heads

    def parameters(self) -> dict[str, tuple[int, ...]]:
        """The shape of every weight, by the name that it has in ``network.Network``."""
        square, into, out_of = (
            (self.width, self.width),
            (self.hidden, self.width),
            (self.width, self.hidden),
        )
        found: dict[str, tuple[int, ...]] = {"embedding.weight": (self.vocabulary, self.width)}
        for block in (f"blocks.{number}" for number in range(self.layers)):
            found[f"{block}.attention_norm.weight"] = (self.width,)
            found |= {f"{block}.attention.{part}.weight": square for part in "qkvo"}
            found[f"{block}.norm.weight"] = (self.width,)
            found[f"{block}.gate.weight"] = into
            found[f"{block}.up.weight"] = into
            found[f"{block}.down.weight"] = out_of
        found["norm.weight"] = (self.width,)
        found["head.weight"] = (self.vocabulary, self.width)
        return found
