"""Torch modules that a packed convolutional network can hold, and that torch itself does not have.

All take and give [image, channel, row, column]; those with numbers per channel also [image,
channel].
"""

import torch


class Residual(torch.nn.Module):
    """body(x) + shortcut(x); an empty `shortcut` is x itself."""

    def __init__(self, body: torch.nn.Sequential, shortcut: torch.nn.Sequential) -> None:
        super().__init__()
        self.body, self.shortcut = body, shortcut

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The sum of both ways of x [image, channel, row, column], the same axes and dtype."""
        return self.body(x) + self.shortcut(x)


class ChannelScale(torch.nn.Module):
    """x times a `factor` [channel]: a buffer, or the parameter that it is given."""

    factor: torch.Tensor

    def __init__(self, factor: torch.Tensor) -> None:
        super().__init__()
        _keep(self, "factor", factor)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scaled x, of its shape."""
        return x * self.factor.reshape(-1, *(1 for _ in x.shape[2:]))


class Affine2d(torch.nn.Module):
    """x times a `scale` plus a `shift`, [channel] both, rounded once: a fixed batch normalisation.

    Buffers, or the parameters that it is given.
    """

    scale: torch.Tensor
    shift: torch.Tensor

    def __init__(self, scale: torch.Tensor, shift: torch.Tensor) -> None:
        super().__init__()
        _keep(self, "scale", scale)
        _keep(self, "shift", shift)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scaled and shifted x, of its shape."""
        mean, var = torch.zeros_like(self.scale), torch.ones_like(self.scale)
        return torch.nn.functional.batch_norm(x, mean, var, self.scale, self.shift, eps=0.0)


class PadMinusOne(torch.nn.Module):
    """Places of -1 around an image: so many `rows` above and below, `columns` left and right."""

    def __init__(self, rows: int, columns: int) -> None:
        super().__init__()
        self.rows, self.columns = rows, columns

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Padded x, of more rows and columns."""
        around = (self.columns, self.columns, self.rows, self.rows)
        return torch.nn.functional.pad(x, around, value=-1.0)

    def extra_repr(self) -> str:
        """What torch prints between the brackets."""
        return f"{self.rows}, {self.columns}"


def _keep(module: torch.nn.Module, name: str, numbers: torch.Tensor) -> None:
    if isinstance(numbers, torch.nn.Parameter):
        module.register_parameter(name, numbers)
    else:
        module.register_buffer(name, torch.as_tensor(numbers).detach().clone())
