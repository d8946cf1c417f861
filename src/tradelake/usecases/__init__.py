"""The work, over ports: one verb a module."""
