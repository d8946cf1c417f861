"""The embedded AWS: topology interpreted on one machine."""
