"""What a studio allows on its server, and the log of what was done."""
