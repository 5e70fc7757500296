"""The exact matrix product of `mps` a second time, in torch, for GPUs and any other torch device.

A GPU is quick at few, large operations. So sites with the same operations, most of a brickwork's,
are built together, and the vectors of all rows of angles and all draws go through the sites
together. Everything is complex128 and float64 on the device. Uniform random numbers come from the
replicas' generators on the host, so that a seed gives the same draws as on the CPU.

In the comments, l and r are the left and the right vector of a draw at a site with tensor A: the
product of the drawn matrices before it and after it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from qhyper.bits import Bits
from qhyper.errors import ConfigurationError
from qhyper.machine import torch_device
from qhyper.quantum.backend import GIB, matrix_product_bonds, matrix_product_bytes
from qhyper.quantum.circuit import Circuit
from qhyper.quantum.simulators.mps_program import (
    LEFT_CONTROL,
    LEFT_Z,
    RZ,
    WIRE,
    Float,
    MatrixProductAt,
    Program,
    compile_circuit,
)

_GENERATORS = [[[0, -1j], [-1j, 0]], [[0, -1], [1, 0]], [[-1j, 0], [0, 1j]]]
"""-iX, -iY and -iZ: a rotation is cos(angle / 2) + sin(angle / 2) times one of these."""
_OPERATORS = [
    [[[1, 0], [0, 0]], [[0, 0], [0, 1]]],
    [[[1, 0], [0, 1]], [[0, 1], [1, 0]]],
    [[[1, 0], [0, 1]], [[1, 0], [0, -1]]],
]
"""[leg, bit, bit before] of a control, an X and a Z: what each value of a leg does to the bit."""
_DRAWS_BYTES = 2**30
"""Memory for the vectors of draws that go through the sites together."""


class MatrixProductOn:
    """A circuit as a matrix product on a torch device: an `Executable`.

    Raises ConfigurationError if the device cannot be used, or if the tensors for `rows` rows of
    angles do not fit in the memory of the machine or of the GPU.
    """

    def __init__(self, circuit: Circuit, device: str, rows: int = 1) -> None:
        self.program = compile_circuit(circuit, rows=rows)
        self.device = torch_device(device)
        _check_memory(self.device, matrix_product_bytes(matrix_product_bonds(circuit), rows))
        self._groups = _groups(self.program, self.device)
        self._one = torch.eye(2, dtype=torch.complex128, device=self.device)
        self._operators = torch.tensor(_OPERATORS, dtype=torch.complex128, device=self.device)

    def at(self, angles: Float) -> "OnDeviceAt":
        """As in Executable: NumPy arrays in and out, tensors stay on the device."""
        return OnDeviceAt(self, angles)

    def tensors(self, angles: Tensor) -> list[Tensor]:
        """The tensor [row, bit, left, right] of every site, of angles [row, angle]."""
        tensors: dict[int, Tensor] = {}
        for group in self._groups:
            built = self._build(group, self._rotations(group, angles))
            tensors.update(zip(group.sites, built.unbind(1), strict=True))
        return [tensors[site] for site in range(self.program.n_sites)]

    def derivatives(self, angles: Tensor) -> list[tuple[Tensor, Tensor]]:
        """For every site, the numbers of its angles and ∂A / ∂ angle, [row, bit, l r, rotation]."""
        derivatives: dict[int, tuple[Tensor, Tensor]] = {}
        for group in self._groups:
            # rotation k times its generator is its derivative, in variant k of the tensors
            rotations = self._rotations(group, angles)
            turned = rotations @ group.generators / 2
            which = torch.eye(rotations.shape[2], dtype=torch.bool, device=self.device)
            variants = torch.where(which[:, None, None, :, None, None], turned, rotations)
            built = self._build(group, variants).flatten(-2).movedim(0, -1)
            for site, numbers, one in zip(group.sites, group.angles, built.unbind(1), strict=True):
                derivatives[site] = (numbers, one)
        return [derivatives[site] for site in range(self.program.n_sites)]

    def _rotations(self, group: "_Group", angles: Tensor) -> Tensor:
        """The matrices [row, site, rotation, 2, 2] of a group's rotations."""
        half = angles[:, group.angles, None, None] / 2
        return half.cos() * self._one + half.sin() * group.generators

    def _build(self, group: "_Group", rotations: Tensor) -> Tensor:
        """Tensors [..., bit, left, right] from the matrices [..., rotation, 2, 2]."""
        zero = self._one[0].reshape(2, 1, 1)
        tensor = zero.expand(*rotations.shape[:-3], 2, 1, 1)
        matrices = iter(rotations.unbind(-3))
        for code in group.codes:
            if code <= RZ:
                turned = next(matrices) @ tensor.flatten(-2)
                tensor = turned.unflatten(-1, tensor.shape[-2:])
            elif code == WIRE:
                wired = torch.einsum("...blr,xy->...blxry", tensor, self._one)
                tensor = wired.flatten(-2).flatten(-3, -2)
            else:
                operator = self._operators[(code - LEFT_CONTROL) % 3]
                if code <= LEFT_Z:
                    tensor = torch.einsum("kbs,...slr->...blkr", operator, tensor).flatten(-3, -2)
                else:
                    tensor = torch.einsum("kbs,...slr->...blrk", operator, tensor).flatten(-2)
        return tensor


class OnDeviceAt(MatrixProductAt):
    """A matrix product at angles on a torch device: `WithLogProb`."""

    def __init__(self, product: MatrixProductOn, angles: Float) -> None:
        super().__init__(product.program, angles)
        self._product, self.device = product, product.device
        self._kept: tuple[Tensor, list[Tensor]] | None = None
        self._weights: list[Tensor] | None = None

    def _differentiable(self) -> tuple[Tensor, list[Tensor]]:
        """The angles [row, angle] on the device, and the tensors of all sites with their graph."""
        if self._kept is not None:
            return self._kept
        leaf = self._rows(self.angles).requires_grad_()
        with torch.enable_grad():  # it is off within a backward pass, which may be the caller
            built = leaf, self._product.tensors(leaf)
        if self.keeps:
            self._kept = built
        return built

    def _tensors(self) -> list[Tensor]:
        if not self.keeps:
            return self._product.tensors(self._rows(self.angles))
        return [tensor.detach() for tensor in self._differentiable()[1]]

    def _draw(self, rows: slice, uniforms: Float) -> Bits:
        if uniforms.shape[1] == self.angles.shape[1]:  # all rows
            tensors = self._tensors()
            weights = self._weights or _weight_matrices(tensors)
            if self.keeps:
                self._weights = weights
        else:
            tensors = self._product.tensors(self._rows(self.angles[:, rows]))
            weights = _weight_matrices(tensors)
        parts = [
            _sample(tensors, weights, self._by_site(uniforms[:, :, part]))
            for part in self._parts(uniforms.shape, 8 * int(self.program.bond.max()))
        ]
        return torch.cat(parts, dim=1).cpu().numpy().reshape(uniforms.shape)

    def log_prob(self, bits: Bits) -> Float:
        """As in WithLogProb."""
        tensors = self._tensors()
        parts = [
            _log_prob(tensors, self._by_site(bits[:, :, part]))
            for part in self._parts(bits.shape, 8 * int(self.program.bond.max()))
        ]
        return torch.cat(parts, dim=1).cpu().numpy().reshape(bits.shape[:3])

    def score(self, bits: Bits, coefficients: Float) -> Float:
        """As in WithLogProb."""
        if self.program.n_angles == 0:
            return np.zeros(self.angles.shape)
        leaf, tensors = self._differentiable()
        fixed = [tensor.detach() for tensor in tensors]
        gradients = [torch.zeros_like(tensor) for tensor in fixed]
        for part in self._parts(bits.shape, 2 * int(self.program.bond.sum())):
            drawn = self._by_site(bits[:, :, part])
            factors = self._rows(coefficients[:, :, part])[..., None]
            for site, left, right in _around(fixed, drawn):
                # d log p = 2 Re Σ l dA r / (l A r), with dA that of the drawn bit's matrix
                left, one = factors * left, drawn[site][..., None]
                both = torch.stack([left * ~one, left * one], dim=1)
                gradients[site] += both.mT @ right[:, None]
        # torch's gradient of a complex number z, of a real function f, is 2 (∂f / ∂z)*
        pairs = [(t, 2 * g.conj()) for t, g in zip(tensors, gradients, strict=True)]
        trained = [(tensor, g) for tensor, g in pairs if tensor.requires_grad]
        outputs, seeds = zip(*trained, strict=True)
        (score,) = torch.autograd.grad(outputs, leaf, seeds, retain_graph=self.keeps)
        return score.cpu().numpy().reshape(self.angles.shape)

    def scores(self, bits: Bits) -> Float:
        """As in WithLogProb."""
        n_angles = self.angles.shape[-1]
        tensors, derivatives = self._tensors(), self._product.derivatives(self._rows(self.angles))
        bond = self.program.bond
        numbers = 2 * int(bond.sum() + (bond[:-1] * bond[1:]).max()) + n_angles
        parts = []
        for part in self._parts(bits.shape, numbers):
            drawn = self._by_site(bits[:, :, part])
            scores = torch.zeros(
                *drawn.shape[1:], n_angles, dtype=torch.float64, device=self.device
            )
            for site, left, right in _around(tensors, drawn):
                numbers_of_angles, derivative = derivatives[site]
                outer = (left[..., :, None] * right[..., None, :]).flatten(-2)
                scores[..., numbers_of_angles] = 2 * _times(outer, derivative, drawn[site]).real
            parts.append(scores)
        return torch.cat(parts, dim=1).cpu().numpy().reshape(*bits.shape[:3], n_angles)

    # -- between the host and the device ----------------------------------------------------------

    def _rows(self, array: npt.NDArray) -> Tensor:
        """A copy of an array [replica, row, ...] as [replica and row, ...] on the device."""
        return torch.tensor(array, device=self.device).flatten(0, 1)

    def _by_site(self, array: npt.NDArray) -> Tensor:
        """[replica, row, shot, qubit] as [qubit, replica and row, shot]; bits as booleans."""
        sites = self._rows(array).movedim(-1, 0).contiguous()
        return sites.bool() if array.dtype == np.uint8 else sites

    def _parts(self, shape: tuple[int, ...], numbers: int) -> Iterator[slice]:
        """Parts of the draws, when each needs so many complex numbers in every row."""
        replicas, rows, shots, _ = shape
        together = max(1, _DRAWS_BYTES // (16 * replicas * rows * numbers))
        return (slice(first, first + together) for first in range(0, shots, together))


@dataclass(frozen=True)
class _Group:
    """Sites with the same operations, whose tensors are built together."""

    sites: list[int]
    codes: tuple[int, ...]
    """the operations in their order, as in Program"""
    angles: Tensor
    """[site, rotation]: the number of each rotation's angle"""
    generators: Tensor
    """[rotation, 2, 2]"""


def _groups(program: Program, device: torch.device) -> list[_Group]:
    angles: dict[tuple[int, ...], dict[int, list[int]]] = {}
    for site, (first, last) in enumerate(pairwise(program.start.tolist())):
        codes = tuple(program.code[first:last].tolist())
        numbers = [n for n in program.angle[first:last].tolist() if n >= 0]
        angles.setdefault(codes, {})[site] = numbers
    generators = torch.tensor(_GENERATORS, dtype=torch.complex128, device=device)
    return [
        _Group(
            sites=list(by_site),
            codes=codes,
            angles=torch.tensor(list(by_site.values()), dtype=torch.int64, device=device),
            generators=generators[[code for code in codes if code <= RZ]],
        )
        for codes, by_site in angles.items()
    ]


def _check_memory(device: torch.device, needed: int) -> None:
    if device.type != "cuda":
        return
    _, available = torch.cuda.mem_get_info(device)
    if needed > available:
        raise ConfigurationError(
            f"The backend mps would need about {needed / GIB:.3g} GiB for this circuit; the device "
            f"{device} has {available / GIB:.3g} GiB. Use the device cpu, fewer replicas, or a "
            "circuit of smaller depth."
        )


# -- through the sites ---------------------------------------------------------------------------


def _times(vectors: Tensor, tensor: Tensor, one: Tensor) -> Tensor:
    """Each draw's vector times the matrix of its bit.

    vectors [row, shot, left], tensor [row, bit, left, right], one bool [row, shot].
    """
    return torch.where(one[..., None], vectors @ tensor[:, 1], vectors @ tensor[:, 0])


def _normalised(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Vectors of norm 1, or 0 where they vanish, and their norms [row, shot]."""
    norm = torch.linalg.vector_norm(vectors, dim=-1)
    return vectors / torch.where(norm > 0, norm, 1.0)[..., None], norm


def _start(like: Tensor, shape: torch.Size) -> Tensor:
    """The vectors [row, shot, 1] before the first site, or after the last one."""
    return torch.ones(*shape, 1, dtype=like.dtype, device=like.device)


def _weight_matrices(tensors: list[Tensor]) -> list[Tensor]:
    """A E A† [row, bit, left, left] of each site: the weight of a bit is l of it l†.

    E, the right environment, is the sum over bits of the next site's.
    """
    environment = torch.ones_like(tensors[0][:, 0, :1, :1])
    matrices = []
    for tensor in reversed(tensors):
        both = tensor @ environment[:, None] @ tensor.mH
        matrices.append(both)
        environment = both.sum(1)
    return matrices[::-1]


def _sample(tensors: list[Tensor], weights: list[Tensor], uniforms: Tensor) -> Tensor:
    """Draws uint8 [row, shot, site], of uniforms [site, row, shot]."""
    left = _start(tensors[0], uniforms.shape[1:])
    bits = []
    for tensor, both, uniform in zip(tensors, weights, uniforms, strict=True):
        zero, one = ((left @ both[:, bit] * left.conj()).sum(-1).real for bit in (0, 1))
        bit = uniform * (zero + one) < one
        left = _times(left, tensor, bit) / torch.where(bit, one, zero).sqrt()[..., None]
        bits.append(bit)
    return torch.stack(bits, dim=-1).to(torch.uint8)


def _log_prob(tensors: list[Tensor], drawn: Tensor) -> Tensor:
    """log p [row, shot] of bits bool [site, row, shot]."""
    left = _start(tensors[0], drawn.shape[1:])
    log_p = torch.zeros(drawn.shape[1:], dtype=torch.float64, device=drawn.device)
    for tensor, one in zip(tensors, drawn, strict=True):
        left, norm = _normalised(_times(left, tensor, one))
        log_p += 2 * norm.log()
    return log_p


def _around(tensors: list[Tensor], drawn: Tensor) -> Iterator[tuple[int, Tensor, Tensor]]:
    """The sites, from the last one, each with l / (l A r) and r of every draw.

    drawn bool [site, row, shot], l and r [row, shot, left or right]; l is 0 for impossible strings.
    The norms of l and r drop out.
    """
    left = _start(tensors[0], drawn.shape[1:])
    lefts = []
    for tensor, one in zip(tensors, drawn, strict=True):
        lefts.append(left)
        left, _ = _normalised(_times(left, tensor, one))
    possible = left != 0
    right = _start(tensors[0], drawn.shape[1:])
    for site in reversed(range(len(tensors))):
        before = _times(right, tensors[site].mT, drawn[site])
        amplitude = (lefts[site] * before).sum(-1, keepdim=True)
        known = possible & (amplitude != 0)
        yield site, lefts[site] * torch.where(known, 1 / amplitude, 0.0), right
        right, _ = _normalised(before)
