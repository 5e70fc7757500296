"""Parameterised quantum circuits as generators, and the simulators that they run on."""
