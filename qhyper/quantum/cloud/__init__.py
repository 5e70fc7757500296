"""Quantum computers behind one door: a sampler, its jobs, and a ledger so that none is paid twice.

Read `door.py` first: what a service is. Who calls whom, from above:

- `backend`: circuits as an executable; it asks `preflight` for known bitstrings (`readout`), and
  `mthree_mitigation` for mean losses without readout errors
- `dispatch`: sends a `Request` in `chunks` within `caps`, looks lost jobs up (`questions`), and
  says what to do of jobs that ended badly (`advice`)
- `ledger`, over `ledger_file`: a `Record` and `State` for every job, written before each step;
  `scope` says which jobs are counted together
- `qiskit_isa`: a circuit in a device's own gates
- the vendors, each a `Service`: `ibm` (`ibm_…`), `amazon_braket` (`braket_…`), `ionq` (`ionq_…`),
  `azure_quantum`, and `qiskit_backend` for any other of Qiskit's; a user's own is wrapped in
  `checked_service`. They share `options`, `frequencies` (counts as shots), `qiskit_result`
- `redaction`: no secret is ever written down
"""
