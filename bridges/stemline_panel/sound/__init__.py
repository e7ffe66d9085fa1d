# SPDX-License-Identifier: GPL-3.0-or-later
"""The sound of a clip for eyes and ears: pictures of it, and playing it."""
