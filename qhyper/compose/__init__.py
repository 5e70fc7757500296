"""Generators made of generators: behaviour is added by wrapping, and composes.

- joined: a generator for each block of bits, side by side
- chunked: one generator that sees an input, asked once a chunk with an embedding of it
- ordered: the bits of a generator in another order

What a composed generator can do follows from its parts. All parts have the seeds of the whole; its
stream of each replica goes through them in turn, so that equal parts neither start nor draw alike.
"""
