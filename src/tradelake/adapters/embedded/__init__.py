"""What local mode needs instead of a managed service."""
