"""What `qhyper doctor` finds."""

import json


def test_doctor(cli) -> None:
    code, out, _ = cli("doctor", "--json")
    assert code == 0
    found = json.loads(out)
    assert "bernoulli" in found["generators"]
    assert found["versions"]["torch"]
    assert {"qiskit-ibm-runtime", "optuna", "pyarrow"} <= set(found["versions"])
    assert {"mps", "statevector", "pennylane:lightning.qubit", "aer"} <= set(found["backends"])
    assert "brickwork" in found["ansätze"]
    assert "near-product" in found["starts"]
    assert found["devices"][0] == "cpu"
    assert found["kernel cache"]
    assert found["memory in GiB"] > 0
    code, out, _ = cli("doctor")
    assert code == 0
    for part in ("backends", "pennylane:lightning.qubit", "identity-block", "free-energy", "cpu"):
        assert part in out
