import numpy as np
import pytest

from qhyper.data.sets import load


def counts(samples):
    return np.bincount(samples.y).tolist()


def test_toy_images_are_those_of_the_thesis():
    toy = load("toy")
    assert (toy.name, toy.n_features, toy.n_classes) == ("toy", 4, 2)
    assert counts(toy.train) == [40_000, 40_000]
    assert counts(toy.test) == [10_000, 10_000]
    for part in (toy.train, toy.test):
        pixels = part.x * 128 + 127.5
        white = np.where(part.y == 0, 1, 2)  # [tl, tr, bl, br]
        assert np.array_equal(np.argmax(pixels, axis=1), white)
        assert np.array_equal((pixels == 255).sum(axis=1), np.ones(len(pixels)))
        others = pixels[pixels != 255]
        assert set(others) == set(range(255))
        assert others.mean() == pytest.approx(127, abs=5 * 73.6 / np.sqrt(others.size))


def test_toy_has_few_rows_that_a_sign_network_tells_apart():
    toy = load("toy").train
    patterns = np.array([[1 if k >> i & 1 else -1 for i in range(4)] for k in range(16)])
    signs = toy.x @ patterns.T >= 0
    assert len(np.unique(np.column_stack([signs, toy.y]), axis=0)) == 113


def test_digits_are_means_of_blocks():
    from sklearn.datasets import load_digits

    source = load_digits()
    expected = []
    for image, label in zip(source.images, source.target, strict=True):
        if label > 1:
            continue
        means = []
        for row in (0, 4):
            for column in (0, 4):
                cells = [image[row + i][column + j] for i in range(4) for j in range(4)]
                means.append((sum(cells) / 16 - 8) / 8)
        expected.append((*means, label))
    digits = load("digits")
    rows = []
    for part in (digits.train, digits.test):
        rows += [(*x, y) for x, y in zip(part.x, part.y, strict=True)]
    assert sorted(rows) == sorted(expected)
    assert counts(digits.train) == [142, 146]  # of 178 and 182
    assert counts(digits.test) == [36, 36]


def test_gaussians_have_the_published_centres_and_covariance():
    gaussians = load("gaussians")
    x, y = gaussians.train.x, gaussians.train.y
    assert (len(x), len(gaussians.test.x), gaussians.n_features) == (10_000, 2_000, 2)
    assert y.mean() == pytest.approx(0.5, abs=0.025)
    centres = np.array([(-1, -2), (-2, 1), (1, 1), (2, -2)])
    nearest = np.argmin(((x[:, None] - centres) ** 2).sum(axis=2), axis=1)
    # A Gaussian of this width leaves its cell with probability below 1e-5 for the nearest pair.
    assert np.mean((nearest == 0) == (y == 0)) > 0.999
    for k in range(4):
        own = x[nearest == k]
        assert len(own) / 10_000 == pytest.approx(1 / 2 if k == 0 else 1 / 6, abs=0.025)
        assert own.mean(axis=0) == pytest.approx(centres[k], abs=0.05)
        assert np.cov(own.T) == pytest.approx(0.1 * np.eye(2), abs=0.02)


@pytest.mark.parametrize("name", ["toy", "digits", "gaussians"])
def test_the_seed_decides(name):
    first, again, other = load(name), load(name, seed=0), load(name, seed=1)
    assert np.array_equal(first.train.x, again.train.x)
    assert np.array_equal(first.test.y, again.test.y)
    assert not np.array_equal(first.train.x, other.train.x)
    assert not first.test.x.flags.writeable
