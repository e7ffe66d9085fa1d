"""Generators: models that make sound from words."""
