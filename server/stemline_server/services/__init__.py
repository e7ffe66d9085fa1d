"""The services on the wire: stemline.v1, health, and errors with stable reasons."""
