"""What holds the edit: an OTIO file, plain media files, or a program behind the companion process."""
