# SPDX-License-Identifier: GPL-3.0-or-later
"""The panel: a window to hear a clip, name or mark a sound, separate it, compare the stems and apply them."""
