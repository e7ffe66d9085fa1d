"""Ask a model whether it knows the words of a prompt, and which sounds it knows by name."""

from __future__ import annotations

from stemline.client import KnownSounds, PromptCheck, connect


def check_prompt(text: str, *, model: str = "", server: str | None = None) -> PromptCheck:
    """Return how a model understands the text of a prompt, without any sound.

    A model that takes any words answers KNOWN for each text that it accepts.

    Args:
        text: Text of the prompt.
        model: Id of the model; empty for the server's default.
        server: Address of the server; None as for `stemline.connect`.

    Raises:
        NoServerError: No server answers.
        UsageError: There is no such model (MODEL_UNKNOWN).
        SeparationError: The model cannot run on the server (MODEL_UNAVAILABLE).

    Examples:
        >>> import stemline
        >>> stemline.check_prompt("speech").status
        <PromptStatus.KNOWN: 'known'>
    """
    with connect(server) as client:
        return client.check_prompts([text], model)[0]


def known_sounds(*, model: str = "", server: str | None = None) -> KnownSounds:
    """Return the sounds that a model knows by name; none for a model that takes any words.

    Args:
        model: Id of the model; empty for the server's default.
        server: Address of the server; None as for `stemline.connect`.

    Raises:
        NoServerError: No server answers.
        UsageError: There is no such model (MODEL_UNKNOWN).

    Examples:
        >>> import stemline
        >>> names = [sound.name for sound in stemline.known_sounds(model="embedded").sounds]
        >>> "speech" in names
        True
    """
    with connect(server) as client:
        return client.known_sounds(model)
