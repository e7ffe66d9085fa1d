"""Jobs: kept in a table, put into groups that share a computation, run by one worker per device, watched by clients."""
