"""The companion process of a host program: JSON-RPC over standard input and output."""
