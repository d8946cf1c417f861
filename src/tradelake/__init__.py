"""tradelake: Alpaca crypto market data on AWS, from the socket to honest backtests."""

__version__ = "0.1.0"
