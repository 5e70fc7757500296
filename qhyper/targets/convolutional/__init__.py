"""Convolutional networks with packed binary kernels, as steps."""
