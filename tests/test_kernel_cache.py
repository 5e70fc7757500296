"""Compiled just now or loaded from numba's cache, kernels round alike: a run can be run again."""

import pytest

from tests.compiled import PARTS, outputs


@pytest.mark.parametrize("part", PARTS)
def test_results_do_not_depend_on_the_cache_of_compiled_kernels(part, request, tmp_path):
    earlier = getattr(request.config, "workerinput", {}).get("compiled", {}).get(part, [""])
    if earlier[-1] == "compiled":  # by this session, before its workers began
        (loaded,) = outputs([part]).values()
    else:
        (earlier,) = outputs([part], NUMBA_CACHE_DIR=str(tmp_path)).values()
        (loaded,) = outputs([part], NUMBA_CACHE_DIR=str(tmp_path)).values()
    assert (earlier[-1], loaded[-1]) == ("compiled", "loaded")
    assert len(loaded) > 2
    assert loaded[:-1] == earlier[:-1]
