"""An Alpaca-compatible venue for one machine: server, player of recorded data, synthetic market, faults."""
