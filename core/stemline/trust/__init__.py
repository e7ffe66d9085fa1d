"""Keys, signatures, and what records say about the user."""
