"""Decoding: from a media file to exact samples of one stream."""
