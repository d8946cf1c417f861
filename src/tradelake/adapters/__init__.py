"""Implementations of the ports against the outside world."""
