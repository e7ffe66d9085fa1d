"""The Stemline application: command line, doctor and installers on top of the `stemline` library."""
