"""Jobs: stored in a table, grouped to share a computation, run by one worker per device, watched by clients."""
