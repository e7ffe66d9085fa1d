"""What the server says on the wire: stemline.v1, health, and errors that carry a stable reason."""
