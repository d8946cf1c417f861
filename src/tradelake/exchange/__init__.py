"""An Alpaca-compatible venue for one machine: server, recorded and synthetic markets, faults."""
