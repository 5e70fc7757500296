"""Scopes: their words, what cannot be one, and the way from words to scope and back."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from qhyper.errors import ConfigurationError
from qhyper.quantum.cloud.scope import TRAINING, Scope, submission

numbers = st.integers(0, 999_999_999)
own = st.text(min_size=1).filter(lambda text: text.split(" ")[0] not in ("", "submission"))


@pytest.mark.parametrize(
    ("scope", "words"),
    [
        (TRAINING, "training"),
        (submission(0), "submission 0"),
        (submission(3), "submission 3"),
        (submission(1000), "submission 1000"),
        (Scope("my study"), "my study"),
        (Scope("submissions 3"), "submissions 3"),
    ],
)
def test_words(scope, words):
    assert str(scope) == words
    assert Scope.read(words) == scope


@given(numbers.map(submission) | own.map(Scope))
@example(TRAINING)
def test_a_scope_comes_back_from_its_words(scope):
    assert Scope.read(str(scope)) == scope


@given(own | numbers.map(lambda number: f"submission {number}"))
@example("training")
@example("training 3")
@example("a\n")
def test_words_come_back_from_their_scope(words):
    assert str(Scope.read(words)) == words


@given(numbers)
def test_only_the_words_of_a_submission_have_a_number(number):
    assert Scope.read(f"submission {number}").number == number
    assert Scope.read(f"submissions {number}").number is None


@pytest.mark.parametrize(
    "words",
    ["", " ", "submission", "submission ", "submission x", "submission 03", "submission -1",
     "submission 3 of mine", "submission 3\n", "submission ٣", "submission 1000000000"],
)  # fmt: skip
def test_words_that_would_be_taken_for_something_else_are_refused(words):
    message = (
        f"Got the scope '{words}'; expected training, submission N with a number of at most nine "
        "digits, or words of your own that begin with another word. Name it otherwise."
    )
    with pytest.raises(ConfigurationError) as caught:
        Scope.read(words)
    assert str(caught.value) == message
    with pytest.raises(ConfigurationError):
        Scope(words)


@pytest.mark.parametrize(("kind", "number"), [("training", 3), ("submission", -1), ("study", 0)])
def test_only_submissions_have_numbers(kind, number):
    with pytest.raises(ConfigurationError, match=f"Got the scope '{kind} {number}'; expected"):
        Scope(kind, number)
