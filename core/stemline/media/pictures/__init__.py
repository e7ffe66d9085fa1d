"""Pictures: the frames of media, masks of what makes a sound, and the masked pictures that a server gets."""
