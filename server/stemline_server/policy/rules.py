"""The policy file of a server: which jobs it accepts, from whom, and why."""

from __future__ import annotations

import fnmatch
import re
import tomllib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stemline.errors import Code, UsageError
from stemline.options import RECORD_WORDS

_LARGEST_BYTES = 1 << 20
_MOST_RULES = 1000
_RULE_KEYS = {"who", "models", "words", "spans", "allow", "needs", "message"}
_AUDIT_KEYS = {"path", "words", "keep_days"}
_ANYTHING = re.compile("")


@dataclass(frozen=True, slots=True)
class JobFacts:
    """What the policy and the log see of a job.

    Attributes:
        who: The caller: "token:NAME" of its seat ("token:local" for the server's own token), and "cn:NAME" of its
            client certificate where it has one.
        kind: "separate", "generate", or "suggest" for calls that hear a sound and make none.
        model: Id of the model, generator or tagger.
        words: The words of the prompt; empty where it is marked by time or by a picture alone.
        media: Name of the sound, which is its hash; empty where there is none.
        origin_sample: Where the sound begins in its file.
        length_samples: How long it is.
        reason: Note of the user about why the job is needed; may be empty.
        client: Address of the client.
    """

    who: tuple[str, ...]
    kind: str
    model: str
    words: str
    media: str = ""
    origin_sample: int = 0
    length_samples: int = 0
    reason: str = ""
    client: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. It applies to a job that every part of it admits.

    Attributes:
        who: Pattern of callers.
        models: Pattern of models.
        words: Pattern of folded words; a rule with words never applies to a job without.
        needs_words: Whether it denies jobs without words: they say nothing that the other rules could match.
        allow: Whether it allows the job.
        needs_reason: Whether the job must carry a reason.
        message: What a caller whose job is denied reads.
    """

    who: re.Pattern[str] = _ANYTHING
    models: re.Pattern[str] = _ANYTHING
    words: re.Pattern[str] | None = None
    needs_words: bool = False
    allow: bool = True
    needs_reason: bool = False
    message: str = ""

    def applies_to(self, job: JobFacts, folded: str) -> bool:
        """Return whether the rule decides about a job with these folded words."""
        if not (any(map(self.who.match, job.who)) and self.models.match(job.model)):
            return False
        if self.needs_words:
            return not folded and job.kind != "suggest"
        return self.words is None or bool(folded and self.words.match(folded))

    def objection(self, job: JobFacts) -> str:
        """Return why the rule denies a job it applies to; empty where it does not.

        Suggestions carry no reason, so rules that need one let them pass.
        """
        if self.needs_words:
            return self.message or "Name the sound in words; this server takes no prompts without."
        if not self.allow:
            return self.message or "A rule of this server denies it."
        if self.needs_reason and job.kind != "suggest" and not job.reason.strip():
            return self.message or "This server asks for a reason."
        return ""


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """Where the log is, how it names words ("full", "hash" or "omit"), and for how many days it is kept."""

    path: Path
    words: str = "hash"
    keep_days: int = 365


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules of a server, the first of which that applies decides."""

    rules: tuple[Rule, ...] = ()
    default_allow: bool = True
    audit: AuditSettings | None = None

    def objection(self, job: JobFacts) -> str:
        """Return why a job is denied, in one sentence; empty where it is allowed."""
        folded = fold(job.words)
        for rule in self.rules:
            if rule.applies_to(job, folded):
                return rule.objection(job)
        return "" if self.default_allow else "No rule of this server allows it."


def fold(words: str) -> str:
    """Return words as patterns are compared with them: without case, accents, typographic quotes and double spaces.

    Characters without width go, too: they change how words are compared and not how they read.
    """
    plain = unicodedata.normalize("NFKD", words.replace("\u2019", "'").replace("\u2018", "'"))
    seen = (c for c in plain if not unicodedata.combining(c) and unicodedata.category(c) != "Cf")
    return " ".join("".join(seen).casefold().split())


def read_policy(path: Path) -> Policy:
    """Read a policy file. Raises UsageError for one that cannot be read or holds something unknown."""
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST_BYTES + 1)
        if len(data) > _LARGEST_BYTES:
            raise ValueError("it is too large for a policy")
        return _policy(tomllib.loads(data.decode("utf-8")), path.absolute().parent)
    except OSError as error:
        raise UsageError(f"The policy {path} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"The policy {path} cannot be used: {error}.", advice="See the page about servers for its form."
        ) from error


def _policy(values: Mapping[str, Any], folder: Path) -> Policy:
    _check_keys("the file", values, {"audit", "rule", "default"})
    default = values.get("default", "allow")
    if default not in ("allow", "deny"):
        raise ValueError('default is "allow" or "deny"')
    rules = values.get("rule", [])
    if not isinstance(rules, list) or len(rules) > _MOST_RULES or not all(isinstance(rule, dict) for rule in rules):
        raise ValueError(f"there are up to {_MOST_RULES} tables [[rule]]")
    return Policy(
        tuple(_rule(number, rule) for number, rule in enumerate(rules, 1)),
        default == "allow",
        _audit(values["audit"], folder) if "audit" in values else None,
    )


def _rule(number: int, values: Mapping[str, Any]) -> Rule:
    _check_keys(f"rule {number}", values, _RULE_KEYS)
    if values.get("needs", "reason") != "reason":
        raise ValueError(f'rule {number}: needs can only be "reason"')
    for name, kind in (("allow", bool), ("spans", bool), ("message", str)):
        if not isinstance(values.get(name, kind()), kind):
            raise ValueError(f"rule {number}: {name} has the wrong type")
    needs_words = values.get("spans", True) is False
    if needs_words and "words" in values:
        raise ValueError(f"rule {number}: spans = false is about prompts without words; leave words out")
    words = _pattern(number, values, "words", folded=True)
    return Rule(
        who=_pattern(number, values, "who") or _ANYTHING,
        models=_pattern(number, values, "models") or _ANYTHING,
        words=words,
        needs_words=needs_words,
        allow=values.get("allow", True),
        needs_reason="needs" in values,
        message=values.get("message", ""),
    )


def _pattern(number: int, values: Mapping[str, Any], name: str, *, folded: bool = False) -> re.Pattern[str] | None:
    """Return one pattern for a list of those with `*`, `?` and `[...]`; None where there is none."""
    if name not in values:
        return None
    listed = values[name]
    if not isinstance(listed, list) or not listed or not all(isinstance(each, str) and each for each in listed):
        raise ValueError(f"rule {number}: {name} is a list of texts")
    return re.compile("|".join(fnmatch.translate(fold(each) if folded else each) for each in listed))


def _audit(values: object, folder: Path) -> AuditSettings:
    if not isinstance(values, dict):
        raise ValueError("audit is a table")
    _check_keys("audit", values, _AUDIT_KEYS)
    path, words, days = values.get("path"), values.get("words", "hash"), values.get("keep_days", 365)
    if not isinstance(path, str) or not path:
        raise ValueError("audit names the path of its file")
    if words not in RECORD_WORDS:
        raise ValueError(f"audit: words is one of {', '.join(RECORD_WORDS)}")
    if isinstance(days, bool) or not isinstance(days, int) or days < 1:
        raise ValueError("audit: keep_days is a whole number of days")
    return AuditSettings(folder / Path(path).expanduser(), words, days)


def _check_keys(place: str, values: Mapping[str, Any], known: set[str]) -> None:
    if unknown := sorted(set(values) - known):
        raise ValueError(f"{place} holds {unknown[0]!r}, which is not one of {', '.join(sorted(known))}")


def denied(reason: str) -> UsageError:
    """Return the error of a job that the policy denies."""
    return UsageError(f"The policy of this server denies this job. {reason}", code=Code.POLICY_DENIED)
