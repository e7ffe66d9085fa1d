"""Engines turn waveforms and prompts into target waveforms. They register under the entry point group
`stemline.engines`.
"""
