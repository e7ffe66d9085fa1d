# SPDX-License-Identifier: GPL-3.0-or-later
"""The widgets of the window. Each shows what it is given and reports the user's wishes by signals."""
