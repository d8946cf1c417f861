"""The record envelope, quality rules and bar aggregation. Pure."""
