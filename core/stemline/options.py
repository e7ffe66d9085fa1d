"""What a user chooses between, in the words of commands, settings and messages alike. Imports nothing."""

QUALITIES = ("fast", "standard", "best")
CHANNELS = ("linked", "each", "mono")
FORMATS = ("wav24", "wav32f", "flac")
PLAYS = ("all", "stem", "residual")
MAX_SEED = (1 << 64) - 1
MAX_PRIORITY = (1 << 31) - 1
MAX_HANDLE_S = 600
