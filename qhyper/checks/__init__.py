"""Contracts: what whatever can be named must do, tried and said in words."""
