"""Alpaca: the market-data socket and the REST clients of alpaca-py."""
