"""The sign as a layer of torch modules, with a sign of zero of one's choice."""

import torch


class Sign(torch.nn.Module):
    """-1 below zero, +1 above, `of_zero` at zero, as `BinaryNetwork.sign`; torch's own gives 0."""

    def __init__(self, of_zero: int = 1) -> None:
        super().__init__()
        self.of_zero = of_zero

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The sign of every number of x [...], in the same shape and dtype."""
        if self.of_zero == 0:
            return x.sign()
        plus = x >= 0 if self.of_zero == 1 else x > 0
        return plus.to(x.dtype).mul_(2).sub_(1)

    def extra_repr(self) -> str:
        """What torch prints between the brackets."""
        return f"of_zero={self.of_zero}"
