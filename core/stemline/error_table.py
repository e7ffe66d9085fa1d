"""The one table of error codes: class, gRPC status, meaning, and what to do.

The client turns a server's reasons into errors by it, the server its errors into gRPC statuses, and
`scripts/errors_page.py` writes docs/errors.md from it. The exit code of a command is that of the error's class.
"""

from __future__ import annotations

from dataclasses import dataclass

from stemline.errors import (
    Cancelled,
    Code,
    EditError,
    HostError,
    InputError,
    MediaError,
    NoServerError,
    OutputError,
    SeparationError,
    StemlineError,
    UsageError,
    WarningCode,
)


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """What a code says.

    Attributes:
        code: The code.
        kind: Class of the error when the code comes from a server.
        meaning: One sentence, in Markdown.
        advice: What to do, in Markdown.
        status: Name of the gRPC status that a server answers with.
    """

    code: Code
    kind: type[StemlineError]
    meaning: str
    advice: str
    status: str = "INVALID_ARGUMENT"


ERRORS = (
    ErrorRow(Code.INVALID_ARGUMENT, UsageError, "An option, argument or request field is wrong.", "Read the message."),
    ErrorRow(
        Code.INTERNAL,
        StemlineError,
        "An internal error of Stemline.",
        "Report it with the file that the message names, or with its id and the server's log.",
        "INTERNAL",
    ),
    ErrorRow(Code.CANCELLED, Cancelled, "The user stopped it.", "Run it again; finished work is reused.", "CANCELLED"),
    ErrorRow(Code.PROMPT_EMPTY, UsageError, "A stem has neither words nor spans.", "Name the sound or mark it."),
    ErrorRow(
        Code.PROMPT_TOO_LONG, UsageError, "The prompt has more than 1,000 characters.", "Name the sound in a few words."
    ),
    ErrorRow(
        Code.PROMPT_UNKNOWN,
        UsageError,
        "The model does not know these words.",
        "Use one of the names it suggests, mark spans, or choose another model.",
    ),
    ErrorRow(
        Code.PROMPT_UNSUPPORTED,
        UsageError,
        "The model does not take this kind of prompt.",
        "The message says what it takes.",
    ),
    ErrorRow(
        Code.MEDIA_MISSING,
        MediaError,
        "The file does not exist.",
        "Bring the disk online, or give `--media-root` or `--path-map`.",
        "NOT_FOUND",
    ),
    ErrorRow(
        Code.MEDIA_UNREADABLE,
        MediaError,
        "The file is damaged, cut short, or not a media file.",
        "Check that it plays elsewhere.",
        "FAILED_PRECONDITION",
    ),
    ErrorRow(
        Code.MEDIA_NO_AUDIO,
        MediaError,
        "The file has a picture but no sound.",
        "There is nothing to do: it has no sound to separate.",
        "FAILED_PRECONDITION",
    ),
    ErrorRow(Code.MEDIA_EMPTY, MediaError, "The file holds no audio sample.", "Copy or export it again."),
    ErrorRow(
        Code.MEDIA_CHANGED, MediaError, "The file changed while Stemline read it.", "Run again.", "FAILED_PRECONDITION"
    ),
    ErrorRow(
        Code.MEDIA_OUT_OF_RANGE,
        MediaError,
        "The range lies outside the file's sound.",
        "Choose a range inside it.",
        "OUT_OF_RANGE",
    ),
    ErrorRow(
        Code.MEDIA_UNKNOWN,
        MediaError,
        "The server does not hold this sound, or has dropped it.",
        "Send it again; the command line does so by itself.",
        "NOT_FOUND",
    ),
    ErrorRow(
        Code.MEDIA_UNSUPPORTED,
        MediaError,
        "The codec or layout cannot be read exactly, or the sample rate is outside 4000 to 768000 Hz.",
        "Convert it to WAV at 48000 Hz.",
    ),
    ErrorRow(
        Code.MEDIA_PEAK_TOO_HIGH,
        MediaError,
        "A peak is more than 60 dB over full scale: the file's header is probably wrong. The message names the time.",
        "Export the media again, or give `--accept-peaks` to separate it as it is.",
    ),
    ErrorRow(
        Code.STREAM_UNKNOWN,
        MediaError,
        "The file has no such audio stream.",
        "Give another `--stream`; the first is 0.",
    ),
    ErrorRow(Code.CHANNEL_UNKNOWN, MediaError, "The stream has no such channel.", "Choose fewer channels."),
    ErrorRow(Code.EDIT_UNREADABLE, EditError, "The edit cannot be read.", "Export it again as OpenTimelineIO."),
    ErrorRow(
        Code.EDIT_SCHEMA_UNSUPPORTED,
        EditError,
        "The edit was written by a newer OpenTimelineIO.",
        "Export it for an older version, or update Stemline.",
    ),
    ErrorRow(Code.EDIT_CYCLIC, EditError, "A sequence contains itself.", "Take the sequence out of itself."),
    ErrorRow(Code.EDIT_NO_CLIPS, EditError, "No clip can be separated.", "The message names the main reason."),
    ErrorRow(
        Code.EDIT_FORMAT_UNKNOWN,
        EditError,
        "No installed adapter reads or writes this format.",
        "Export the edit as `.otio`, Final Cut 7 XML, AAF or EDL.",
    ),
    ErrorRow(
        Code.EDIT_ADAPTER_MISSING,
        EditError,
        "The adapter of this format is not installed.",
        "Install the extra `otio`; the message has the command.",
    ),
    ErrorRow(
        Code.CLIP_DISABLED, MediaError, "The clip or its track is disabled.", "Enable it if it should be separated."
    ),
    ErrorRow(
        Code.CLIP_NOT_MEDIA,
        MediaError,
        "The clip plays no media file with sound, or the host could not render it.",
        "If the reason names a render, try again. Otherwise there is nothing to do.",
    ),
    ErrorRow(
        Code.CLIP_RETIMED,
        MediaError,
        "The clip is reversed or frozen, or its speed has key frames.",
        "Render the clip and cut it in.",
    ),
    ErrorRow(
        Code.CLIP_TIME_AMBIGUOUS,
        MediaError,
        "The clip's times do not fit its file.",
        "Relink the clip, or give it an available range.",
    ),
    ErrorRow(Code.CLIP_EMPTY, MediaError, "The clip plays no sample.", "There is nothing to do."),
    ErrorRow(
        Code.SERVER_UNREACHABLE,
        NoServerError,
        "No server answers.",
        "Start it, or correct `--server` or `STEMLINE_SERVER`; `stemline doctor` says what is wrong on this machine.",
        "UNAVAILABLE",
    ),
    ErrorRow(
        Code.SERVER_VERSION,
        NoServerError,
        "The versions of client and server do not work together.",
        "Update one of the two.",
    ),
    ErrorRow(
        Code.UNAUTHENTICATED,
        NoServerError,
        "The token is missing or wrong.",
        "Give `STEMLINE_TOKEN`, or the server's token file.",
        "UNAUTHENTICATED",
    ),
    ErrorRow(
        Code.POLICY_DENIED,
        UsageError,
        "The policy of the server does not allow this job.",
        "Read the message. Give `--reason` if it asks for a reason, or ask the operator of the server.",
        "PERMISSION_DENIED",
    ),
    ErrorRow(
        Code.NOT_PERMITTED,
        NoServerError,
        "The seat may not do this on the server.",
        "Ask the operator of the server for a seat with that scope.",
        "PERMISSION_DENIED",
    ),
    ErrorRow(Code.PORT_TAKEN, NoServerError, "Another program listens on this port.", "Choose another `--listen`."),
    ErrorRow(
        Code.JOB_UNKNOWN,
        SeparationError,
        "The server does not know this job.",
        "`stemline jobs --all` lists those it knows.",
        "NOT_FOUND",
    ),
    ErrorRow(Code.JOB_FAILED, SeparationError, "A job failed.", "Read the message."),
    ErrorRow(
        Code.POISONED_INPUT,
        SeparationError,
        "The server crashed three times while it worked on this job.",
        "Leave this clip out and report it.",
    ),
    ErrorRow(
        Code.REQUEST_ID_REUSED,
        InputError,
        "One request id was used for two different jobs.",
        "Choose a new id for each job.",
        "ALREADY_EXISTS",
    ),
    ErrorRow(
        Code.QUEUE_FULL,
        SeparationError,
        "The queue of the server is full.",
        "Wait, then try again.",
        "RESOURCE_EXHAUSTED",
    ),
    ErrorRow(
        Code.MODEL_UNKNOWN, UsageError, "The server has no such model.", "`stemline models` lists them.", "NOT_FOUND"
    ),
    ErrorRow(
        Code.MODEL_UNAVAILABLE,
        SeparationError,
        "The model cannot run on this server.",
        "The message says what is missing.",
        "FAILED_PRECONDITION",
    ),
    ErrorRow(
        Code.DEVICE_OUT_OF_MEMORY,
        SeparationError,
        "The device has too little memory.",
        "Choose a smaller model, or another device.",
        "RESOURCE_EXHAUSTED",
    ),
    ErrorRow(
        Code.UPLOAD_MISMATCH,
        InputError,
        "The data that arrived is not what was announced.",
        "Send it again.",
        "FAILED_PRECONDITION",
    ),
    ErrorRow(
        Code.PATH_NOT_ALLOWED,
        InputError,
        "The server may not read this path.",
        "Start it with `--media-root`, or let the client upload.",
        "PERMISSION_DENIED",
    ),
    ErrorRow(
        Code.DISK_FULL,
        OutputError,
        "The disk is full; the message names the folder.",
        "Free some space and run again; finished work is reused.",
        "RESOURCE_EXHAUSTED",
    ),
    ErrorRow(
        Code.DISK_QUOTA,
        OutputError,
        "Your disk quota is used up, or the server's store has reached its limit with work in progress.",
        "Free some space, raise `stemline cache limit`, or wait.",
        "RESOURCE_EXHAUSTED",
    ),
    ErrorRow(
        Code.OUTPUT_EXISTS,
        OutputError,
        "A file that this command did not write is in the way.",
        "Give `--overwrite`, or another folder with `-o`.",
    ),
    ErrorRow(
        Code.OUTPUT_UNWRITABLE,
        OutputError,
        "A result cannot be written.",
        "Check the folder's permissions.",
        "INTERNAL",
    ),
    ErrorRow(
        Code.ROOM_TONE_MISSING,
        SeparationError,
        "The removed sound is heard throughout, or the marked range is silent, so there is no room tone to learn.",
        "Mark where the room alone is heard with `--room-from`, or work on a longer range.",
        "FAILED_PRECONDITION",
    ),
    ErrorRow(
        Code.OUTPUT_DAMAGED,
        OutputError,
        "A file does not hold what was written.",
        "Run again; if it happens again, check the disk.",
    ),
    ErrorRow(Code.HOST_PROTOCOL, HostError, "A host program broke the protocol.", "Update Stemline in both places."),
    ErrorRow(Code.HOST_GONE, HostError, "The host program went away.", "Start it again; finished stems are found."),
    ErrorRow(
        Code.HOST_TIMEOUT,
        HostError,
        "The host did not answer in time.",
        "See whether it shows a dialog, then try again.",
    ),
    ErrorRow(
        Code.HOST_UNSUPPORTED,
        HostError,
        "This version or edition of the host cannot do this.",
        "The message says what it lacks.",
    ),
    ErrorRow(
        Code.HOST_BUSY,
        HostError,
        "The host is busy: it renders, shows a dialog, or another timeline is open.",
        "Do what the message says, then try again.",
    ),
    ErrorRow(
        Code.HOST_FAILED,
        HostError,
        "The host was asked and did not do it.",
        "Try again; restart the host program if it happens again.",
    ),
    ErrorRow(
        Code.HOST_VERSION,
        HostError,
        "The versions of the host's script and of Stemline do not work together.",
        "Run `stemline install` again.",
    ),
)

WARNINGS = {
    WarningCode.NOT_FOUND: "The sound was not heard; the stem is silent.",
    WarningCode.LOW_CONFIDENCE: "The stem may hold the wrong sound.",
    WarningCode.ROUGH_BY_WORDS: "Words alone are not enough for a clean stem: mark where the sound is heard.",
    WarningCode.STEM_IS_MIX: (
        "The stem has more than 97 % of the energy of the mix: nothing else sounds there, or it was not separated."
    ),
    WarningCode.RUMBLE_LEFT: "The stem holds low rumble that belongs to another sound: a high-pass filter removes it.",
    WarningCode.ROOM_TONE_SHARED: (
        "The clip has too little room tone; the fill is made from that of another clip of the same media."
    ),
    WarningCode.PROMPT_SUBSTITUTED: (
        "Words of the prompt were replaced, corrected or left out; the message names the sound it was taken for."
    ),
    WarningCode.PROMPT_SENTENCE: (
        'The words read like a sentence, and SAM Audio was trained on phrases such as "man speaking".'
    ),
    WarningCode.STEMS_OVERLAP: "Two stems hold the same sound, so the residual holds it inverted.",
    WarningCode.MEDIA_NOT_FINITE: "The media has samples that are not numbers; they are taken as silence.",
    WarningCode.MEDIA_DAMAGED: (
        "Some of the media does not decode and is silent or missing; the message lists the places."
    ),
    WarningCode.MEDIA_FORMAT_CHANGES: (
        "The channels or the sample rate change on the way: the stems have the channels of the widest part and the "
        "rate of the first."
    ),
    WarningCode.MEDIA_CUT_SHORT: (
        "The file declares more sound than it holds: a copy or recording that was not finished. MPEG transport "
        "streams and Ogg do not declare their length, so this cannot be seen there."
    ),
    WarningCode.CREDENTIALS_MISSING: (
        "The file is written and its record signed, but it has no Content Credentials (C2PA): it is larger than 512 "
        "MiB, or they could not be made."
    ),
    WarningCode.CREDENTIALS_NOT_CARRIED: (
        "The media has Content Credentials (C2PA) that the stems do not hold; the message says why. Where they "
        "matter, deliver the media too."
    ),
}
"""The meaning of each code of a warning: one sentence, in Markdown."""

ROW_OF = {row.code: row for row in ERRORS}


def error_for(reason: str, message: str, advice: str = "") -> StemlineError:
    """Return the error for a stable reason.

    Args:
        reason: A code as text. An unknown one gives SeparationError with code INTERNAL.
        message: One sentence.
        advice: What to do.
    """
    if reason == Code.CANCELLED:
        return Cancelled(message or "Stopped.")
    if reason not in Code.__members__:
        return SeparationError(message, code=Code.INTERNAL, advice=advice)
    code = Code(reason)
    return ROW_OF[code].kind(message, code=code, advice=advice)
