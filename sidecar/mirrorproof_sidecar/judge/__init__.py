"""Judging: from counted evidence to a verdict that may be looked at as often as anyone likes.

Pure. Knows counts. Must not know the store, a clock, or how a pair was compared.
"""
