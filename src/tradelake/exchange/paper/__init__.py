"""The venue's trading API: one paper account whose orders the matching core fills."""
