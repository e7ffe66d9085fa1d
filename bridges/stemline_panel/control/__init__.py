# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens: each part owns one thread for what takes time and tells the window by signals."""
