"""What a generator must do: draws, log p, gradients and parameters, replica by replica."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.stats import chisquare

from qhyper.arrays import as_array
from qhyper.bits import Bits, all_bitstrings
from qhyper.checks.finding import Broken, LeftOut, expect, expect_array, expect_same, in_words
from qhyper.checks.randomness import keeps_to_its_streams
from qhyper.compose.module import FromModule, seeded
from qhyper.errors import ConfigurationError
from qhyper.hypernetwork import HyperNetwork
from qhyper.spending import Budget
from qhyper.streams import Streams
from qhyper.targets.layout import Block, Layout
from qhyper.targets.objective import Objective
from qhyper.training.log_prob import MAX_BITS, check_log_prob, total_probability
from qhyper.training.trainer import Trainer, settings_for

LAYOUT = Layout((Block("0.weight", (2, 2), (0, 1)), Block("1.weight", (2, 2), (1, 2))))
"""The bits of a network 2-2-2: eight, of which all strings are looked at."""
SEEDS = (11, 12, 13)
SHOTS = 20_000
"""Draws of each replica that are compared with log p."""
CHANCE = 1e-6
"""With which draws that follow log p are called wrong, for each replica."""


@dataclass(frozen=True, eq=False)
class Generator:
    """A generator to be tried: how one is made for some seeds."""

    make: Callable[[Sequence[int]], HyperNetwork]

    @cached_property
    def started(self) -> HyperNetwork:
        """One of three replicas, as it begins."""
        return self.make(SEEDS)

    def moved(self, seeds: Sequence[int] = SEEDS) -> HyperNetwork:
        """One whose trained parameters are moved from their start, each replica's by its seed."""
        generator = self.make(seeds)
        with torch.no_grad():
            for parameter in generator.trained_parameters:
                for values, seed in zip(parameter, generator.seeds, strict=True):
                    rng = np.random.default_rng([seed, values.numel()])
                    values += torch.as_tensor(rng.normal(0, 0.5, values.shape)).to(values)
        return generator


def inputs_of(generator: HyperNetwork) -> Any:
    """Inputs [input, feature] for a generator that sees them, else None."""
    if not generator.n_inputs:
        return None
    return np.random.default_rng(1).normal(size=(2, generator.n_inputs))


def draw(generator: HyperNetwork, shots: int, step: int = 0) -> Any:
    """Draws [replica, input, shot, bit] from the generator's own streams."""
    rng = Streams(generator.seeds)(step)
    return generator.sample(shots, rng=rng, inputs=inputs_of(generator)).bits


def log_p_of(generator: HyperNetwork, bits: Any) -> Any:
    """log p as an array; LeftOut where there is none."""
    if not generator.capabilities.log_prob:
        raise LeftOut("its capabilities say that it has no log p")
    return generator.log_prob(bits, inputs=inputs_of(generator))


def tolerance(generator: HyperNetwork) -> float:
    """How near numbers have to be, by the precision of the parameters."""
    single = any(p.dtype != torch.float64 for p in generator.parameters())
    return 1e-4 if single else 1e-8


def _is_half(generator: HyperNetwork) -> bool:
    return any(p.dtype.itemsize < 4 for p in generator.parameters())


def _in_double(generator: HyperNetwork) -> str:
    """What else to do where the parameters are of 16 bits."""
    words = " Compute in float32 or float64: 16 bits are too few; convert parameters by .double()."
    return words if _is_half(generator) else ""


# -- what it is ------------------------------------------------------------------------------------


def is_a_generator(subject: Generator) -> None:
    """It is a HyperNetwork of the bits and seeds asked for, and says in one line what it is."""
    made = subject.started
    expect(isinstance(made, HyperNetwork), f"It is a {type(made).__name__}: subclass HyperNetwork.")
    expect(made.seeds == SEEDS, f"Got the seeds {made.seeds}, expected {SEEDS}: hand them on.")
    said = made.describe()
    expect(said.strip() and "\n" not in said, f"describe() gave {said!r}; expected one line.")


def parameters_have_a_replica_axis(subject: Generator) -> None:
    """Every parameter has an entry for each replica, [replica, ...], and some are trained."""
    made = subject.started
    for name, parameter in made.named_parameters():
        shape = tuple(parameter.shape)
        expect(
            shape[:1] == (3,),
            f"'{name}' has shape {list(shape)} for 3 seeds; expected [replica, ...] = [3, ...], so "
            "that each seed trains by itself.",
        )
    expect(made.n_parameters > 0, "It has no parameters to train: make them torch.nn.Parameter.")


def starts_can_be_repeated(subject: Generator) -> None:
    """`initialise` draws the same start again, in the same parameters."""
    made, again = subject.make(SEEDS), subject.make(SEEDS)
    before = dict(made.named_parameters())
    for restart in (0, 2):
        made.initialise(restart)
        again.initialise(restart)
        for name, one in again.named_parameters():
            own = dict(made.named_parameters())[name]
            expect(own is before[name], f"'{name}' was replaced: draw it in place, .copy_(...).")
            expect_same(f"'{name}' of start {restart}, drawn twice", own, one, "Draw from `rng`.")


def modules_are_random_in_parameters_alone(subject: Generator) -> None:
    """Of a plain torch module the parameters alone are random: all else is shared by all seeds."""
    wrapped = [part for part in subject.started.modules() if isinstance(part, FromModule)]
    if not wrapped:
        raise LeftOut("it is no plain torch module")
    do = (
        "All seeds and starts share those of one module: make it a parameter, nn.Parameter(..., "
        "requires_grad=False), which each draws for itself, or draw it from a seed of its own."
    )
    for part in wrapped:
        one, other = (part.module_of(np.random.default_rng(seed)) for seed in (1, 2))
        buffers = dict(other.named_buffers())
        for name, buffer in one.named_buffers():
            what = f"The buffer '{name}', made for another seed"
            expect_same(what, buffers[name], buffer, do)
        other.load_state_dict(one.state_dict())
        what = "What it gives with the same parameters and buffers, made for another seed"
        for found, expected in zip(_answers(other), _answers(one), strict=True):
            expect_same(what, found, expected, f"An attribute of it is random. {do}", 1e-9)


def _answers(module: Any) -> list[Any]:
    """Draws of a plain module and their log p, or else its logits."""
    with torch.no_grad(), seeded(np.random.default_rng(0)):
        if not hasattr(module, "sample"):
            return [module()]
        draws = module.sample(30)
        if not hasattr(module, "log_prob"):
            return [draws]
        bits = torch.as_tensor(draws).to(next(module.parameters()))
        return [draws, module.log_prob(bits)]


# -- draws -----------------------------------------------------------------------------------------


def draws_have_their_axes(subject: Generator) -> None:
    """Draws are zeros and ones, uint8 [replica, input, shot, bit], for one shot and for many."""
    made = subject.started
    inputs = inputs_of(made)
    for shots in (1, 7):
        bits = draw(made, shots)
        shape = (3, 1 if inputs is None else len(inputs), shots, made.n_bits)
        expect_array("A draw", bits, shape, "[replica, input, shot, bit]", "u")
        expect(bits.max() <= 1, f"A draw has the value {bits.max()}; expected 0 and 1.")


def draws_come_from_their_streams(subject: Generator) -> None:
    """The same streams give the same draws again, and other streams give others."""
    made = subject.moved()
    first = draw(made, 60)
    do = "Draw from `rng` alone, and keep nothing between draws."
    expect_same("A draw made twice", draw(made, 60), first, do)
    expect_same("A draw of a generator made again", draw(subject.moved(), 60), first, do)
    if (draw(made, 60, step=1) == first).all() and first.std() > 0:
        one_string = (first == first[:, :, :1]).all()
        expect(one_string, f"60 draws are the same at another step. {do}")


def draws_leave_global_generators_alone(subject: Generator) -> None:
    """Draws, starts and log p neither read nor change a global random generator."""

    def call() -> list[Any]:
        made = subject.make(SEEDS)
        made.initialise(restart=1)
        bits = draw(made, 20)
        found = [bits, *made.parameters()]
        return [*found, log_p_of(made, bits)] if made.capabilities.log_prob else found

    keeps_to_its_streams(call)


def replicas_are_independent(subject: Generator) -> None:
    """A replica draws, and has the log p and its gradient, that it has alone."""
    together = subject.moved()
    bits = draw(together, 50)
    do = "Let a replica use its own parameters and its own rng alone."
    weights = np.random.default_rng(0).normal(size=bits.shape[:3])
    if together.capabilities.log_prob:
        together.accumulate_scores(bits, weights, inputs=inputs_of(together))
    for replica, seed in enumerate(SEEDS):
        for alone in (subject.moved((seed,)), together.replica(replica)):
            expect_same(f"A draw of seed {seed} alone", draw(alone, 50)[0], bits[replica], do)
            if together.capabilities.log_prob:
                own = log_p_of(alone, bits[replica : replica + 1]).detach()[0]
                every = log_p_of(together, bits).detach()[replica]
                what = f"log p of seed {seed} alone"
                expect_same(what, own, every, do, tolerance(together))
                some = slice(replica, replica + 1)
                alone.accumulate_scores(bits[some], weights[some], inputs=inputs_of(alone))
                for name, parameter in alone.named_parameters():
                    of_all = dict(together.named_parameters())[name].grad
                    if parameter.grad is not None and of_all is not None:
                        what = f"The gradient of '{name}' of seed {seed} alone"
                        expect_same(
                            what, parameter.grad[0], of_all[replica], do, tolerance(together)
                        )


# -- log p -----------------------------------------------------------------------------------------


def log_p_has_its_axes(subject: Generator) -> None:
    """log p is float64 [replica, input, shot], a logarithm of at most 0."""
    made = subject.moved()
    bits = draw(made, 7)
    log_p = expect_array("log p", log_p_of(made, bits).detach(), bits.shape[:3],
                         "[replica, input, shot]")  # fmt: skip
    expect(
        not np.isnan(log_p).any() and log_p.max() < tolerance(made),
        f"log p of its own draws is up to {log_p.max():.6g}; expected numbers of at most 0.",
    )
    expect(np.isfinite(log_p).all(), "log p of one of its own draws is -inf: it cannot be drawn.")


def log_p_is_of_one_string(subject: Generator) -> None:
    """log p of a string does not depend on the strings that are asked for with it."""
    made = subject.moved()
    bits = draw(made, 30)
    log_p, do = log_p_of(made, bits).detach(), "Let every string be by itself (no batch norm)."
    backwards = log_p_of(made, bits[:, :, ::-1].copy()).detach().flip(2)
    expect_same("log p in another order", backwards, log_p, do, tolerance(made))
    first = log_p_of(made, bits[:, :, :1].copy()).detach()
    expect_same("log p of one string alone", first, log_p[:, :, :1], do, tolerance(made))


def probabilities_sum_to_one(subject: Generator) -> None:
    """p sums to 1 over all strings, at the start and away from it."""
    for made in (subject.started, subject.moved()):
        log_p_of(made, draw(made, 1))
        if made.n_bits > MAX_BITS:
            check_log_prob(made, inputs_of(made))
            continue
        with torch.no_grad():
            totals = total_probability(made, inputs_of(made))
        worst = totals.flat[int(np.abs(totals - 1).argmax())]
        expect(
            np.abs(totals - 1).max() <= tolerance(made),
            f"Σ exp(log p) over all 2^{made.n_bits} strings is {worst:.6g}; expected 1. Count "
            "every bit once, and take natural logarithms of normalised probabilities."
            + _in_double(made),
        )


def draws_follow_log_p(subject: Generator) -> None:
    """Draws are as frequent as log p says: seeds 11 to 13, 20,000 shots each, chance of 1e-6."""
    made = subject.moved()
    if made.n_bits > MAX_BITS:
        raise LeftOut(f"{made.n_bits} bits have too many strings")
    strings = all_bitstrings(made.n_bits)
    bits = draw(made, SHOTS)
    every = np.broadcast_to(strings, (*bits.shape[:2], *strings.shape))
    p = log_p_of(made, np.ascontiguousarray(every)).detach().exp().cpu().numpy()
    numbers = bits @ (1 << np.arange(made.n_bits))
    for replica, each in np.ndindex(bits.shape[:2]):
        counts = np.bincount(numbers[replica, each], minlength=len(strings))
        chance = follows(counts, p[replica, each])
        if chance <= CHANCE:
            worst = int(np.abs(counts - SHOTS * p[replica, each]).argmax())
            raise Broken(
                f"Of {SHOTS:,} draws of seed {SEEDS[replica]}, {counts[worst]:,} were "
                f"{''.join(map(str, strings[worst]))}, where log p expects "
                f"{SHOTS * p[replica, each, worst]:,.0f} (chi-square: p = {chance:.1g}). Let "
                "`_sample` and `_log_prob` be of one distribution, in one order of bits."
            )


def follows(counts: np.ndarray, p: np.ndarray) -> float:
    """The p-value of counts of all strings against their probabilities; rare ones together."""
    shots = counts.sum()
    expected = shots * p
    common = expected >= 5
    if counts[(expected < 1e-9 * shots)].sum():
        return 0.0
    counts = np.append(counts[common], counts[~common].sum())
    expected = np.append(expected[common], expected[~common].sum())
    some = expected > 0
    if some.sum() < 2:
        return 1.0 if counts[some].sum() == shots else 0.0
    scaled = expected[some] * counts[some].sum() / expected[some].sum()
    spread = abs(expected.sum() - shots) > 0.1 * shots  # not even normalised
    return 0.0 if spread else float(chisquare(counts[some], scaled).pvalue)


def gradients_reach_every_parameter(subject: Generator) -> None:
    """The gradient of log p reaches every parameter of every replica."""
    made = subject.moved()
    bits = draw(made, 40)
    log_p = log_p_of(made, bits)
    do = "Compute log p from the parameters in torch, without .detach(), .data or NumPy."
    expect(log_p.requires_grad, f"log p has no gradient at all. {do}")
    weights = torch.from_numpy(np.random.default_rng(0).normal(size=log_p.shape)).to(log_p.device)
    (log_p * weights).sum().backward()
    for name, parameter in made.named_parameters():
        if not parameter.requires_grad:
            continue
        gradient = parameter.grad
        reached = gradient is not None and (gradient != 0).reshape(len(gradient), -1).any(1).all()
        expect(reached, f"'{name}' has no gradient in 40 draws, or only some replicas have. {do}")
        expect(torch.isfinite(gradient).all(), f"'{name}' has a gradient that is not finite.")  # type: ignore[arg-type]


def _accumulated(subject: Generator) -> tuple[HyperNetwork, Bits, npt.NDArray[np.float64]]:
    """A generator with the gradient of Σ weights · log p of its draws, these, and the weights."""
    made = subject.moved()
    bits = draw(made, 20)
    weights = np.random.default_rng(0).normal(size=log_p_of(made, bits).shape)
    made.zero_grad()
    made.accumulate_scores(bits, weights, inputs=inputs_of(made))
    return made, bits, weights


def gradients_are_derivatives(subject: Generator) -> None:
    """The gradient of log p is its derivative, by small steps of each parameter."""
    made, bits, weights = _accumulated(subject)
    step, near = (1e-2, 0.05) if tolerance(made) > 1e-6 else (1e-5, 1e-4)
    step = 0.1 if _is_half(made) else step
    for name, parameter in made.named_parameters():
        if not parameter.requires_grad or parameter.grad is None:
            continue
        along = torch.as_tensor(np.random.default_rng(2).normal(size=parameter.shape))
        start, ends, values = parameter.detach().clone(), [], []
        with torch.no_grad():
            for sign in (1, -1):
                parameter.copy_(start.double() + sign * step * along.to(start.device))
                ends.append(parameter.double().clone())
                values.append((as_array(log_p_of(made, bits), "log p") * weights).sum())
            parameter.copy_(start)
        moved = (ends[0] - ends[1]) / (2 * step)  # as far as its dtype can tell
        found = float((parameter.grad.double() * moved).sum())
        expected = (values[0] - values[1]) / (2 * step)
        expect(
            abs(found - expected) <= near * (1 + abs(expected)),
            f"Along a random direction of '{name}' the gradient is {found:.6g}, and log p changes "
            f"by {expected:.6g}. Let autograd see every use of '{name}', or mend "
            "`accumulate_scores`." + _in_double(made),
        )


def scores_add_up(subject: Generator) -> None:
    """`accumulate_scores` adds to the gradient that is there what `scores` of each draw sum to."""
    made, bits, weights = _accumulated(subject)
    once = _gradients(made)
    made.accumulate_scores(bits, weights, inputs=inputs_of(made))
    near = 0.05 if _is_half(made) else tolerance(made)
    do = "Add to `.grad`, do not replace it: optimisers clear it."
    expect_same("A gradient added twice", _gradients(made), 2 * once, do, near)
    scores = made.scores(bits, inputs=inputs_of(made))
    expect_array("`scores`", scores, (*bits.shape[:3], once.shape[1]),
                 "[replica, input, shot, parameter]")  # fmt: skip
    summed = np.einsum("rik,rikp->rp", weights, scores)
    do = "Let `scores` give ∇ log p of each draw, or leave it to the base class."
    expect_same("The weighted sum of `scores`", summed, once, do, near)


def _gradients(generator: HyperNetwork) -> npt.NDArray[np.float64]:
    """The gradients of the trained parameters, [replica, parameter]; 0 where there are none."""
    parts = [
        torch.zeros_like(p) if p.grad is None else p.grad for p in generator.trained_parameters
    ]
    flat = [part.reshape(generator.replicas, -1).double() for part in parts]
    return torch.cat(flat, dim=1).cpu().numpy()


def probabilities_agree(subject: Generator) -> None:
    """All probabilities, and those of each bit, are those of log p, as far as they are given."""
    made = subject.moved()
    if made.n_bits > MAX_BITS:
        raise LeftOut(f"{made.n_bits} bits have too many strings")
    inputs, strings = inputs_of(made), all_bitstrings(made.n_bits)
    every = np.broadcast_to(strings, (3, 1 if inputs is None else len(inputs), *strings.shape))
    p = log_p_of(made, np.ascontiguousarray(every)).detach().exp().cpu().numpy()
    near = max(tolerance(made), 1e-8)
    if made.n_bits <= made.max_probability_bits:
        found = made.probabilities(inputs=inputs).detach().cpu()
        expect_same("probabilities()", found, p, "Mend `_probabilities`.", near)
    if not made.has_marginals:
        return
    marginals = p @ strings.astype(float)
    expect_same("marginals()", made.marginals(inputs=inputs).detach().cpu(), marginals,
                "Mend `_marginals`.", near)  # fmt: skip
    if made.capabilities.independent:
        each = np.where(strings == 1, marginals[:, :, None], 1 - marginals[:, :, None])
        do = "Its capabilities say that its bits are independent: leave that out."
        expect_same("p of independent bits", p, each.prod(-1), do, near)
    if inputs is None and made.independent_blocks is not None:
        _blocks_agree(made, p[:, 0], near)


def _blocks_agree(made: HyperNetwork, p: npt.NDArray[np.float64], near: float) -> None:
    """The probabilities of independent blocks make up those of all strings, p [replica, string]."""
    plan, do = made.independent_blocks, "Mend `block_probabilities` or `independent_blocks`."
    assert plan is not None
    tables = made.block_probabilities().detach().cpu().numpy()
    shape = (len(p), len(plan), 1 << plan.shape[1])
    expect(
        tables.shape == shape, f"block_probabilities() has shape {tables.shape}, not {shape}. {do}"
    )
    numbers = all_bitstrings(made.n_bits)[:, plan] @ (1 << np.arange(plan.shape[1]))
    found = tables[:, np.arange(len(plan)), numbers].prod(axis=-1)
    expect_same("block_probabilities()", found, p, do, near)


def other_bits_are_refused(subject: Generator) -> None:
    """Bits of another width, in other axes, or that are no bits are refused, with words."""
    made = subject.started
    log_p_of(made, draw(made, 1))
    shape = draw(made, 2).shape
    wrong = {
        "one bit less": np.zeros((*shape[:3], made.n_bits - 1), np.uint8),
        "no replica axis": np.zeros(shape[1:], np.uint8),
        "a 2": np.full(shape, 2),
    }
    for what, bits in wrong.items():
        try:
            made.log_prob(bits, inputs=inputs_of(made))
        except ConfigurationError:
            continue
        except Exception as error:
            raise Broken(f"Of {what}, {in_words(error)} Write `_log_prob`, which gets checked bits,"
                         " in place of `log_prob`.") from error  # fmt: skip
        raise Broken(f"log_prob took bits with {what}. Write `_log_prob`, not `log_prob`.")


# -- as a whole ------------------------------------------------------------------------------------


def a_state_dict_is_all_there_is(subject: Generator) -> None:
    """A generator that loads the `state_dict` of another draws and scores as that one."""
    made, other = subject.moved(), subject.make((1, 2, 3))
    other.load_state_dict(made.state_dict())
    rng, inputs = Streams(SEEDS), inputs_of(made)
    one, two = (g.sample(30, rng=rng(4), inputs=inputs).bits for g in (made, other))
    do = "Keep all that matters in parameters and buffers."
    expect_same("A draw after load_state_dict", two, one, do)
    if made.capabilities.log_prob:
        found = log_p_of(other, one).detach()
        expect_same("log p after load_state_dict", found, log_p_of(made, one).detach(), do,
                    tolerance(made))  # fmt: skip


def it_trains_and_goes_on(subject: Generator) -> None:
    """It trains for four steps, and goes on from a checkpoint as if it had not stopped."""
    if subject.started.n_inputs:
        raise LeftOut("it sees inputs, and these four steps have none")

    def trainer() -> Trainer:
        made = subject.make(SEEDS)
        objective = Objective(lambda bits: bits.mean(axis=1), made.n_bits)
        estimator = "score-function" if made.capabilities.log_prob else "spsa"
        training = {"estimator": estimator, "estimator_options": {}, "draws": 16, "restarts": 1}
        each = 1 if made.capabilities.log_prob else 3
        settings = settings_for(made, training, Budget(evaluations=4 * 16 * each))
        return Trainer(made, objective, settings)

    whole, first, second = trainer(), trainer(), trainer()
    whole.run()
    for _ in range(2):
        first.advance()
    second.load_state_dict(first.state_dict())
    second.run()
    for name, parameter in whole.generator.named_parameters():
        gone_on = dict(second.generator.named_parameters())[name]
        do = "Keep all that matters in parameters and buffers."
        expect_same(f"'{name}' after a checkpoint", gone_on, parameter, do)


CHECKS = (
    is_a_generator,
    parameters_have_a_replica_axis,
    draws_have_their_axes,
    log_p_has_its_axes,
    starts_can_be_repeated,
    modules_are_random_in_parameters_alone,
    draws_come_from_their_streams,
    draws_leave_global_generators_alone,
    replicas_are_independent,
    log_p_is_of_one_string,
    probabilities_sum_to_one,
    draws_follow_log_p,
    gradients_reach_every_parameter,
    gradients_are_derivatives,
    scores_add_up,
    probabilities_agree,
    other_bits_are_refused,
    a_state_dict_is_all_there_is,
    it_trains_and_goes_on,
)
