"""Trial records and the report. Pure."""
