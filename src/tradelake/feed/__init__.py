"""Alpaca's wire protocol, its session as a sans-I/O state machine, back-off and gaps. Pure."""
