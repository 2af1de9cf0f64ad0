"""Which project a command is about, as whom, and how each of that was decided.

Reads the configuration file that `tcfs init` and tracecraft-ai write and share (wire.md,
Configuration). Knows nothing of stores: `tcfs.cli._open` makes one of these settings.
"""

import getpass
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, final

from tcfs.cli._failure import Failure
from tcfs.cli._places import data_home
from tcfs.wire import InvalidName, Malformed, json
from tcfs.wire.ids import AgentId, agent_id, is_control

FILE_NAME: Final = ".tracecraft.json"
_SENDABLE: Final = re.compile("[!-~]+")
SECRETS: Final = ("secret_key", "session_token", "hf_token")
"""Its members that are told to nobody, whether they are in use or not."""


@final
@dataclass(frozen=True, slots=True)
class Local:
    """A project in a directory of this host. `embedded`: nobody named a place for it."""

    directory: Path
    embedded: bool = False

    @property
    def url(self) -> str:
        """Return where it is, as a STORE argument."""
        return self.directory.as_uri()


@final
@dataclass(frozen=True, slots=True)
class Bucket:
    """A project in an S3 bucket. What is None is left to boto3's own chain."""

    bucket: str
    project: str
    endpoint: str | None = None
    region: str | None = None
    profile: str | None = None
    access_key: str | None = field(default=None, repr=False)
    secret_key: str | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        """Return where it is, as a STORE argument."""
        return f"s3://{self.bucket}/{self.project}"


@final
@dataclass(frozen=True, slots=True)
class Settings:
    """What a command works on. `store_how`, `agent_how`: how that was decided, for people."""

    store: Local | Bucket
    store_how: str
    agent: AgentId
    agent_how: str
    credentials_how: str = "none are needed"
    secrets: tuple[str, ...] = field(default=(), repr=False)  # what the configuration has of them

    def describe(self) -> tuple[str, ...]:
        """Return these settings as lines that hold no secret."""
        lines = [f"store {self.store.url} ({self.store_how})"]
        if isinstance(self.store, Bucket):
            if self.store.endpoint is not None:
                lines.append(f"endpoint {_without_user(self.store.endpoint)}")
            if self.store.region is not None:
                lines.append(f"region {self.store.region}")
        lines.append(f"credentials {self.credentials_how}")
        lines.append(f"agent {self.agent} ({self.agent_how})")
        return tuple(lines)


@final
@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line says. `command` is for the texts: `tcfs mount`."""

    command: str
    store: str | None = None
    agent: str | None = None
    endpoint: str | None = None
    region: str | None = None
    profile: str | None = None


@final
@dataclass(frozen=True, slots=True)
class Configuration:
    """A configuration file: where it is and its members."""

    path: Path
    members: Mapping[str, Any] = field(repr=False)

    def text(self, name: str) -> str | None:
        """Return a member that is a text; None where it is missing, null or empty.

        Raises:
            Failure: it is something else.
        """
        value = self.members.get(name)
        if value is None or value == "":
            return None
        if not isinstance(value, str):
            raise Failure(f"{self.path}: '{name}' must be a text; correct it")
        return value


def find(directory: Path, home: Path) -> Configuration | None:
    """Return the configuration for work in `directory`, or None where there is none.

    Raises:
        Failure: there is one that cannot be used.
    """
    for path in (directory / FILE_NAME, home / ".tracecraft" / "config.json"):
        try:
            data = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise Failure(f"{path}: {error.strerror}; make it readable, or remove it") from error
        try:
            return Configuration(path, json.load_object(data))
        except Malformed as error:
            raise Failure(f"{path} is {error}; correct it, or run tcfs init again") from error
    return None


def settle(asked: Asked, environ: Mapping[str, str], directory: Path, home: Path) -> Settings:
    """Decide what a command works on.

    Raises:
        Failure: what was asked for, or configured, cannot be meant.
    """
    configuration = find(directory, home)
    if asked.store is not None:
        store, how = _from_argument(asked.store, directory), "the STORE argument"
        store = _with_keys_of_same_bucket(store, configuration)
    elif configuration is not None:
        store, how = _from_file(configuration, environ), f"in {configuration.path}"
    else:
        project = directory.name or "root"
        store = Local(data_home(environ) / project, embedded=True)
        how = f"the embedded local store, for work in {directory}"
    if isinstance(store, Bucket):
        store = _sendable(_as_asked(store, asked), how)
    elif asked.endpoint or asked.profile or asked.region:
        raise Failure(
            f"{store.url} is a local directory, which has no endpoint, region or profile;"
            " name a bucket: s3://bucket/project"
        )
    agent, agent_how = _agent(asked, environ, configuration)
    credentials = _credentials(store, asked, configuration)
    return Settings(store, how, agent, agent_how, credentials, _secrets(configuration))


def settle_configured(configuration: Configuration, environ: Mapping[str, str]) -> Settings:
    """Return the settings that a configuration file makes by itself, without a command line.

    Raises:
        Failure: it cannot be used.
    """
    store, how = _from_file(configuration, environ), f"in {configuration.path}"
    if isinstance(store, Bucket):
        store = _sendable(store, how)
    asked = Asked("tcfs init")
    agent, agent_how = _agent(asked, {}, configuration)
    credentials = _credentials(store, asked, configuration)
    return Settings(store, how, agent, agent_how, credentials, _secrets(configuration))


def _from_argument(text: str, directory: Path) -> Local | Bucket:
    scheme, separator, rest = text.partition("://")
    # A secret key may hold a slash, so that the `@` comes after what looks like the bucket.
    if separator and "@" in rest and {":", "@"}.intersection(rest.partition("/")[0]):
        # Not repeated: it would be in logs, and a STORE is in the list of processes.
        raise Failure(
            "a STORE holds no credentials: it would show them to everybody; use tcfs init, "
            "a profile, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment"
        )
    match scheme if separator else "":
        case "s3":
            bucket, _, project = rest.partition("/")
            project = project.strip("/")
            if not bucket or not project:
                raise Failure(f"{text} names no project; write s3://bucket/project")
            return Bucket(bucket, _project(project, text))
        case "hf":
            raise _no_hub(text)
        case "file":
            if not rest.startswith("/"):
                raise Failure(f"{text} is not absolute; write file:///directory")
            return Local(Path(rest))
        case "":
            return Local(Path(os.path.normpath(directory / Path(text).expanduser())))
        case _:
            raise Failure(
                f"{text} is no store that tcfs knows; write s3://bucket/project,"
                " file:///directory or a directory"
            )


def _from_file(configuration: Configuration, environ: Mapping[str, str]) -> Local | Bucket:
    path = configuration.path
    bucket, project = configuration.text("bucket"), configuration.text("project")
    if project is None:
        raise Failure(f"{path} names no project; add 'project', or run tcfs init again")
    match configuration.text("backend") or "s3":  # 0.2.0 and older wrote none for S3
        case "s3":
            if bucket is None:
                raise Failure(f"{path} names no bucket; add 'bucket', or run tcfs init again")
            return Bucket(
                bucket,
                _project(project.strip("/"), str(path)),
                endpoint=configuration.text("endpoint"),
                access_key=configuration.text("access_key"),
                secret_key=configuration.text("secret_key"),
            )
        case "file":
            if bucket is not None and "\0" in bucket:
                raise Failure(f"{path}: {bucket!r} is no directory's name; correct 'bucket'")
            base = path.parent / bucket if bucket else data_home(environ)
            return Local(base / _project(project, str(path)), embedded=bucket is None)
        case "hf":
            raise _no_hub(str(path))
        case other:
            raise Failure(f"{path}: tcfs knows no backend '{other}'; use s3 or file")


def _project(name: str, where: str) -> str:
    """Return a project's name, which leads nowhere but below its bucket or directory."""
    if not name or {"", ".", ".."}.intersection(name.split("/")) or is_control(name):
        raise Failure(
            f"{where}: {name!r} is no project's name; use words that '/' may part, and no '..'"
        )
    return name


def _with_keys_of_same_bucket(
    store: Local | Bucket, configuration: Configuration | None
) -> Local | Bucket:
    # Keys go nowhere but to the bucket that they were configured for.
    if (
        not isinstance(store, Bucket)
        or configuration is None
        or configuration.text("bucket") != store.bucket
        or configuration.text("backend") not in (None, "s3")
    ):
        return store
    return Bucket(
        store.bucket,
        store.project,
        endpoint=configuration.text("endpoint"),
        access_key=configuration.text("access_key"),
        secret_key=configuration.text("secret_key"),
    )


def _as_asked(store: Bucket, asked: Asked) -> Bucket:
    own_keys = asked.profile is None
    return Bucket(
        store.bucket,
        store.project,
        endpoint=asked.endpoint or store.endpoint,
        region=asked.region or store.region,
        profile=asked.profile,
        access_key=store.access_key if own_keys else None,
        secret_key=store.secret_key if own_keys else None,
    )


def _sendable(store: Bucket, how: str) -> Bucket:
    """Return `store`, of which all can be part of a request."""
    told = {"bucket": store.bucket, "endpoint": store.endpoint, "region": store.region}
    told["access_key"] = store.access_key  # the secret one is not sent, and may be any text
    for name, value in told.items():
        if value is not None and not _SENDABLE.fullmatch(value):
            raise Failure(
                f"the {name} of the store ({how}) holds white space, control characters or other"
                " than ASCII, which no request can; correct it"
            )
    return store


def _credentials(store: Local | Bucket, asked: Asked, configuration: Configuration | None) -> str:
    if isinstance(store, Local):
        return "none are needed"
    if asked.profile is not None:
        return f"of profile {asked.profile} (--profile)"
    if store.access_key is not None and configuration is not None:
        if store.secret_key is None:
            raise Failure(f"{configuration.path} has an access_key and no secret_key; add it")
        return f"in {configuration.path}"
    return "as boto3 finds them"


def _secrets(configuration: Configuration | None) -> tuple[str, ...]:
    members = configuration.members if configuration is not None else {}
    found = (members.get(it) for it in SECRETS)
    return tuple(it for it in found if isinstance(it, str) and it)


def _agent(
    asked: Asked, environ: Mapping[str, str], configuration: Configuration | None
) -> tuple[AgentId, str]:
    configured = configuration.text("agent_id") if configuration is not None else None
    if asked.agent is not None:
        name, how = asked.agent, "--agent"
    elif environ.get("TRACECRAFT_AGENT"):
        name = environ["TRACECRAFT_AGENT"]
        how = f"TRACECRAFT_AGENT in the environment of {asked.command}"
    elif configured is not None and configuration is not None:
        name, how = configured, f"agent_id in {configuration.path}"
    else:
        name, how = user_name(), "the user's name"
    return valid_agent(name, how), how


def valid_agent(name: str, how: str) -> AgentId:
    """Return `name` as an agent's id; `how` says where it is from.

    Raises:
        Failure: it cannot be one.
    """
    try:
        return agent_id(name)
    except InvalidName as error:
        raise Failure(f"{error}, and this is {how}; name the agent with --agent") from error


def user_name() -> str:
    """Return the name of whoever runs this; `user<uid>` for one who has none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a uid without an entry, as containers have
        return f"user{os.getuid()}"


def _no_hub(where: str) -> Failure:
    return Failure(
        f"{where}: tcfs does not mount hf:// yet; HuggingFace buckets are reached through their"
        " S3 gateway (s3://bucket/project with --endpoint), or in a later version"
    )


def _without_user(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{separator}{host.rpartition('@')[2]}{slash}{path}"
