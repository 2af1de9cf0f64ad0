"""Where a bucket is and who we are there, as the two clients want it: obstore and boto3."""

import contextlib
import ipaddress
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, final
from urllib.parse import urlsplit

from obstore.store import S3Store as Data

from tcfs.stores._errors import Denied
from tcfs.stores._s3_errors import no_credentials

if TYPE_CHECKING:
    from obstore.store import ClientConfig, S3Config, S3Credential

    Provider = Callable[[], S3Credential]

CONNECT: Final = 3.0  # seconds until a connection must stand
REQUEST: Final = 10.0  # seconds a write may take, and a read may pause: below any deadline
_BODY: Final = 120.0  # seconds a read may take whose bytes keep coming
_CREDENTIALS_LAST: Final = timedelta(minutes=5)  # botocore refreshes 10 minutes before they expire


@final
@dataclass(frozen=True, slots=True)
class Account:
    """A bucket, an endpoint and credentials. Makes clients; makes no request by itself."""

    bucket: str
    endpoint: str | None
    region: str | None
    access_key: str | None = field(repr=False)
    secret_key: str | None = field(repr=False)
    token: str | None = field(repr=False)
    profile: str | None
    timeout: float
    authorities: Path | None = None  # a PEM file: who may vouch for the service

    @property
    def plaintext(self) -> str | None:
        """The endpoint, if it is neither encrypted nor on this host."""
        if self.endpoint is None or not self.endpoint.startswith("http://"):
            return None
        host = urlsplit(self.endpoint).hostname or ""
        if host == "localhost" or host.endswith(".localhost"):
            return None
        try:
            return None if ipaddress.ip_address(host).is_loopback else self.endpoint
        except ValueError:
            return self.endpoint

    def data(self, provider: "Provider", *, reading: bool) -> Data:
        """Return obstore's client. For reading, only a pause counts against the time-out."""
        options: ClientConfig = {
            "allow_http": bool(self.endpoint and self.endpoint.startswith("http://")),
            "connect_timeout": timedelta(seconds=min(CONNECT, self.timeout)),
            "timeout": timedelta(seconds=_BODY if reading else self.timeout),
        }
        if reading:
            options["read_timeout"] = timedelta(seconds=self.timeout)
        if self.authorities:
            options["root_certificate"] = self.authorities.read_bytes()
        where: S3Config = {
            "region": self.region or _region_of(self.profile),
            "virtual_hosted_style_request": not self.endpoint,
            # One DELETE costs less than a POST ?delete of one, and every service has it.
            "disable_bulk_delete": True,
        }
        if self.endpoint:
            where["endpoint"] = self.endpoint
        return Data(
            self.bucket,
            config=where,
            # Given as values, keys would be joined by an AWS_SESSION_TOKEN that is not theirs.
            credential_provider=provider,
            client_options=options,
            retry_config={"max_retries": 0},
        )

    def session(self) -> Any:
        """Return boto3's session. Imports boto3, which takes 0.3 s the first time."""
        return _session(self.profile, self.access_key, self.secret_key, self.token)

    def client(self, session: Any) -> Any:
        """Return boto3's client of a session."""
        from botocore.config import Config

        config = Config(
            retries={"total_max_attempts": 1},
            connect_timeout=min(CONNECT, self.timeout),
            read_timeout=self.timeout,
            max_pool_connections=64,
            s3={"addressing_style": "path" if self.endpoint else "auto"},
            # boto3's newer defaults send checksums that several services refuse.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        region = self.region or session.region_name or "us-east-1"
        client = session.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name=region,
            config=config,
            verify=str(self.authorities) if self.authorities else None,
        )
        client.meta.events.register_last("before-parameter-build.s3", _stay)
        return client

    def source(self) -> str:
        """Return where boto3 finds the credentials, if they are not a key pair that was given.

        Raises:
            Denied: it finds none.
        """
        if self.access_key and self.secret_key:
            return "a key pair"
        found = _session(self.profile).get_credentials()
        if found is None:
            raise Denied(no_credentials(self.bucket, "boto3 found none"))
        return str(found.method)

    def provider(self, session: Callable[[], Any]) -> "Provider":
        """Return what gives the credentials; asks for a session only where they are not given.

        Raises:
            Denied: there are none.
        """
        if self.access_key and self.secret_key:
            given: S3Credential = {
                "access_key_id": self.access_key,
                "secret_access_key": self.secret_key,
                "token": self.token,
                "expires_at": None,
            }
            return lambda: given
        from obstore.auth.boto3 import Boto3CredentialProvider

        try:
            return Boto3CredentialProvider(session(), ttl=_CREDENTIALS_LAST)
        except ValueError:  # the chain came to its end
            raise Denied(no_credentials(self.bucket, "boto3 found none")) from None


def account(
    bucket: str,
    *,
    endpoint: str | None,
    region: str | None,
    access_key: str | None,
    secret_key: str | None,
    profile: str | None,
    timeout: float,
) -> Account:
    """Return the account these name, completed from the AWS_* environment variables.

    Raises:
        ValueError: the endpoint is no http or https URL, half a key pair is given, or
            AWS_CA_BUNDLE names no file of certificates.
    """
    env = os.environ.get
    if bool(access_key) != bool(secret_key):
        raise ValueError("an access key and its secret key go together; one is missing")
    token = None
    if not access_key and not profile and not env("AWS_PROFILE"):
        # boto3's chain would begin with these, too; so it need not be imported.
        key, secret = env("AWS_ACCESS_KEY_ID"), env("AWS_SECRET_ACCESS_KEY")
        if key and secret:
            access_key, secret_key, token = key, secret, env("AWS_SESSION_TOKEN")
    endpoint = endpoint or env("AWS_ENDPOINT_URL_S3") or env("AWS_ENDPOINT_URL") or None
    if endpoint:
        parts = urlsplit(endpoint)
        # A password in it, or a token in a query, would be in every text that names the service.
        if (
            parts.scheme not in ("http", "https")
            or not parts.hostname
            or "@" in endpoint
            or parts.query
            or parts.fragment
        ):
            raise ValueError("an endpoint looks like https://host or http://host:port")
        endpoint = endpoint.rstrip("/")
    region = region or env("AWS_REGION") or env("AWS_DEFAULT_REGION")
    if not region and access_key:
        region = "us-east-1"
    who = (access_key, secret_key, token, profile)
    return Account(bucket, endpoint, region, *who, timeout, _authorities(env("AWS_CA_BUNDLE")))


def _authorities(bundle: str | None) -> Path | None:
    if not bundle:
        return None
    path = Path(bundle).absolute()
    try:
        found = path.read_bytes()
    except OSError as error:
        raise ValueError(f"AWS_CA_BUNDLE={bundle} cannot be read: {error.strerror}") from None
    if b"-----BEGIN CERTIFICATE-----" not in found:
        raise ValueError(f"AWS_CA_BUNDLE={bundle} is no PEM file of certificates")
    return path


def _region_of(profile: str | None) -> str:
    return _session(profile).region_name or "us-east-1"


def _session(
    profile: str | None,
    access_key: str | None = None,
    secret_key: str | None = None,
    token: str | None = None,
) -> Any:
    import boto3
    import botocore.session

    below = botocore.session.Session()
    # One in a profile would reach boto3 alone: obstore does not read them.
    below.set_config_variable("ignore_configured_endpoint_urls", True)
    # botocore guesses a time stamp's form with dateutil: two thirds of the time of a LIST.
    below.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_time)
    return boto3.Session(
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        aws_session_token=token,
        profile_name=profile,
        botocore_session=below,
    )


def _stay(context: dict[str, Any], **_: object) -> None:
    # Marked as redirected, a request is not sent on to another region behind our back, with a
    # second attempt at what may have a condition; obstore would not follow, either.
    context.setdefault("s3_redirect", {})["redirected"] = True


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text) if text[:1].isdigit() else parsedate_to_datetime(text)


@final
class Clients:
    """An account's clients, each made when first needed; called from worker threads.

    They share one session, so that a role is assumed once, and it is known what they sign with.
    """

    def __init__(self, where: Account) -> None:
        self.account: Final = where
        self._lock: Final = threading.RLock()
        self._session: Any = None
        self._provider: Provider | None = None
        self._secrets: Final[set[str]] = set()
        self._reads: Data | None = None
        self._writes: Data | None = None
        self._control: Any = None

    def reads(self) -> Data:
        """Return obstore's client for gets and listings."""
        if self._reads is None:
            with self._lock:
                self._reads = self._reads or self.account.data(self._signing(), reading=True)
        return self._reads

    def writes(self) -> Data:
        """Return obstore's client for puts and deletes."""
        if self._writes is None:
            with self._lock:
                self._writes = self._writes or self.account.data(self._signing(), reading=False)
        return self._writes

    def control(self) -> Any:
        """Return boto3's client."""
        if self._control is None:
            with self._lock:
                self._control = self._control or self.account.client(self._one_session())
        return self._control

    def secrets(self) -> frozenset[str]:
        """Return all secrets that requests were and are signed with, refreshed ones as well."""
        # Whatever is wrong with them, the next request tells.
        with contextlib.suppress(Exception):
            self._signing()()
        return frozenset(self._secrets)

    def _one_session(self) -> Any:
        with self._lock:
            if self._session is None:
                self._session = self.account.session()
            return self._session

    def _signing(self) -> "Provider":
        """Return what gives the credentials, and takes note of them."""
        with self._lock:
            if self._provider is None:
                self._provider = self.account.provider(self._one_session)
            provider = self._provider

        def provide() -> "S3Credential":
            found = provider()
            self._secrets.update(filter(None, (found["secret_access_key"], found["token"])))
            return found

        return provide

    def prepare(self) -> None:
        """Make all three."""
        self.reads()
        self.writes()
        self.control()

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            if self._control is not None:
                self._control.close()
            self._reads = self._writes = self._control = None
