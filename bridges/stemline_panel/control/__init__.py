# SPDX-License-Identifier: GPL-3.0-or-later
"""The controllers between session and widgets. Slow work runs in worker threads, and signals report its results."""
