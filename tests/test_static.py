"""Static hypernetworks: fields, chunk plans, encoded circuits, and gradients of whole blocks."""

import re

import numpy as np
import pytest
import torch
from scipy.special import expit

from classical.conditional import InputLogits
from qhyper.bits import all_bitstrings
from qhyper.compose.chunked import Chunked
from qhyper.compose.fields import Field
from qhyper.compose.joined import Joined
from qhyper.compose.ordered import Ordered
from qhyper.compose.plans import check_plan, largest_chunk, patches
from qhyper.compose.static import static
from qhyper.errors import ConfigurationError, UnsuitableError
from qhyper.gradients.block_expectation import BlockExpectation
from qhyper.gradients.control_variate import ControlVariate
from qhyper.gradients.exact import Exact
from qhyper.hypernetwork import build_generator
from qhyper.quantum.ansatz import Encoded
from qhyper.quantum.generator import QuantumHyperNetwork
from qhyper.quantum.simulators.mps import MatrixProductBackend
from qhyper.risk import CVaR, Expectation
from qhyper.streams import Streams
from qhyper.targets.layout import Block, Layout
from qhyper.targets.objective import Objective, blocks_by_evaluation
from qhyper.targets.packed.blocks import block_differences
from qhyper.targets.packed.inputs import pack_bits
from qhyper.targets.packed.target import PackedObjective, PackedRows, PackedTarget

SEEDS = (4, 7)
TARGET = PackedTarget((24, 4, 3))
"""Images of 4 × 6 pixels; 24 are no square."""
IMAGE = (4, 6)


# -- fields ---------------------------------------------------------------------------------------


def basis(size, frequency):
    """The orthonormal DCT-II, written out."""
    scale = np.sqrt((1 if frequency == 0 else 2) / size)
    return scale * np.cos(np.pi * (np.arange(size) + 0.5) * frequency / size)


@pytest.mark.parametrize("each", [None, 3])
@pytest.mark.parametrize("rest", ["free", "signs"])
def test_a_field_is_the_formula_written_out(each, rest):
    field = Field(TARGET.layout, replicas=2, kept=3, each=each, rest=rest, image=IMAGE)
    field.initialise(Streams(SEEDS)(0, "initialise"))
    first = field.first.detach().numpy()
    found = field().detach().numpy()
    assert found.shape == (2, TARGET.n_bits)
    assert first.shape == (2, 4, each or 9)
    chosen = np.tile(np.arange(9), (4, 1)) if each is None else field._chosen.numpy()
    bits = TARGET.layout.bits
    for replica in range(2):
        for unit in range(4):
            image = np.zeros(IMAGE)
            for number, coefficient in zip(chosen[unit], first[replica, unit], strict=True):
                row, column = divmod(int(number), 3)
                image += coefficient * np.outer(basis(4, row), basis(6, column))
            own = found[replica, bits["0.weight"][:, unit]]
            np.testing.assert_allclose(own, image.ravel(), atol=1e-12)
    later = found[:, bits["1.weight"].ravel()]
    own = field.later[0].detach().numpy()
    if rest == "free":
        np.testing.assert_array_equal(later, own)
    else:
        assert own.tolist() == [[1.0], [1.0]]
        np.testing.assert_array_equal(abs(later), 1.0)
        np.testing.assert_array_equal(later[0], later[1])


def test_a_short_side_keeps_all_its_frequencies():
    line = Field(TARGET.layout, replicas=1, kept=10)
    assert (line.image, line.kept, line.first.shape) == ((1, 24), (1, 10), (1, 4, 10))
    assert Field(TARGET.layout, replicas=1, kept=10, image=IMAGE).kept == (4, 6)


def test_units_have_frequencies_of_their_own():
    one, other = (Field(TARGET.layout, replicas=1, kept=4, each=5, image=IMAGE) for _ in range(2))
    assert torch.equal(one._chosen, other._chosen)
    assert len({tuple(row) for row in one._chosen.tolist()}) > 1
    assert all(len(set(row)) == 5 for row in one._chosen.tolist())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"kept": 0},
            "Got kept=0 frequencies along each side of an image; expected a whole number",
        ),
        ({"kept": 2, "each": 5}, r"Got each=5 of 2×2 frequencies a unit; expected 1 to 4"),
        ({"rest": "sign"}, "rest of a field 'sign'. Did you mean 'signs'"),
        ({"image": (5, 5)}, r"Got images of \(5, 5\) for 24 inputs. Say which image"),
    ],
)
def test_fields_that_cannot_be(given, message):
    with pytest.raises(ConfigurationError, match=message):
        Field(TARGET.layout, replicas=1, **{"image": IMAGE, "kept": 3, **given})


def test_a_field_needs_a_first_weight_matrix():
    for layout in (None, Layout((Block("bits", (12,)),))):
        with pytest.raises(UnsuitableError, match="needs the layout of a target that begins with"):
            Field(layout, replicas=1)
        with pytest.raises(UnsuitableError, match="Patches are of the weights of a first layer"):
            patches(layout, 4)
        assert largest_chunk(layout, 8) == 1


# -- plans ----------------------------------------------------------------------------------------


def test_a_chunk_is_a_patch_of_one_units_weights():
    plan = patches(PackedTarget((24, 4, 3)).layout, 4, image=IMAGE)
    check_plan(plan, 24 * 4 + 4 * 3)
    first = plan[: 24 * 4 // 4]
    units, pixels = first % 4, first // 4
    assert (units == units[:, :1]).all()
    rows, columns = pixels // 6, pixels % 6
    assert (np.ptp(rows, axis=1) == 1).all()
    assert (np.ptp(columns, axis=1) == 1).all()
    last = plan[24:] - 24 * 4
    assert (last % 3 == last[:, :1] % 3).all()  # the weights of one class


def test_the_largest_chunk_cuts_everything():
    assert largest_chunk(PackedTarget((784, 128, 10)).layout, 8) == 8
    assert largest_chunk(PackedTarget((24, 4, 3)).layout, 8, image=IMAGE) == 4
    assert largest_chunk(PackedTarget((9, 5, 3)).layout, 8) == 1
    assert patches(PackedTarget((784, 128, 10)).layout, 8).shape == (12_704, 8)


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ([[0, 1], [2, 2]], "Missing: 3. More than once: 2. Outside: 0."),
        ([[0, 1], [2, 4]], "Missing: 3. More than once: none. Outside: 1."),
        ([[0, 1]], "Missing: 2, 3. More than once: none."),
        ([0, 1, 2, 3], "expected every bit of 0 to 3 once in"),
    ],
)
def test_a_plan_that_does_not_cover_the_bits_once(plan, message):
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        check_plan(np.array(plan), 4)


@pytest.mark.parametrize(
    ("layers", "chunk", "given", "message"),
    [
        ((24, 4, 3), 5, {}, r"No patch of 5 pixels fills images of \(4, 6\)"),
        ((24, 4, 3), 8, {}, "Of the block 1.weight, the 4 weights of a unit are no whole number"),
        ((24, 4, 3), 4, {"patch": (4, 2)}, r"Got patches of \(4, 2\) pixels for chunks of 4 bits"),
        ((24, 1, 2), 64, {}, "Got chunks of 64 bits for the layout .* which has 26"),
    ],
)
def test_chunks_that_cannot_be(layers, chunk, given, message):
    with pytest.raises(ConfigurationError, match=message):
        patches(PackedTarget(layers).layout, chunk, image=IMAGE, **given)


# -- chunks at the numbers of a field --------------------------------------------------------------


def made(generator, **options):
    return static(
        TARGET.n_bits, generator=generator, kept=3, image=IMAGE, layout=TARGET.layout, seeds=SEEDS,
        **options,
    )  # fmt: skip


def test_a_bernoulli_takes_the_field_for_logits():
    generator = made("classical.conditional:InputLogits")
    field = generator.generator.field().detach().numpy()
    np.testing.assert_allclose(generator.marginals()[:, 0].detach(), expit(field), atol=1e-12)
    bits = generator.sample(5, rng=Streams(SEEDS)(0)).bits
    p = np.where(bits == 1, expit(field)[:, None, None], 1 - expit(field)[:, None, None])
    found = generator.log_prob(bits).detach().numpy()
    np.testing.assert_allclose(found, np.log(p).sum(-1), rtol=1e-12)


def test_a_product_circuit_turns_each_qubit_by_its_number():
    generator = made("product")
    with torch.no_grad():
        generator.generator.generator.theta.zero_()
    field = generator.generator.field().detach().numpy()
    expected = (1 + np.sin(field)) / 2
    np.testing.assert_allclose(generator.marginals()[:, 0].detach(), expected, atol=1e-12)
    assert generator.n_parameters == 4 * 9 + 12 + 4
    assert generator.capabilities.independent


def test_an_entangled_circuit_begins_as_the_product():
    generator, product = made("entangled"), made("product")
    for each in (generator, product):
        with torch.no_grad():
            each.generator.generator.theta.zero_()
    found, expected = (each.marginals().detach() for each in (generator, product))
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert generator.n_parameters == product.n_parameters + 2 * 4
    assert not generator.capabilities.independent


def test_gradients_reach_the_field_and_the_circuit():
    """By central differences of log p; 1e-6 steps."""
    generator = made("entangled", depth=1)
    bits = generator.sample(3, rng=Streams(SEEDS)(0)).bits
    generator.accumulate_scores(bits, np.ones((2, 1, 3)))
    for parameter in generator.parameters():
        flat, gradient = parameter.data.view(2, -1), parameter.grad.view(2, -1)
        for k in (0, flat.shape[1] - 1):
            found = []
            for step in (1e-6, -2e-6):
                flat[:, k] += step
                found.append(generator.log_prob(bits).sum((1, 2)).detach())
            flat[:, k] += 1e-6
            torch.testing.assert_close(gradient[:, k], (found[0] - found[1]) / 2e-6,
                                       rtol=1e-4, atol=1e-6)  # fmt: skip


def test_a_field_needs_a_plan_of_the_chunks():
    field = Field(TARGET.layout, replicas=2, kept=3, image=IMAGE)
    with pytest.raises(ConfigurationError, match="Got a chunk plan of shape None for a field"):
        Chunked(InputLogits(4, seeds=SEEDS), 27, embeddings=field)
    with pytest.raises(ConfigurationError, match="Missing: 1, 2, 3, 4, 5, 6, 7, 8 and 99 more"):
        Chunked(InputLogits(4, seeds=SEEDS), 27, embeddings=field, plan=np.zeros((27, 4), np.int64))


# -- encoded circuits -----------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_an_encoded_circuit_is_that_of_the_matrix_product(depth):
    ansatz = Encoded(depth, scale=0.7)
    inputs = np.random.default_rng(0).normal(size=(5, 4))
    one = QuantumHyperNetwork(4, ansatz=ansatz, backend="statevector", seeds=SEEDS)
    other = QuantumHyperNetwork(4, ansatz=ansatz, backend=MatrixProductBackend(), seeds=SEEDS)
    for generator in (one, other):
        with torch.no_grad():
            generator.theta.copy_(torch.linspace(-2, 2, 8 * (depth + 1)).reshape(2, -1))
    bits = np.broadcast_to(all_bitstrings(4), (2, 5, 16, 4)).copy()
    found, expected = (each.log_prob(bits, inputs=inputs).detach() for each in (one, other))
    np.testing.assert_allclose(found, expected, atol=1e-9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": 0.0}, "with a scale above 0; got scale=0.0"),
        ({"depth": -1}, "depth"),
        ({"pairs": "lines"}, "Did you mean 'linear'"),
    ],
)
def test_encoded_circuits_that_cannot_be(options, message):
    with pytest.raises(ConfigurationError, match=message):
        Encoded(**options)


def test_an_encoded_circuit_sees_a_feature_a_qubit():
    with pytest.raises(ConfigurationError, match="sees one feature a qubit; got n_inputs=3 for 4"):
        build_generator("quantum", 4, options={"ansatz": "encoded", "n_inputs": 3})


# -- blocks ---------------------------------------------------------------------------------------


def rows_of(target, n=60, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.integers(2, size=(n, target.layers[0]), dtype=np.uint8)
    return PackedRows(target, pack_bits(x), rng.integers(target.classes, size=n), "cross_entropy")


@pytest.mark.parametrize(
    ("layers", "image", "chunk"),
    [((24, 4, 3), (4, 6), 4), ((12, 8, 2), (3, 4), 2), ((36, 6, 5), (6, 6), 3),
     ((70, 7, 2), (7, 10), 7), ((9, 5, 4), (3, 3), 1)],
)  # fmt: skip
@pytest.mark.parametrize("scale", [0.5, 3.0])
def test_all_strings_of_a_block_from_one_pass_are_those_by_evaluation(layers, image, chunk, scale):
    target = PackedTarget(layers, scale=scale)
    rows, plan = rows_of(target), patches(target.layout, chunk, image=image)
    bits = np.random.default_rng(1).integers(2, size=(2, target.n_bits), dtype=np.uint8)
    losses, differences = rows.blocks(bits, plan)
    expected = blocks_by_evaluation(rows.losses, bits, plan)
    np.testing.assert_allclose(losses, expected[0], rtol=1e-12)
    np.testing.assert_allclose(differences, expected[1], atol=1e-12)
    own = (bits[:, plan] * (1 << np.arange(chunk))).sum(-1)
    drawn = np.take_along_axis(differences, own[..., None], axis=-1)
    np.testing.assert_allclose(drawn, 0.0, atol=1e-15)


def test_one_pass_counts_as_one_evaluation():
    target = PackedTarget((24, 4, 3))
    objective = PackedObjective(rows_of(target))
    plan = patches(target.layout, 4, image=IMAGE)
    bits = np.zeros((2, 3, target.n_bits), np.uint8)
    losses, differences = objective.blocks(bits, plan)
    assert losses.shape == (2, 3)
    assert differences.shape == (2, 3, 27, 16)
    assert (objective.evaluations, objective.block_evaluations(plan)) == (6, 1)
    batch = objective.mini_batches(10).take(np.arange(10)[None])
    batch.blocks(bits[:1, :1, None], plan)
    assert (objective.evaluations, objective.rows) == (7, 6 * 60 + 10)


def test_blocks_over_several_units_are_evaluated():
    target = PackedTarget((24, 4, 3))
    bits, plan = np.zeros((1, target.n_bits), np.uint8), np.arange(target.n_bits).reshape(-1, 2)
    rows = rows_of(target)
    for found, expected in zip(
        rows.blocks(bits, plan), blocks_by_evaluation(rows.losses, bits, plan), strict=True
    ):
        np.testing.assert_array_equal(found, expected)
    assert PackedObjective(rows).block_evaluations(plan) == 1 + 54 * 3
    words = target.shape.from_bits(bits)[0]
    with pytest.raises(UnsuitableError, match=r"Block 0 has the bits \[0, 1\], which are weights"):
        block_differences(
            target.shape, words, rows.inputs, rows.labels, target.scale, plan, np.empty((1, 4))
        )


def test_blocks_of_many_bits_are_refused_with_their_cost():
    objective = Objective(lambda bits: bits.sum(-1), 26)
    with pytest.raises(ConfigurationError, match=r"2 × 2\^13 = 16,384 losses a draw of 26 bits"):
        objective.blocks(np.zeros((1, 26), np.uint8), np.arange(26).reshape(2, 13))


@pytest.mark.parametrize("plan", [[[0, 0]], [[0, -1]], [[0, 9]], [0, 1], [[0.5, 1.0]]])
def test_blocks_that_are_none_are_refused(plan):
    objective = Objective(lambda bits: bits.sum(-1), 4)
    with pytest.raises(ConfigurationError, match="expected numbers of bits, from 0 to 3"):
        objective.blocks(np.zeros((1, 4), np.uint8), np.array(plan))
    rows = rows_of(PackedTarget((2, 1, 2)))
    with pytest.raises(ConfigurationError, match="expected numbers of bits, from 0 to 3"):
        rows.blocks(np.zeros((1, 4), np.uint8), np.array(plan))


@pytest.mark.parametrize("scale", [0.01, 0.02, 1e6])
def test_extreme_scales_make_no_numbers_that_are_none(scale):
    target = PackedTarget((16, 32, 3), scale=scale)
    rows, plan = rows_of(target), patches(target.layout, 8)
    bits = np.random.default_rng(2).integers(2, size=(2, target.n_bits), dtype=np.uint8)
    _, differences = rows.blocks(bits, plan)
    _, expected = blocks_by_evaluation(rows.losses, bits, plan)
    np.testing.assert_allclose(differences, expected, rtol=1e-9, atol=1e-9)


def test_joined_parts_have_the_blocks_of_all():
    parts = [Chunked(QuantumHyperNetwork(3, ansatz=Encoded(1), seeds=SEEDS), 2) for _ in range(2)]
    joined = Joined(parts)
    assert joined.independent_blocks.tolist() == np.arange(12).reshape(4, 3).tolist()
    costs = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 4, 8)))
    expected = [part.block_expectation(costs[:, 2 * k : 2 * k + 2]) for k, part in enumerate(parts)]
    torch.testing.assert_close(joined.block_expectation(costs), torch.cat(expected, dim=1))


@pytest.mark.parametrize("kind", ["ordered", "joined", "independent", "one block"])
def test_blocks_have_the_probabilities_of_their_strings_and_the_mode(kind):
    """Their product is the probability of every string of all bits, and the mode its largest."""
    n = 3 if kind == "independent" else 2
    inner = {
        size: QuantumHyperNetwork(size, ansatz=Encoded(2, scale=1.0), start="uniform", seeds=SEEDS)
        for size in (2, 3)
    }
    generator = {
        "ordered": lambda: Ordered(Chunked(inner[3], 2), [3, 0, 5, 2, 1, 4]),
        "joined": lambda: Joined([Chunked(inner[2], 2), Chunked(inner[2], 1)]),
        "independent": lambda: Chunked(InputLogits(n, seeds=SEEDS), 2),
        "one block": lambda: build_generator("quantum-depth2", 6, seeds=SEEDS),
    }[kind]()
    plan, tables = generator.independent_blocks, generator.block_probabilities().detach().numpy()
    strings = all_bitstrings(6)
    numbers = strings[:, plan] @ (1 << np.arange(plan.shape[1]))  # [string, block]
    expected = generator.probabilities().detach().numpy()[:, 0]
    for replica, table in enumerate(tables):
        found = table[np.arange(len(plan)), numbers].prod(axis=1)
        np.testing.assert_allclose(found, expected[replica], rtol=1e-9, atol=1e-15)
        np.testing.assert_array_equal(generator.mode()[replica], strings[found.argmax()])


def test_a_generator_without_parameters_is_chunked():
    assert Chunked(InputLogits(4), 3).n_parameters == 12


def test_a_layout_that_only_single_bits_cut_entangles_nothing():
    layout = PackedTarget((16, 5, 3)).layout
    with pytest.raises(ConfigurationError, match=r"has 1 bit, and a circuit of 1 qubit entangles"):
        static(layout.n_bits, generator="entangled", layout=layout)
    assert static(layout.n_bits, layout=layout).describe().startswith("95 chunks of 1 bits")
    static(layout.n_bits, generator="entangled", entangled=False, layout=layout)


@pytest.mark.parametrize("option", ["ansatz", "n_inputs"])
def test_what_a_static_circuit_has_of_its_own_is_not_replaced(option):
    with pytest.raises(ConfigurationError, match=f"Got {option}=3 for a static hypernetwork by"):
        made("entangled", **{option: 3})


def test_a_backend_is_taken():
    assert "on mps" not in made("entangled", backend="mps").describe()
    assert "on statevector" in made("entangled").describe()


def test_an_own_objective_has_blocks_by_evaluation():
    """L = w0 w1 + 2 w2 on two blocks; counted as every string once."""
    objective = Objective(lambda bits: bits[:, 0] * bits[:, 1] + 2 * bits[:, 2] + 0 * bits[:, 3], 4)
    plan = np.array([[0, 1], [3, 2]])
    losses, differences = objective.blocks(np.array([1, 1, 0, 0], np.uint8), plan)
    assert losses == 1
    assert differences.tolist() == [[-1, -1, -1, 0], [0, 0, 2, 2]]
    assert objective.evaluations == objective.block_evaluations(plan) == 7


# -- their gradient -------------------------------------------------------------------------------


def loss(bits):
    """A loss that ties all bits together."""
    number = bits @ (1 << np.arange(bits.shape[-1]))
    return np.cos(number * 1.7) + bits.sum(-1) ** 2 / 9


@pytest.mark.parametrize("ordered", [False, True])
def test_the_gradient_is_unbiased_however_entangled(ordered):
    """The mean over all draws, each by its probability, is the exact gradient: 2 chunks of 3."""
    inner = QuantumHyperNetwork(3, ansatz=Encoded(2, scale=1.0), start="uniform", seeds=(3,))
    generator = Chunked(inner, 2)
    if ordered:
        generator = Ordered(generator, [3, 0, 5, 2, 1, 4])
    Exact()(generator, loss, Expectation())
    exact = [parameter.grad.clone() for parameter in generator.parameters()]
    p = generator.probabilities().detach().numpy()[0, 0]
    total = [torch.zeros_like(parameter) for parameter in exact]
    plan = generator.independent_blocks
    assert plan.shape == (2, 3)
    for string, probability in zip(all_bitstrings(6), p, strict=True):
        generator.zero_grad()
        _, differences = blocks_by_evaluation(loss, string, plan)
        generator.block_expectation(torch.from_numpy(differences)[None]).sum().backward()
        for sum_, parameter in zip(total, generator.parameters(), strict=True):
            sum_ += probability * parameter.grad
    for found, expected in zip(total, exact, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


def test_a_generator_of_few_bits_is_one_block_and_its_gradient_exact():
    generator = QuantumHyperNetwork(4, ansatz=Encoded(1), backend="statevector", seeds=SEEDS)
    whole = Chunked(generator, 1)
    Exact()(whole, loss, Expectation())
    exact = [parameter.grad.clone() for parameter in whole.parameters()]
    whole.zero_grad()
    estimate = BlockExpectation(1)(whole, loss, Expectation(), rng=Streams(SEEDS)(0))
    for parameter, expected in zip(whole.parameters(), exact, strict=True):
        torch.testing.assert_close(parameter.grad, expected, rtol=1e-9, atol=1e-12)
    assert (estimate.spent.evaluations, estimate.spent.shots, estimate.spent.circuits) == (16, 1, 1)


def test_what_has_no_blocks_is_refused():
    estimator = BlockExpectation(2)
    mlp = build_generator("mlp", 36)
    with pytest.raises(ConfigurationError, match="needs blocks of bits that are independent"):
        estimator.check(mlp, Expectation())
    with pytest.raises(ConfigurationError, match="CVaR"):
        estimator.check(made("product"), CVaR(0.5))
    wide = Chunked(QuantumHyperNetwork(13, ansatz=Encoded(1), backend="statevector"), 2)
    with pytest.raises(ConfigurationError, match=r"Got blocks of 13 bits: .* 2 × 2\^13 = 16,384"):
        estimator.check(wide, Expectation())
    with pytest.raises(ConfigurationError, match="needs at least 1 shot"):
        BlockExpectation(0)


# -- a control variate ----------------------------------------------------------------------------


def test_a_polynomial_loss_leaves_the_score_function_nothing():
    """L is of order 2, so that residuals vanish and the gradient is exact: 5 bits, 400 draws."""
    generator = build_generator("quantum-depth2", 5, seeds=SEEDS)
    weights = np.random.default_rng(0).normal(size=(5, 5))

    def quadratic(bits):
        signs = 2.0 * bits - 1
        return np.einsum("...i,ij,...j->...", signs, weights, signs)

    Exact()(generator, quadratic, Expectation())
    exact = generator.theta.grad.clone()
    for order, close in ((2, True), (1, False)):
        generator.zero_grad()
        ControlVariate(400, order)(generator, quadratic, Expectation(), rng=Streams(SEEDS)(0))
        found = (generator.theta.grad - exact).abs().max()
        assert (found < 1e-9) == close


def test_a_fit_to_the_other_half_alone_is_unbiased():
    """Of a loss that no quadratic fits: seeds 0 to 799, 24 draws, within 5 standard errors."""
    options = {"start": [0.4, 1.1, 0.3, 2.0] * 4}
    one, many = (
        build_generator("quantum-depth2", 4, seeds=seeds, options=options)
        for seeds in ((0,), range(800))
    )
    Exact()(one, loss, Expectation())
    ControlVariate(24)(many, loss, Expectation(), rng=Streams(many.seeds)(0))
    found = many.theta.grad.numpy()
    error = found.std(axis=0, ddof=1) / np.sqrt(800)
    assert (abs(found.mean(axis=0) - one.theta.grad.numpy()[0]) <= 5 * error + 1e-12).all()


def test_control_variates_that_cannot_be():
    with pytest.raises(ConfigurationError, match="needs at least 2 shots, one in each half; got 1"):
        ControlVariate(1)
    with pytest.raises(ConfigurationError, match="polynomial of order 1 or more; got order=0"):
        ControlVariate(8, 0)
    with pytest.raises(ConfigurationError, match=r"needs all 2\^36 probabilities .* up to 16 bits"):
        ControlVariate(8).check(build_generator("bernoulli", 36), Expectation())
