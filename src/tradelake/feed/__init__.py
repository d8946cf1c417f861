"""Alpaca's wire protocol and session as a sans-I/O state machine, reconnect policy and gaps. Pure."""
