"""Seats: the people and programs that share a server, what each may do, and how much."""
