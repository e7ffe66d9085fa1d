"""Runs engines: in a process of their own, one for each device, or in the server's process for tests."""
