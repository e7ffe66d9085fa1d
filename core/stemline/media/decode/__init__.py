"""From a media file to the exact samples of one stream."""
