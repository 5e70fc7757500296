import numpy as np
import pytest

from experiments.memory import peak, reset_peak


def test_peak_memory_is_that_since_the_reset():
    before = reset_peak()
    if before is None:
        pytest.skip("memory: the system does not count it")
    held = np.ones(25_000_000)  # 200 MB
    del held
    most, after = peak(), reset_peak()
    assert most is not None
    assert after is not None
    assert 190 <= most - before <= 260
    assert after < before + 60
