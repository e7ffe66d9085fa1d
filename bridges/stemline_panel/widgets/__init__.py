# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts of the window. Each shows what it is given and says by signals what the user wants."""
