"""The companion of a host program: JSON-RPC over two streams, and the runs that the host asks for."""
