"""Where files lie elsewhere: buckets and web servers by obstore, whatever else by fsspec. Each is asked once.

What goes wrong is one of two: a Fault may be gone the next time, an OSError says for good why a file cannot be read.
No store is given a secret; each looks for credentials in its own standard places.
"""

import configparser
import errno
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from urllib.parse import unquote, urlsplit
from uuid import uuid4

from selftaught.data.sources.source import digest
from selftaught.system.addresses import WAYS, redacted
from selftaught.system.errors import SelftaughtError, UsageError
from selftaught.system.text import printable

WEB = ("http", "https")
OBJECTS = (*WEB, "s3", "s3a", "gs", "az", "abfs", "abfss")  # schemes that obstore speaks
TIMES = {"connect_timeout": "10s", "read_timeout": "30s", "timeout": "10m"}  # of a request; a slow one may be whole
HERE = ("file", "local")
PASSING = (408, 425, 429)  # statuses of HTTP that may be gone the next time, beside those from 500 on
# What fsspec's file systems call that which changes with what a file holds, and when it changed.
MARKS = ("ETag", "etag", "e_tag", "generation", "blob_id", "md5Hash", "content_md5")
CHANGED = ("LastModified", "last_modified", "Last-Modified", "updated", "mtime", "modified", "created")
REFUSED = ("PermissionDeniedError", "UnauthenticatedError")  # by obstore
LIBRARIES = ("aiohttp", "httpx", "httpcore", "requests", "urllib3", "botocore")  # whose errors are of the network
REASON = 200  # letters of one
WORDY = re.compile(r"Generic \w+ error: |Error performing .*? - |HTTP error: |Server returned non-2xx status code: ")
NO_PARTS = "its server sends whole files alone, and not the part that is asked for"


class Fault(Exception):  # noqa: N818 - the field's word
    """A request came to nothing, and may come to something the next time; the message is the reason."""


class Facts(NamedTuple):
    """How a file looks from outside."""

    size: int
    etag: str = ""  # changes with what it holds; "" where the store tells none
    changed: str = ""  # when it was changed; likewise

    def differ(self, other: "Facts") -> bool:
        """Whether the two are of other contents, by what both tell."""
        both = ((mine, theirs) for mine, theirs in ((self.etag, other.etag), (self.changed, other.changed)))
        told = next(((mine, theirs) for mine, theirs in both if mine and theirs), ("", ""))
        return self.size != other.size or told[0] != told[1]

    @property
    def mark(self) -> str:
        """What stands for the content; where a store tells none, nobody but this process takes it for the same."""
        return self.etag or self.changed or _nobody()


@cache
def _nobody() -> str:
    return uuid4().hex


class Store(Protocol):
    """Files by path. Raises Fault, and OSError for good."""

    def facts(self, path: str) -> Facts:
        """Of a file."""

    def read(self, path: str, start: int, stop: int) -> tuple[bytes, Facts | None]:
        """Bytes of a file as they came, which may be too few; and how the file looked then, if that is known."""

    def listed(self, folder: str) -> Mapping[str, Facts | None]:
        """The files in a folder, not those in folders below, by name, and how they look where a list tells."""


def store_of(url: str) -> tuple[Store, str]:
    """Where a file lies, and its path there. Raises UsageError where what reads it is not installed."""
    scheme, _, rest = url.partition("://")
    scheme, authority = scheme.lower(), rest.partition("/")[0]
    if scheme in OBJECTS and _has_obstore():
        path = rest.partition("/")[2]
        return _objects(scheme, authority), unquote(path) if scheme in WEB else path
    return _files(scheme), url


@cache
def _has_obstore() -> bool:
    try:
        import obstore  # noqa: F401
    except ImportError:
        return False
    return True


@cache
def _objects(scheme: str, authority: str) -> "Objects":
    return Objects(scheme, authority)


@cache
def _files(scheme: str) -> "Files":
    return Files(scheme)


class Objects(Store):
    """A bucket, or a web server."""

    def __init__(self, scheme: str, authority: str) -> None:
        from obstore.store import from_url

        options: dict[str, Any] = {"client_options": {**TIMES}, "retry_config": {"max_retries": 0}}
        if scheme == "http" or (scheme.startswith("s3") and os.environ.get("AWS_ALLOW_HTTP", "").lower() == "true"):
            options["client_options"]["allow_http"] = True
        if scheme in ("s3", "s3a") and (kept := _kept_by_aws()):
            options["config"] = kept
        self._scheme = scheme
        with _sorted_out():
            self._store = from_url(f"{scheme}://{authority}", **options)

    def facts(self, path: str) -> Facts:
        import obstore

        with _sorted_out():
            return _of_object(obstore.head(self._store, path))

    def read(self, path: str, start: int, stop: int) -> tuple[bytes, Facts | None]:
        import obstore

        with _sorted_out():
            got = obstore.get(self._store, path, options={"range": (start, stop)})
            return bytes(got.bytes()), _of_object(got.meta)

    def listed(self, folder: str) -> Mapping[str, Facts | None]:
        import obstore

        if self._scheme in WEB:
            raise OSError(errno.EOPNOTSUPP, "a web server lists no folders: name its files by a pattern, a-{0..9}.tar")
        with _sorted_out():
            found = obstore.list_with_delimiter(self._store, folder.rstrip("/"))["objects"]
        return {one["path"].rpartition("/")[2]: _of_object(one) for one in found}


def _of_object(meta: Mapping[str, Any]) -> Facts:
    changed = meta["last_modified"]
    known = changed is not None and changed > datetime.fromtimestamp(0, UTC)  # which stands for none
    return Facts(meta["size"], _strong(meta["e_tag"] or meta["version"] or ""), changed.isoformat() if known else "")


def _strong(etag: object) -> str:
    """A tag of HTTP without its quotes, and without what says that other bytes may mean the same."""
    return str(etag).removeprefix("W/").strip('"')


def _kept_by_aws() -> dict[str, str]:
    """Keys and region of a profile in ~/.aws, which obstore does not read; empty where the environment has keys."""
    if os.environ.get("AWS_ACCESS_KEY_ID") or os.environ.get("AWS_SKIP_SIGNATURE"):
        return {}
    places = {"AWS_SHARED_CREDENTIALS_FILE": "credentials", "AWS_CONFIG_FILE": "config"}
    held = configparser.RawConfigParser()
    for told, file in places.items():
        _read_into(held, os.environ.get(told, Path.home() / ".aws" / file))
    profile = os.environ.get("AWS_PROFILE", "default")
    sections = [dict(held[name]) for name in (f"profile {profile}", profile) if held.has_section(name)]
    said = {name: value for section in sections for name, value in section.items()}
    wanted = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token", "region")
    found = {name: said[name] for name in wanted if said.get(name)}
    return found if "aws_secret_access_key" in found else {}


def _read_into(held: configparser.RawConfigParser, file: str | Path) -> None:
    """What a file says, if it is there. Raises UsageError without a word of what it holds, as that may be secret."""
    try:
        held.read(file, encoding="utf-8")
    except (configparser.Error, UnicodeError):
        way = "mend it, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        raise UsageError(f"{printable(file)} is no file of profiles as AWS has them: {way}") from None


class Files(Store):
    """A file system of fsspec's: of the Hugging Face Hub, or whatever scheme has one."""

    def __init__(self, scheme: str) -> None:
        if scheme in HERE:
            raise UsageError(f"{scheme}:// is of this machine: name the path itself")
        try:
            import fsspec

            self._system = fsspec.filesystem(scheme, **_options(scheme))
        except (ImportError, ValueError) as error:
            raise UsageError(_lacking(scheme, error)) from None
        self._fixed = scheme == "hf"  # by its commit, so that nothing changes on the way
        self._commits: dict[str, str] = {}

    def facts(self, path: str) -> Facts:
        path = self._at_commit(path)
        with _sorted_out():
            return _of_file(self._system.info(path))

    def read(self, path: str, start: int, stop: int) -> tuple[bytes, Facts | None]:
        at = self._at_commit(path)
        with _sorted_out():
            how = {"cache_type": "none"} if self._fixed else {}  # which would fetch more than is asked for
            data: bytes = self._system.cat_file(at, start=start, end=stop, **how)
        if at != path:
            return data, None
        self._system.invalidate_cache()
        return data, self.facts(path)  # asked afterwards: what changed before it was read shows

    def listed(self, folder: str) -> Mapping[str, Facts | None]:
        with _sorted_out():
            found = self._system.ls(folder.rstrip("/"), detail=True)
            # Not how they look: some say otherwise of a single file when that was changed.
            return {one["name"].rpartition("/")[2]: None for one in found if one["type"] == "file"}

    def _at_commit(self, path: str) -> str:
        """A path of the Hub with the commit that its revision names now; any other as it is."""
        if not self._fixed:
            return path
        with _sorted_out():
            place = self._system.resolve_path(path)
            if not hasattr(place, "repo_id"):  # a bucket of theirs, which has no commits
                return path
            named = f"{place.repo_type} {place.repo_id} {place.revision}"
            if named not in self._commits:
                about = self._system._api.repo_info(place.repo_id, repo_type=place.repo_type, revision=place.revision)
                self._commits[named] = str(about.sha)
            kind = "" if place.repo_type == "model" else f"{place.repo_type}s/"
            return f"{kind}{place.repo_id}@{self._commits[named]}/{place.path_in_repo}"


def _options(scheme: str) -> dict[str, Any]:
    if scheme not in WEB:
        return {}
    from aiohttp import ClientTimeout

    times = ClientTimeout(total=600, sock_connect=10, sock_read=30)
    own = {"headers": {"Accept-Encoding": "identity"}}  # packed, a part would be another
    return {"client_kwargs": {"timeout": times, "trust_env": True, **own}}


def _lacking(scheme: str, error: Exception) -> str:
    if scheme in OBJECTS:
        return f"{scheme}:// needs more than is installed: pip install 'selftaught[remote]'"
    return f"{printable(scheme)}:// cannot be read: {_reason(error)}"


def _of_file(info: Mapping[str, Any]) -> Facts:
    if info.get("type") == "directory":
        raise IsADirectoryError(errno.EISDIR, "is a folder: write a / at its end to read the shards in it")
    if info.get("size") is None:
        raise OSError(errno.EOPNOTSUPP, "its server does not say how large it is")
    etag, changed = (next((info[key] for key in keys if info.get(key)), "") for keys in (MARKS, CHANGED))
    return Facts(int(info["size"]), _strong(etag), digest(str(changed)) if changed else "")


@contextmanager
def _sorted_out() -> Iterator[None]:
    """What goes wrong inside becomes a Fault or an OSError; libraries have errors of many kinds."""
    try:
        yield
    except SelftaughtError:
        raise
    except Exception as error:
        raise _kind(error) from None


def _kind(error: Exception) -> Exception:
    name, status, cause = type(error).__name__, _status(error), error.__cause__
    if isinstance(error, FileNotFoundError) and isinstance(cause, Exception):  # of fsspec's, for whatever went wrong
        return _kind(cause)
    if status is not None and (status >= 500 or status in PASSING):
        return Fault(_reason(error))
    if status in (401, 403) or isinstance(error, PermissionError) or name in REFUSED:
        return PermissionError(errno.EACCES, f"access is refused; {WAYS}")
    if status in (404, 410) or isinstance(error, FileNotFoundError):
        return FileNotFoundError(errno.ENOENT, "it does not exist")
    if name == "NotSupportedError":
        return OSError(errno.EOPNOTSUPP, NO_PARTS)
    if "without LOCATION" in str(error):  # of S3
        return OSError(errno.EREMOTE, "its bucket is in another region: set AWS_REGION")
    if isinstance(error, OSError) and error.errno in (errno.EISDIR, errno.EOPNOTSUPP):
        return error
    passing = isinstance(error, OSError | EOFError) or name == "GenericError"
    passing |= type(error).__module__.split(".")[0] in LIBRARIES
    return Fault(_reason(error)) if passing and status is None else OSError(errno.EIO, _reason(error))


def _status(error: BaseException | None) -> int | None:
    """The status of HTTP that an error tells of, or one that it followed from."""
    while error is not None:
        answer = getattr(error, "response", None)
        for told in (getattr(error, "status", None), getattr(answer, "status_code", None)):
            if isinstance(told, int):
                return told
        if found := re.search(r"status code: (\d{3})", str(error)):
            return int(found[1])
        error = error.__cause__
    return None


def _reason(error: Exception) -> str:
    """The first line of an error, shortened, without anything that could be secret."""
    if "169.254.169.254" in str(error):  # the last that a bucket's store asks for credentials: the machine itself
        return f"no credentials were found; {WAYS}; AWS_SKIP_SIGNATURE=true for what is public"
    line = WORDY.sub("", redacted((str(error) or type(error).__name__).splitlines()[0].split(": <")[0]))
    return printable(line)[:REASON].rstrip(": ")


def name_in(url: str) -> str:
    """The last part of a path, without what stands for other letters."""
    parts = urlsplit(url)
    path = unquote(parts.path) if parts.scheme.lower() in WEB else url
    return path.rstrip("/").rpartition("/")[2]
