"""Quantum computers behind one door: a sampler, its jobs, and a ledger so that none is paid twice.

Read `door.py` first, what a service is; then `ledger.py` and `dispatch.py`, how a job is sent.
"""
