"""Separation engines: `base` is the contract, `registry` finds the engines that are installed."""
