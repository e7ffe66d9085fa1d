# SPDX-License-Identifier: GPL-3.0-or-later
"""What the panel knows and decides, without Qt: everything here can be tested without a display."""
