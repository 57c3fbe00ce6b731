"""What can go wrong, split by who must act.

* Bad data is a value, not an exception: a `Rejected` door goes to the dead letters and the stream goes on.
* `UsageError`      the caller or the configuration is wrong (exit 2, names the file and key);
* `TooMuchBadData`  the share of rejected records passed its limit (exit 3);
* `Unreachable`     a server does not answer (exit 4; retried in place by the runner, never acked);
* anything else is a bug: it ends the process, un-acked.

Every message is given in English and Chinese; the command line chooses.
"""

from __future__ import annotations


class QuanyuError(Exception):
    """Base of all errors a user may read. `str()` is the English text; `text(lang)` either."""

    exit_code = 1

    def __init__(self, en: str, zh: str = "") -> None:
        super().__init__(en)
        self.en = en
        self.zh = zh or en

    def text(self, lang: str) -> str:
        """The message in `lang` ("en" or "zh")."""
        return self.zh if lang == "zh" else self.en


class UsageError(QuanyuError):
    """Wrong option, configuration, mapping or grid file; the text names the place and a fix."""

    exit_code = 2


class TooMuchBadData(QuanyuError):
    """More than the configured share of records was rejected; nothing was lost, the run stopped."""

    exit_code = 3


class Unreachable(QuanyuError):
    """A server (Kafka, ClickHouse) does not answer; `retry_after_s` says when to try again."""

    exit_code = 4

    def __init__(self, en: str, zh: str = "", retry_after_s: float = 1.0) -> None:
        super().__init__(en, zh)
        self.retry_after_s = retry_after_s
