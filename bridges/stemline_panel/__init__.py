# SPDX-License-Identifier: GPL-3.0-or-later
"""The panel: hear a clip, name or mark a sound, separate it, compare, and put it back as tracks. Started by
`stemline panel`.
"""
