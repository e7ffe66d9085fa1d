"""Taggers name the sounds of a media: `base` is the contract, `registry` finds the installed taggers."""
