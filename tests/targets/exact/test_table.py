"""Tables of costs against brute force, and Walsh spectra against what symmetry demands."""

from itertools import pairwise

import numpy as np
import pytest

import qhyper.targets.exact.table
from qhyper import registry
from qhyper.bits import all_bitstrings
from qhyper.data.samples import Samples
from qhyper.errors import ConfigurationError, MissingError, StorageError
from qhyper.run.comparison import compare
from qhyper.targets.exact.certificate import certify_objective
from qhyper.targets.exact.table import CostTable, TableTarget, tabulate
from qhyper.targets.layered.network import BinaryNetwork
from qhyper.targets.layout import Block, Layout
from qhyper.targets.loss import LOSSES
from qhyper.targets.objective import Objective

ATOL = 1e-15
"""Rounding of the coefficients of costs of order 1."""


def random_table(n_bits, seed=0):
    return CostTable(np.random.default_rng(seed).normal(size=2**n_bits))


def generic(rows, inputs, classes=2, seed=0):
    """Real inputs, of which no signed sum is 0, and labels at random."""
    rng = np.random.default_rng(seed)
    return Samples(rng.normal(size=(rows, inputs)), rng.integers(0, classes, rows))


def tied(rows, inputs, classes=2, seed=0):
    """Small integers, many of whose signed sums are 0."""
    rng = np.random.default_rng(seed)
    return Samples(rng.integers(-1, 2, (rows, inputs)), rng.integers(0, classes, rows))


def table_of(network, data, loss):
    return tabulate(network.objective(data, loss))


def sets(n_bits):
    """Every set of bits as a row of 0 and 1, in the order of the coefficients."""
    return all_bitstrings(n_bits).astype(int)


# -- the table --------------------------------------------------------------------------------


@pytest.mark.parametrize("n_bits", [1, 2, 7])
def test_losses_are_looked_up_in_the_order_of_all_bitstrings(n_bits):
    table = random_table(n_bits)
    strings = all_bitstrings(n_bits)
    np.testing.assert_array_equal(table(strings), table.losses)
    picked = np.random.default_rng(1).integers(0, 2**n_bits, (3, 1, 5))
    np.testing.assert_array_equal(table(strings[picked]), table.losses[picked])
    assert (table.n_bits, table.evaluations) == (n_bits, 2**n_bits + 15)


def test_tabulate_evaluates_every_bitstring_once_by_chunks(monkeypatch):
    monkeypatch.setattr(qhyper.targets.exact.table, "_CHUNK", 48)
    network, data = BinaryNetwork((2, 2, 1)), generic(20, 2)
    objective, shares = network.objective(data), []
    table = tabulate(objective, progress=shares.append)
    expected = network.losses(all_bitstrings(6), data)
    np.testing.assert_allclose(table.losses, expected, rtol=0, atol=1e-12)
    assert shares == [0.75, 1.0]
    assert (objective.evaluations, table.evaluations) == (64, 0)
    assert table.name == objective.name


def test_the_minimum_is_that_of_the_certificate():
    objective = BinaryNetwork((3, 2, 2)).objective(tied(30, 3))
    table, certificate = tabulate(objective), certify_objective(objective)
    assert table.minimum == certificate.minimum_loss
    assert table.optimal == certificate.optimal_bitstrings > 1
    assert table(table.optimum) == pytest.approx(table.minimum, abs=1e-9)
    assert objective(table.optimum) == table(table.optimum)
    assert table(certificate.optimum) == pytest.approx(table.minimum, abs=1e-9)
    # a table is an objective like any other
    again = certify_objective(table)
    np.testing.assert_array_equal(again.levels, certificate.levels)
    np.testing.assert_array_equal(again.multiplicities, certificate.multiplicities)


def test_a_rank_counts_the_bitstrings_below():
    losses = np.array([3.0, 1.0, 1.0 + 5e-10, 2.0, 1.0 + 2e-9, 5.0, 4.0, 3.0])
    table = CostTable(losses)
    assert table.optimal == 2
    given = np.array([[1.0, 1.0 + 9e-10, 1.0 + 1.2e-9], [3.0, 2.5, 100.0], [-7.0, 4.0, 2.0]])
    expected = (losses < given[..., None] - 1e-9).sum(-1)
    ranks = table.rank(given)
    np.testing.assert_array_equal(ranks, expected)
    np.testing.assert_array_equal(ranks, [[0, 0, 1], [4, 4, 8], [0, 6, 3]])
    assert ranks.dtype == np.int64
    assert table.rank(2.0) == 3


def test_what_is_1e_9_above_the_minimum_is_optimal_still():
    losses = np.array([2e-9, 1e-9, 0.0, 5.0, 0.5e-9, np.nextafter(1e-9, 1), 3.0, 1.0])
    table = CostTable(losses)
    assert (table.minimum, table.optimal) == (0.0, 3)
    assert table.optimum.tolist() == [1, 0, 0]  # the first of them, number 1
    assert table.rank(losses[:3]).tolist() == [2, 0, 0]
    assert table.rank(losses[5]) == 1  # what is below by more than 1e-9 is the minimum alone


def test_the_losses_are_a_copy_that_stays():
    losses = np.zeros(4)
    table = CostTable(losses)
    losses[0] = 1.0
    assert table.losses[0] == 0
    with pytest.raises(ValueError, match="read-only"):
        table.losses[0] = 1.0


@pytest.mark.parametrize("shape", [(), (0,), (1,), (3,), (2, 2)])
def test_tables_that_are_none_are_refused(shape):
    with pytest.raises(ConfigurationError, match=r"expected \[2\^n\], one for each string of n"):
        CostTable(np.zeros(shape))


def test_refusals():
    with pytest.raises(ConfigurationError, match="The loss of bitstring 2 is nan"):
        CostTable([0.0, 1.0, np.nan, np.inf])
    with pytest.raises(ConfigurationError, match="Got a loss that is not a finite number"):
        random_table(2).rank([0.0, np.nan])
    with pytest.raises(ConfigurationError, match="Got bitstrings of 3 bits, expected 2"):
        random_table(2)(np.zeros((4, 3)))
    objective = Objective(lambda bits: bits[:, 0], 27, name="mine")
    message = r"mine cannot be tabulated: it has 2\^27 bitstrings, and the limit is 2\^26. Choose"
    with pytest.raises(ConfigurationError, match=message):
        tabulate(objective)
    assert objective.evaluations == 0


# -- the table as a target --------------------------------------------------------------------


def test_a_file_of_losses_is_a_target(tmp_path):
    losses = np.random.default_rng(3).normal(size=2**6)
    np.save(tmp_path / "costs.npy", losses)
    target = TableTarget(path=tmp_path / "costs.npy")
    assert target.n_bits == 6
    assert target.layout == Layout((Block("bits", (6,)),))
    objective = target.objective()
    strings = all_bitstrings(6)
    np.testing.assert_array_equal(objective(strings), losses)
    assert (objective.name, objective.layout) == ("table costs.npy", target.layout)
    assert (objective.evaluations, objective.rows) == (64, 64)
    assert target.objective().evaluations == 0  # each has a count of its own
    certificate = objective.certify()
    assert certificate.minimum_loss == losses.min()
    assert objective.evaluations == 64  # every loss was known
    made = registry.build("target", "table", options={"path": str(tmp_path / "costs.npy")})
    np.testing.assert_array_equal(made.objective()(strings), losses)


def test_flips_of_a_table_are_differences_of_its_entries():
    table, strings = random_table(5), all_bitstrings(5)
    losses, differences = table.flips(strings.reshape(4, 8, 5))
    np.testing.assert_array_equal(losses.ravel(), table.losses)
    index = np.arange(32)
    for bit in range(5):
        expected = table.losses[index ^ (1 << bit)] - table.losses
        np.testing.assert_array_equal(differences.reshape(32, 5)[:, bit], expected)
    assert table.evaluations == 32 * table.flip_evaluations == 32 * 6


def test_files_that_are_no_table_are_refused(tmp_path):
    with pytest.raises(MissingError, match=r"There is no file .*gone\.npy\. Check the path"):
        TableTarget(path=tmp_path / "gone.npy")
    (tmp_path / "text.npy").write_text("no array")
    with pytest.raises(StorageError, match=r"Cannot read .*text\.npy.*with numpy\.save"):
        TableTarget(path=tmp_path / "text.npy")
    np.save(tmp_path / "three.npy", np.zeros(3))
    with pytest.raises(ConfigurationError, match=r"expected \[2\^n\], one for each string of n"):
        TableTarget(path=tmp_path / "three.npy")
    np.save(tmp_path / "nan.npy", np.array([0.0, np.nan]))
    with pytest.raises(ConfigurationError, match="The loss of bitstring 1 is nan"):
        TableTarget(path=tmp_path / "nan.npy")


# -- the Walsh spectrum -----------------------------------------------------------------------


@pytest.mark.parametrize("n_bits", [1, 2, 5])
def test_coefficients_are_their_definition(n_bits):
    table = random_table(n_bits)
    z = 2.0 * all_bitstrings(n_bits) - 1
    expected = [
        np.mean(table.losses * np.prod(z[:, members == 1], axis=1)) for members in sets(n_bits)
    ]
    np.testing.assert_allclose(table.walsh(), expected, rtol=0, atol=ATOL)
    # the losses stay, and come back as the sum of all terms
    signs = np.array([np.prod(z[:, members == 1], axis=1) for members in sets(n_bits)])
    np.testing.assert_allclose(table.walsh() @ signs, table.losses, rtol=0, atol=1e-14)


def test_body_shares_are_those_of_a_known_polynomial():
    """c = 7 + 3 z0 - z2 + 2 z0 z1 - z1 z2 z3: shares (9 + 1, 4, 1, 0) / 15."""
    z = 2.0 * all_bitstrings(4) - 1
    losses = 7 + 3 * z[:, 0] - z[:, 2] + 2 * z[:, 0] * z[:, 1] - z[:, 1] * z[:, 2] * z[:, 3]
    shares = CostTable(losses).body_shares()
    np.testing.assert_allclose(shares, np.array([10, 4, 1, 0]) / 15, rtol=0, atol=ATOL)


def test_body_shares_sum_to_one_and_the_squares_to_the_variance():
    table = random_table(9)
    shares, coefficients = table.body_shares(), table.walsh()
    assert shares.shape == (9,)
    assert shares.sum() == pytest.approx(1, abs=1e-14)
    assert (coefficients[1:] ** 2).sum() == pytest.approx(table.losses.var(), rel=1e-12)
    assert coefficients[0] == pytest.approx(table.losses.mean(), abs=1e-14)


@pytest.mark.parametrize("noise", [0.0, 1e-10])
def test_a_constant_cost_has_no_shares(noise):
    table = CostTable(0.5 + noise * random_table(3).losses / 10)
    with pytest.raises(ConfigurationError, match=r"All losses of table of costs are 0\.5, within"):
        table.body_shares()
    assert table.walsh()[0] == pytest.approx(0.5)


# -- symmetries -------------------------------------------------------------------------------


def blocks_of(network):
    """The bits of every hidden unit, its inputs and its outputs, for any number of layers."""
    space, bits = network.space, np.arange(network.n_bits)
    ends = np.cumsum([a * b for a, b in space.shapes])[:-1]
    index = [w.reshape(s) for w, s in zip(np.split(bits, ends), space.shapes, strict=True)]
    return [
        np.concatenate([before[:, unit], after[unit]])
        for before, after in pairwise(index)
        for unit in range(len(after))
    ]


def odd_in_a_unit(network):
    """Whether a set has an odd number of the bits of some hidden unit, [set]."""
    members = sets(network.n_bits)
    return np.any([members[:, block].sum(-1) % 2 for block in blocks_of(network)], axis=0)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("layers", [(2, 3, 1), (3, 2, 2), (1, 3, 3), (2, 3, 1, 2)])
def test_terms_with_an_odd_number_of_a_units_bits_vanish(layers, loss):
    """Flipping all bits of a hidden unit leaves the loss, so its odd terms vanish.

    Without ties sign(-x) = -sign(x): with its incoming weights the unit's value turns, and with
    its outgoing weights what it adds to the next layer stays. The product Π_{i in S} z_i turns
    if S has an odd number of the unit's bits B, so ĉ_S = -ĉ_S = 0 for |S ∩ B| odd. With one
    hidden layer every bit belongs to one unit, and only terms of evenly many bodies are left.
    Units behind an odd number of others have no ties either.
    """
    network = BinaryNetwork(layers)
    table = table_of(network, generic(25, layers[0], max(layers[-1], 2)), loss)
    odd, coefficients = odd_in_a_unit(network), table.walsh()
    assert np.abs(coefficients[odd]).max() < ATOL
    assert np.abs(coefficients[~odd]).max() > 1e-3
    if len(layers) == 3:
        assert np.abs(table.body_shares()[::2]).max() < ATOL


def test_ties_break_the_symmetry_of_a_unit_unless_their_sign_is_zero():
    """With ties, sign(0) = +1 is not odd and sign(0) = 0 is: only the latter keeps the symmetry."""
    data = tied(25, 2)
    for sign_of_zero, kept in ((0, True), (1, False)):
        network = BinaryNetwork((2, 2, 2), sign_of_zero=sign_of_zero)
        odd = odd_in_a_unit(network)
        largest = np.abs(table_of(network, data, "cross_entropy").walsh()[odd]).max()
        assert (largest < ATOL) == kept
        assert (largest > 1e-3) != kept


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("layers", [(2, 3, 2), (3, 2)])
@pytest.mark.parametrize("data", [generic, tied])
def test_two_outputs_of_a_unit_can_be_swapped_if_their_signs_turn(layers, loss, data):
    """With two outputs, c(…, a, b, …) = c(…, -b, -a, …) for the outgoing weights a, b of any unit.

    Two logits enter a softmax, and its prediction, by their difference alone, to which a unit of
    value h adds h (b - a) = h (-a - (-b)). So ĉ_{S + a} = -ĉ_{S + b} for every set S that has
    neither; with both or neither, this demands nothing. Ties do not matter.
    """
    network = BinaryNetwork(layers)
    coefficients = table_of(network, data(25, layers[0]), loss).walsh()
    index = np.arange(len(coefficients))
    n, units = network.n_bits, layers[-2]
    for unit in range(units):
        a, b = (1 << (n - 2 * units + 2 * unit + output) for output in (0, 1))
        neither = index[(index & (a | b)) == 0]
        one, other = coefficients[neither | a], coefficients[neither | b]
        np.testing.assert_allclose(one, -other, rtol=0, atol=ATOL)
        assert np.abs(one).max() > 1e-3


@pytest.mark.parametrize("loss", ["cross_entropy", "squared_error"])
@pytest.mark.parametrize("data", [generic, tied])
@pytest.mark.parametrize("layers", [(5, 1), (3, 2)])
def test_a_perceptron_on_inputs_of_both_signs_is_even(layers, data, loss):
    """With every (x, y) also (-x, y): -w on x is w on -x, so the cost is even in w.

    Terms of oddly many bodies vanish. Without ties one of the two rows is classified correctly,
    whatever w, and the accuracy is one half.
    """
    one, network = data(12, layers[0]), BinaryNetwork(layers)
    both = Samples(np.concatenate([one.x, -one.x]), np.concatenate([one.y, one.y]))
    table = table_of(network, both, loss)
    np.testing.assert_allclose(table.losses, table.losses[::-1], rtol=0, atol=1e-14)
    assert np.abs(table.body_shares()[::2]).max() < ATOL
    if data is generic:
        assert (table_of(network, both, "accuracy").losses == 0.5).all()


@pytest.mark.parametrize("loss", LOSSES)
def test_a_perceptron_learns_nothing_from_inputs_of_both_signs_with_swapped_labels(loss):
    """With every (x, y) also (-x, 1 - y), the cost is that of half of the data: no new symmetry.

    The margin of the label, (2y - 1) w x, is the same for both, and the losses depend on it alone
    where there is no tie.
    """
    one, network = generic(12, 5), BinaryNetwork((5, 1))
    both = Samples(np.concatenate([one.x, -one.x]), np.concatenate([one.y, 1 - one.y]))
    np.testing.assert_allclose(
        table_of(network, both, loss).losses,
        table_of(network, one, loss).losses,
        rtol=0,
        atol=1e-14,
    )


def test_the_odd_part_of_a_perceptrons_cross_entropy_has_one_body():
    """log(1 + exp(-m)) = -m/2 + log(2 cosh(m/2)): only the one-body term is odd in w.

    With margins m = (2y - 1) w x, ĉ_{i} = -½ mean((2y - 1) x_i), and every term of three, five, …
    bodies vanishes, whatever the data.
    """
    data = generic(12, 7)
    table = table_of(BinaryNetwork((7, 1)), data, "cross_entropy")
    coefficients = table.walsh()
    expected = -0.5 * ((2 * data.y - 1) @ data.x) / len(data.y)
    np.testing.assert_allclose(coefficients[1 << np.arange(7)], expected, rtol=0, atol=ATOL)
    bodies = sets(7).sum(-1)
    assert np.abs(coefficients[(bodies % 2 == 1) & (bodies > 1)]).max() < ATOL
    assert np.abs(coefficients[bodies == 4]).max() > 1e-4


def test_the_error_of_a_perceptron_is_odd_about_one_half():
    """Without ties -w turns every prediction, so c(-w) = 1 - c(w): ½, and terms of odd bodies."""
    table = table_of(BinaryNetwork((6, 1)), generic(13, 6), "accuracy")
    coefficients = table.walsh()
    assert coefficients[0] == pytest.approx(0.5, abs=ATOL)
    assert np.abs(table.body_shares()[1::2]).max() < ATOL


def test_what_is_no_objective_is_refused():
    network = BinaryNetwork((2, 1))
    for wrong in (network, len):
        with pytest.raises(ConfigurationError, match="as the objective; expected an Objective"):
            tabulate(wrong)


def test_a_table_is_compared_with_its_exact_minimum():
    rng = np.random.default_rng(0)
    table = CostTable(rng.normal(size=2**7))
    found = compare(table, ["bernoulli"], seeds=range(2), evaluations=256)
    assert found.summary.reference.loss == pytest.approx(table.minimum, abs=1e-12)
    assert found.summary.certificate["optimal_bitstrings"] == 1
    assert table.evaluations < 2**10 + 2 * 2048  # what was drawn, and not the certificate
