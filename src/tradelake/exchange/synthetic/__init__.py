"""A market made up from a seed: correlated pairs, fat tails, clustered volatility, thin trading."""
