"""`qhyper check`: whatever has a name keeps its contract, and what is wrong is said in words."""

import json
import sys
from pathlib import Path

import pytest

import qhyper
from qhyper import registry
from qhyper.checks.check import check, kinds_of
from qhyper.checks.finding import LeftOut, examine
from qhyper.data.images import images_availability
from qhyper.errors import ConfigurationError

REGISTERED = [(kind, name) for kind in registry.KINDS for name in registry.names(kind)]
PUBLISHED = ("mnist", "fashion-mnist", "cifar-10", "cifar-100")
SMALLER = {name: {"size": 8} for name in ("cifar-10", "cifar-100")}  # gigabytes at full size


@pytest.fixture(scope="module", autouse=True)
def zoo():
    """Somebody's own code, where it is found by its name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parent)
        yield
    sys.modules.pop("zoo", None)


@pytest.mark.parametrize(("kind", "name"), REGISTERED)
def test_what_is_registered_keeps_its_contract(kind, name):
    if name in PUBLISHED and not images_availability(name).startswith("found"):
        pytest.skip(f"{name} is not on this machine: set QHYPER_DATA to the folder that holds it")
    (report,) = check(name, kind=kind, options=SMALLER.get(name))
    assert report.ok, str(report)
    assert len(report.findings) > 2


KIND = dict.fromkeys(
    ("my_data", "noisy_data", "same_test", "part_test", "coarse_data", "fixed_data", "deaf_data",
     "numbers_data"),
    "data set",
)  # fmt: skip
"""Of functions that make something, which are not called to find out what it is."""
RIGHT = ("Good", "Temperature", "GoodFrozen", "Half", "HalfDraws", "GoodHalf", "Masked",
         "SmallRisk", "GoodLog",
         "entropy", "GoodSearch", "GoodRisk", "GoodSquared", "GoodSchedule", "GoodEstimator",
         "GoodTarget", "GoodCertified", "Coins",
         "good_loss", "my_data", "coarse_data", "fixed_data", "numbers_data",
         "balanced_loss", "two_class_loss",
         "Local", "GoodAnsatz", "GoodSimulator")  # fmt: skip


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_right_passes(name):
    (report,) = check(f"zoo:{name}", kind=KIND.get(name))
    assert report.ok, str(report)


WRONG = {
    # generators
    "Twice": "Σ exp(log p) over all 2^8 strings is 0.0039",
    "Base2": "take natural logarithms",
    "Shape": "Shape._log_prob returned torch.float64 of shape [3, 7] for bits of shape",
    "GlobalNumpy": "draws from NumPy's global generator",
    "GlobalTorch": "draws from torch's global generator",
    "GlobalInit": "draws from torch's global generator",
    "Unseeded": "or a generator without a seed",
    "Reversed": "in one order of bits",
    "Inverted": "Let `_sample` and `_log_prob` be of one distribution",
    "Detached": "log p has no gradient at all",
    "HalfDetached": "Along a random direction of 'logits' the gradient is",
    "SharedNoise": "A draw of seed 12 alone",
    "MixesReplicas": "log p of seed 11 alone",
    "HiddenState": "Keep all that matters in parameters and buffers.",
    "Counts": "A draw made twice: got",
    "Correlated": "where log p expects",
    "Replaces": "'logits' was replaced: draw it in place",
    "NoReplicas": "'z' has shape [8] for 3 seeds; expected [replica, ...]",
    "WrongMarginals": "Mend `_marginals`",
    "Squeezed": "expected uint8 [replica, input, shot, bit]",
    "Signs": "Signs._sample returned int8",
    "OwnLogProb": "Write `_log_prob`, not `log_prob`.",
    "BatchMean": "Let every string be by itself (no batch norm)",
    "WrongScores": "mend `accumulate_scores`",
    "ThriceScores": "Let `scores` give ∇ log p of each draw",
    "ReplacesScores": "A gradient added twice: got",
    "Coarse": "Compute in float32 or float64: 16 bits are too few",
    "SharedTemperature": "'temperature' has no gradient in 40 draws, or only some replicas have",
    "Raises": "it raised AttributeError: 'Raises' object has no attribute 'missing'",
    "TwiceCoins": "Σ exp(log p) over all 2^8 strings is",
    "RandomBuffer": "The buffer 'mask', made for another seed: got",
    "RandomAttribute": "An attribute of it is random. All seeds and starts share those of one",
    "ShortHalf": "make parameters float32, .float(), in place of float16, too short to train",
    # controls
    "Overspends": "it reported 64 and asked the objective for 64; expected exactly 1",
    "SecretlyAsks": "it reported 1 and asked the objective for 2; expected exactly 1",
    "Underspends": "it reported 6 and asked the objective for 6; expected exactly 7",
    "Endless": "expected exactly 1. Cut the last batch",
    "GlobalSearch": "draws from NumPy's global generator",
    "OtherLosses": "Report each bitstring with the loss that the objective gave",
    "SharedSearch": "The bits of seed 12 alone",
    "SameSearch": "Other seeds find the same bits",
    "LowCurrent": "where the losses of seed 11 reported so far are",
    "EarlyCurrent": "Give the losses of what the search holds now",
    "SharedCurrent": "`current` of seed 11 alone",
    "BoolBits": "`bits` is float64 of shape [3, 130, 8]; expected [replica, shot, bit]",
    # risks
    "NoCosts": "Costs are dR/dq(w) up to a constant",
    "WrongLog": "Costs are dR/dq(w) up to a constant",
    "SmallExact": "Let both be of one risk",
    "SmallExactCosts": "Let them be its derivatives",
    "Squared": "Costs are dR/dq(w) up to a constant",
    "Variance": "Take means and quantiles over the last axis alone",
    "HiddenRef": "Say needs_reference = True",
    "WantsLogP": "it raised TypeError: unsupported operand",
    "InPlace": "Copy before changing in place",
    "MeanOnly": "`costs` is float64 of shape [2, 3]; expected [..., shot]",
    "WrongExact": "Let them be its derivatives",
    "WrongExactValue": "Let both be of one risk",
    "NoisyRisk": "Let it depend on the draws alone",
    "LateInfinity": "At 1.0 of the training: `costs` are not all finite.",
    "LateValue": "At 0.7 of the training: Where draws of one string become draws of another",
    "LateSign": "Costs at 0.7 of the training are those at 0.0 with the sign turned round",
    # estimators
    "Halved": "the mean of 2000 estimates is",
    "WrongSign": "the mean of 2000 estimates is",
    "Moves": "It changed the parameters: leave them.",
    "Spends": "it asked for 12 losses; by `cost` there are 6",
    "GlobalEstimator": "draws from NumPy's global generator",
    "NoBias": "It has no `bias`",
    "NoGrad": "has no gradient afterwards",
    "BaselineOwn": "the mean of 2000 estimates is",
    # targets
    "NoisyTarget": "without noise, memory or means over draws",
    "GlobalTarget": "draws from NumPy's global generator",
    "Centred": "A loss alone: got 0, expected",
    "Ordered": "A loss in another order: got",
    "Memory": "A loss asked for twice: got",
    "ShortLayout": "Got n_bits=9, but the layout w 4×2 has 8 bits",
    "WrongFlips": "Give L(bit flipped) - L of every bit",
    "Uncounted": "13 bitstrings counted as 0 evaluations and 0 rows",
    "ChangesBits": "It changed the bits that it was given",
    "BareObjective": "It lacks n_bits, name, loss, capabilities",
    "NaNTarget": "a loss must be a finite number",
    "Errors": "Accuracy rises with the loss (over 200 strings their correlation is 1)",
    "Optima": "By `multiplicities` 8 of 22 strings reach the minimum; of all 16 it is 2.",
    "Moved": "A loss by `levels`: got",
    "NoOptimum": "The loss of `optimum`: got",
    "Better": "`best_accuracy`: got 0.123, expected",
    "Undeclared": "It gives `accuracy_at_minimum`, and its capabilities have no accuracy",
    # losses and data
    "nan_loss": "The loss 'nan_loss' gave nan for the logits",
    "noisy_loss": "draws from NumPy's global generator",
    "ordered_loss": "A loss of rows in another order",
    "summed_loss": "A loss of all rows twice: got",
    "whole_batches_loss": "Use no order, and every row.",
    "first_batch_loss": "Use no order, and every row.",
    "blind_loss": "With 3 classes the logits of class 2 do not count. Use all of the logits",
    "skipping_loss": "With 3 classes rows of class 2 do not count",
    "merging_loss": "With 3 classes it takes the label 1 for another",
    "noisy_data": "draws from NumPy's global generator",
    "same_test": "30 of 30 test rows are training rows too, where 0.00% of the training rows",
    "part_test": "6 of 30 test rows are training rows too",
    "deaf_data": "The seeds 0 and 1 give the same rows, in the same split",
    # circuits
    "FewAngles": "The qubits [7] are always measured the same",
    "RandomAnsatz": "draws from NumPy's global generator",
    "NoCircuit": "build(8) gave a list; expected a qhyper Circuit",
    "Mirror": "It is measured as 11001: qubit 0 comes first",
    # services
    "Backwards": "001 and 110 measured: the bits are in reversed order",
    "RowsBackwards": "011 and 100 measured: the rows are in reversed order",
    "Narrow": "local returned shots of shape (2, 64, 2)",
    "AnyShape": "Asked for shots of shape (3, 64, 3), where (2, 64, 3) were measured",
    "Forgets": "job('no-such-job') gave a job; expected NotFound",
    "Lacking": "abstract methods __str__, job",
    "NoTag": "`run` takes (pubs, shots); expected (pubs, shots, tag)",
}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of the code that is tried
@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said(name):
    (report,) = check(f"zoo:{name}", kind=KIND.get(name))
    assert not report.ok
    assert WRONG[name] in str(report)


def test_all_that_is_in_the_zoo_is_tried():
    import zoo

    own = {n for n, found in vars(zoo).items() if getattr(found, "__module__", "") == "zoo"}
    others = {"_entropies", "Certified", "Flips", "Free", "Changes", "Mirrored", "NotIt", "Paid",
              "NeedsWidth", "anything"}  # fmt: skip
    assert own - others == {*RIGHT, *WRONG} - {"entropy"}


def test_nothing_is_sent_to_a_service_that_may_cost():
    (report,) = check("zoo:Paid")
    assert report.ok
    left_out = {f.check: f.left_out for f in report.findings if f.left_out}
    assert len(left_out) == 3
    assert all("nothing is sent that may cost" in why for why in left_out.values())


@pytest.mark.parametrize("name", ["ibm", "braket", "ionq", "azure", "qiskit"])
def test_a_vendor_without_a_backend_is_not_even_made(name, monkeypatch):
    monkeypatch.setattr(registry, "make", lambda *given, **more: pytest.fail("it was made"))
    (report,) = check(name)
    assert report.ok


# -- what it is, and how it is said ----------------------------------------------------------------


def test_a_name_of_several_kinds_is_tried_as_each():
    assert kinds_of("product") == ["generator", "ansatz"]
    assert kinds_of("callable") == ["target"]
    assert kinds_of("pennylane:lightning.qubit") == ["simulator"]
    assert kinds_of("classical.bernoulli:Bernoulli") == ["generator"]
    assert kinds_of("qhyper.quantum.generator:product") == ["generator"]


@pytest.mark.parametrize(
    ("what", "kind", "message"),
    [
        (
            "zoo:NotIt",
            None,
            r"'zoo:NotIt' is of no kind .*control: search;.*say with --kind what.*"
            r"A circuit is tried as .*: qhyper check quantum --option ansatz=zoo:NotIt --bits N",
        ),
        ("zoo:Good", "generatr", "Unknown kind 'generatr'. Did you mean 'generator'"),
        ("bernouli", None, "Unknown name 'bernouli'. Did you mean 'bernoulli'"),
        ("zoo:Missing", None, "Cannot load 'zoo:Missing'"),
        ("zoo:anything", None, "is a function, which is not called .* Say so with --kind: gener"),
        ("zoo:my_data", None, "is a function, which is not called .* Say so with --kind: gener"),
    ],
)
def test_what_cannot_be_tried_is_refused(what, kind, message):
    with pytest.raises(ConfigurationError, match=message):
        check(what, kind=kind)


def test_what_is_no_such_kind_says_what_it_lacks():
    (report,) = check("zoo:GoodRisk", kind="control")
    assert "is the class GoodRisk, which is no control: it has no `search`" in str(report)
    (report,) = check("zoo:Good", options={"shift": 1})
    assert "Unknown option of the generator zoo:Good: 'shift'" in str(report)


def test_objects_are_tried_as_names_are():
    import zoo

    for what in (zoo.GoodRisk, zoo.GoodRisk(level=1.0), zoo.GoodSearch):
        (report,) = qhyper.check(what)
        assert report.ok, str(report)
    (report,) = qhyper.check(zoo.my_data, kind="data-set")
    assert report.ok, str(report)
    (report,) = qhyper.check(zoo.Twice, bits=6)
    assert "over all 2^6 strings" in str(report)
    (report,) = qhyper.check(zoo.TwiceCoins)
    assert not report.ok


def test_the_command_says_what_is_wrong_and_exits_with_2(cli):
    code, out, err = cli("check", "zoo:GoodRisk", "--option", "level=1.5")
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == "zoo:GoodRisk, as a risk"
    assert out.splitlines()[-1] == "7 checks, 0 wrong"
    code, out, _ = cli("check", "zoo:Squared", "--json")
    assert code == 2
    found = json.loads(out)
    assert (found["kind"], found["ok"]) == ("risk", False)
    (wrong,) = [each for each in found["checks"] if not each["ok"]]
    assert wrong["check"].startswith("Costs are the first variation of the value")
    code, _, err = cli("check", "zoo:NotIt")
    assert code == 2
    assert "is of no kind that can be checked" in err


def test_an_option_that_is_missing_is_asked_for_as_the_command_takes_it(cli):
    _, out, _ = cli("check", "zoo:NeedsWidth")
    assert "needs the option `width`; set it by --option width=…." in out
    code, out, _ = cli("check", "zoo:NeedsWidth", "--option", "width=2")
    assert code == 0, out
    (report,) = check("zoo:NeedsWidth", options={"width": "wide"})
    assert "could not be built with width='wide'" in str(report)
    assert "set them by --option KEY=VALUE." in str(report)


def test_every_finding_is_said_as_soon_as_it_is_known():
    said = []
    reports = check("product", bits=4, say=said.append)
    assert said == "\n\n".join(map(str, reports)).split("\n")

    def first(subject):
        """It has one"""

    def second(subject):
        """It works"""
        raise AssertionError("not yet asked for")

    assert str(next(iter(examine((first, second), None)))) == "ok        It has one"


def test_the_help_says_every_kind_and_where_a_module_is_looked_for(cli):
    _, out, _ = cli("check", "--help")
    words = " ".join(out.replace("│", " ").split())
    assert "qhyper check mine:Generator --option dim=8" in words
    assert "looked for in this folder" in words
    assert all(kind.replace(" ", "-") in words for kind in registry.KINDS)


def test_what_a_check_cannot_try_is_left_out_and_problems_are_said_once():
    def first(subject):
        """It has one"""
        raise LeftOut("it has none")

    def second(subject):
        """It works"""
        raise ConfigurationError("Got 3.")

    def third(subject):
        """It works again"""
        raise ConfigurationError("Got 4.")

    found = [str(finding) for finding in examine((first, second, third), None)]
    assert found == [
        "left out  It has one: it has none",
        "WRONG     It works: Got 3.",
        "left out  It works again: it has the same problem as one above",
    ]
