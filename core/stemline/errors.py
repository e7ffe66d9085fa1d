"""Every error that Stemline raises on purpose.

    StemlineError              has a stable `code`, one clear sentence, and advice
    ├── UsageError             wrong command, option or argument                      (exit 2)
    ├── InputError             something the user gave cannot be used                 (exit 2)
    │   ├── MediaError         a media file: missing, unreadable, no audio, ...
    │   └── EditError          an edit: not readable, cyclic, newer schema, ...
    ├── NoServerError          no separation server can be reached or started         (exit 3)
    ├── SeparationError        a job failed on the server                             (exit 1)
    ├── OutputError            a result cannot be written: full disk, no permission   (exit 1)
    ├── HostError              a host program broke the protocol or went away         (exit 1)
    └── Cancelled              the user stopped it                                    (exit 130)

Codes are part of the public interface: scripts, reports and gRPC `ErrorInfo.reason` carry them. `error_table` says what
each one means.
"""

from __future__ import annotations

from enum import StrEnum


class Code(StrEnum):
    """Stable reason of an error or a skipped clip. A published code keeps its meaning and is never reused.

    Examples:
        >>> import stemline
        >>> stemline.Code.MEDIA_MISSING == "MEDIA_MISSING"
        True
    """

    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    INTERNAL = "INTERNAL"
    CANCELLED = "CANCELLED"
    # prompts
    PROMPT_EMPTY = "PROMPT_EMPTY"
    PROMPT_TOO_LONG = "PROMPT_TOO_LONG"
    PROMPT_UNKNOWN = "PROMPT_UNKNOWN"
    PROMPT_UNSUPPORTED = "PROMPT_UNSUPPORTED"
    # media
    MEDIA_MISSING = "MEDIA_MISSING"
    MEDIA_UNREADABLE = "MEDIA_UNREADABLE"
    MEDIA_NO_AUDIO = "MEDIA_NO_AUDIO"
    MEDIA_EMPTY = "MEDIA_EMPTY"
    MEDIA_CHANGED = "MEDIA_CHANGED"
    MEDIA_OUT_OF_RANGE = "MEDIA_OUT_OF_RANGE"
    MEDIA_UNKNOWN = "MEDIA_UNKNOWN"
    MEDIA_UNSUPPORTED = "MEDIA_UNSUPPORTED"
    MEDIA_PEAK_TOO_HIGH = "MEDIA_PEAK_TOO_HIGH"
    STREAM_UNKNOWN = "STREAM_UNKNOWN"
    CHANNEL_UNKNOWN = "CHANNEL_UNKNOWN"
    # edits and their clips
    EDIT_UNREADABLE = "EDIT_UNREADABLE"
    EDIT_SCHEMA_UNSUPPORTED = "EDIT_SCHEMA_UNSUPPORTED"
    EDIT_CYCLIC = "EDIT_CYCLIC"
    EDIT_NO_CLIPS = "EDIT_NO_CLIPS"
    EDIT_FORMAT_UNKNOWN = "EDIT_FORMAT_UNKNOWN"
    EDIT_ADAPTER_MISSING = "EDIT_ADAPTER_MISSING"
    CLIP_DISABLED = "CLIP_DISABLED"
    CLIP_NOT_MEDIA = "CLIP_NOT_MEDIA"
    CLIP_RETIMED = "CLIP_RETIMED"
    CLIP_TIME_AMBIGUOUS = "CLIP_TIME_AMBIGUOUS"
    CLIP_EMPTY = "CLIP_EMPTY"
    # server and jobs
    SERVER_UNREACHABLE = "SERVER_UNREACHABLE"
    SERVER_VERSION = "SERVER_VERSION"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    NOT_PERMITTED = "NOT_PERMITTED"
    POLICY_DENIED = "POLICY_DENIED"
    PORT_TAKEN = "PORT_TAKEN"
    JOB_UNKNOWN = "JOB_UNKNOWN"
    JOB_FAILED = "JOB_FAILED"
    POISONED_INPUT = "POISONED_INPUT"
    REQUEST_ID_REUSED = "REQUEST_ID_REUSED"
    QUEUE_FULL = "QUEUE_FULL"
    MODEL_UNKNOWN = "MODEL_UNKNOWN"
    MODEL_UNAVAILABLE = "MODEL_UNAVAILABLE"
    DEVICE_OUT_OF_MEMORY = "DEVICE_OUT_OF_MEMORY"
    UPLOAD_MISMATCH = "UPLOAD_MISMATCH"
    # fills
    ROOM_TONE_MISSING = "ROOM_TONE_MISSING"
    PATH_NOT_ALLOWED = "PATH_NOT_ALLOWED"
    # output
    DISK_FULL = "DISK_FULL"
    DISK_QUOTA = "DISK_QUOTA"
    OUTPUT_EXISTS = "OUTPUT_EXISTS"
    OUTPUT_UNWRITABLE = "OUTPUT_UNWRITABLE"
    OUTPUT_DAMAGED = "OUTPUT_DAMAGED"
    # hosts
    HOST_PROTOCOL = "HOST_PROTOCOL"
    HOST_GONE = "HOST_GONE"
    HOST_TIMEOUT = "HOST_TIMEOUT"
    HOST_UNSUPPORTED = "HOST_UNSUPPORTED"
    HOST_BUSY = "HOST_BUSY"
    HOST_FAILED = "HOST_FAILED"
    HOST_VERSION = "HOST_VERSION"


class WarningCode(StrEnum):
    """Stable reasons for a warning beside a stem. The stem is there nevertheless."""

    NOT_FOUND = "NOT_FOUND"
    LOW_CONFIDENCE = "LOW_CONFIDENCE"
    ROUGH_BY_WORDS = "ROUGH_BY_WORDS"
    STEM_IS_MIX = "STEM_IS_MIX"
    RUMBLE_LEFT = "RUMBLE_LEFT"
    PROMPT_SUBSTITUTED = "PROMPT_SUBSTITUTED"
    PROMPT_SENTENCE = "PROMPT_SENTENCE"
    STEMS_OVERLAP = "STEMS_OVERLAP"
    MEDIA_NOT_FINITE = "MEDIA_NOT_FINITE"
    MEDIA_DAMAGED = "MEDIA_DAMAGED"
    MEDIA_FORMAT_CHANGES = "MEDIA_FORMAT_CHANGES"
    MEDIA_CUT_SHORT = "MEDIA_CUT_SHORT"
    CREDENTIALS_MISSING = "CREDENTIALS_MISSING"
    CREDENTIALS_NOT_CARRIED = "CREDENTIALS_NOT_CARRIED"
    ROOM_TONE_SHARED = "ROOM_TONE_SHARED"


class StemlineError(Exception):
    """Base of every error that Stemline raises on purpose.

    Attributes:
        message: One sentence that says what is wrong.
        code: Stable reason, a `Code`.
        advice: What to do about it; may be empty.
        exit_code: What a command returns for it.

    Examples:
        >>> import stemline
        >>> try:
        ...     stemline.separate("missing.wav", "speech")
        ... except stemline.StemlineError as error:
        ...     error.code, error.exit_code
        (<Code.MEDIA_MISSING: 'MEDIA_MISSING'>, 2)
    """

    exit_code = 1
    default_code = Code.INTERNAL

    def __init__(self, message: str, *, code: Code | None = None, advice: str = "") -> None:
        """Make an error with one sentence, and with the default code of its class if none is given."""
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.advice = advice

    def __str__(self) -> str:
        """Return message and advice in one line."""
        return f"{self.message} {self.advice}".rstrip()

    def to_json(self) -> dict[str, str]:
        """Return code, message and advice, as every JSON output of Stemline shows an error."""
        return {"code": str(self.code), "message": self.message, "advice": self.advice}


class UsageError(StemlineError):
    """An argument, option or setting that cannot be used.

    Examples:
        >>> import stemline
        >>> stemline.Stem("residual", "speech")
        Traceback (most recent call last):
        ...
        stemline.errors.UsageError: ...
    """

    exit_code = 2
    default_code = Code.INVALID_ARGUMENT


class InputError(StemlineError):
    """A file or edit of the user that cannot be used; MediaError and EditError are its kinds.

    Examples:
        >>> import stemline
        >>> issubclass(stemline.MediaError, stemline.InputError)
        True
    """

    exit_code = 2
    default_code = Code.INVALID_ARGUMENT


class MediaError(InputError):
    """A media file that is missing, unreadable, or without the audio that was asked for.

    Examples:
        >>> import stemline
        >>> stemline.separate("missing.wav", "speech")
        Traceback (most recent call last):
        ...
        stemline.errors.MediaError: ...
    """

    default_code = Code.MEDIA_UNREADABLE


class EditError(InputError):
    """An edit that cannot be read, or of which no clip can be separated.

    Examples:
        >>> import stemline
        >>> stemline.separate_edit("project.kdenlive", "speech", output="out")
        Traceback (most recent call last):
        ...
        stemline.errors.EditError: ...
    """

    default_code = Code.EDIT_UNREADABLE


class NoServerError(StemlineError):
    """A server that cannot be reached or started.

    Examples:
        >>> import stemline
        >>> stemline.connect("localhost:1", token="none")
        Traceback (most recent call last):
        ...
        stemline.errors.NoServerError: ...
    """

    exit_code = 3
    default_code = Code.SERVER_UNREACHABLE


class SeparationError(StemlineError):
    """A separation that failed on the server.

    Examples:
        >>> import stemline
        >>> with stemline.connect() as client:
        ...     client.job("jobs/unknown")
        Traceback (most recent call last):
        ...
        stemline.errors.SeparationError: ...
    """

    default_code = Code.JOB_FAILED


class OutputError(StemlineError):
    """A result that cannot be written: a full disk, no permission, a file that exists.

    Examples:
        >>> import stemline
        >>> first = stemline.separate("interview.wav", {"dialogue": "speech"}, output="out")
        >>> stemline.separate("interview.wav", {"dialogue": "voice"}, output="out")
        Traceback (most recent call last):
        ...
        stemline.errors.OutputError: ...
    """

    default_code = Code.OUTPUT_UNWRITABLE


class HostError(StemlineError):
    """A host program that does not follow the protocol, refuses a call, or ends.

    Examples:
        >>> import stemline
        >>> stemline.HostError("The host is busy.").code
        <Code.HOST_PROTOCOL: 'HOST_PROTOCOL'>
    """

    default_code = Code.HOST_PROTOCOL


class Cancelled(StemlineError):
    """A run that was stopped. Finished files stay.

    Examples:
        >>> import stemline
        >>> run = stemline.start("interview.wav", {"dialogue": "sleep:60"}, output="out")
        >>> run.cancel()
        >>> run.result()
        Traceback (most recent call last):
        ...
        stemline.errors.Cancelled: Stopped.
    """

    exit_code = 130
    default_code = Code.CANCELLED

    def __init__(self, message: str = "Stopped.") -> None:
        """Make the error of a stopped run."""
        super().__init__(message)
