"""Names of what lies elsewhere, such as s3://bucket/train.tar: how they are known, and that none holds a secret."""

import re
from contextvars import ContextVar

from selftaught.system.errors import UsageError
from selftaught.system.text import printable

SCHEME = re.compile(r"[a-z][a-z0-9+.\-]+://", re.IGNORECASE)  # of two letters at least: c:/ is a disk
# A password, or of a web address anybody's name: a token stands there as well. Elsewhere such as abfss://box@account.
PERSON = re.compile(r"(?<=://)[^/?#\s]*:[^/?#\s]*@|(?<=http://|ttps://)[^/?#\s]*@", re.IGNORECASE)
QUERY = re.compile(r"(?<=\w)(://[^?#\s]*)[?#][^\s'\"]*")
WAYS = (
    "credentials are read from where they belong: AWS_ACCESS_KEY_ID or ~/.aws for s3://, "
    "GOOGLE_APPLICATION_CREDENTIALS for gs://, HF_TOKEN for hf://"
)

copied: ContextVar[int | None] = ContextVar("copied", default=None)  # bytes of copies on this disk, by --remote-cache


def is_remote(name: object) -> bool:
    """Whether a name is that of something elsewhere."""
    return isinstance(name, str) and SCHEME.match(name) is not None


def redacted(line: str) -> str:
    """A line without what may be secret in the addresses that it holds: passwords, and what follows a `?`."""
    return QUERY.sub(r"\1?...", PERSON.sub("...@", line)) if "://" in line else line


def refuse_secrets(name: object) -> None:
    """Raise UsageError for an address with a password or a query, which recipes, logs and pages would show for ever."""
    if not isinstance(name, str) or not is_remote(name) or (shown := redacted(name)) == name:
        return
    what = "a user or password" if PERSON.search(name) else "what follows its ? or #, which may be a key,"
    raise UsageError(f"{printable(shown)} has {what} in it, which recipes and logs would show: leave it out; {WAYS}")
