"""Drives strategies over data through execution; metrics. Pure."""
