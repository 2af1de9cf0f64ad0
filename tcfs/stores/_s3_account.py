"""Where a bucket is and who we are there, as the two clients want it: obstore and boto3."""

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final, final
from urllib.parse import urlsplit

from obstore.store import S3Store as Data

from tcfs.stores._errors import Denied
from tcfs.stores._s3_errors import no_credentials

if TYPE_CHECKING:
    from obstore.store import ClientConfig, S3Config, S3Credential

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

    def data(self, *, reading: bool) -> Data:
        """Return obstore's client. For reading, only a pause counts against the time-out."""
        options: ClientConfig = {
            "allow_http": bool(self.endpoint and self.endpoint.startswith("http://")),
            "connect_timeout": timedelta(seconds=min(CONNECT, self.timeout)),
            "timeout": timedelta(seconds=_BODY if reading else self.timeout),
        }
        if reading:
            options["read_timeout"] = timedelta(seconds=self.timeout)
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
            credential_provider=self._credentials(),
            client_options=options,
            retry_config={"max_retries": 0},
        )

    def client(self) -> Any:
        """Return boto3's client. Imports boto3, which takes 0.3 s the first time."""
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
        session = _session(self.profile, self.access_key, self.secret_key, self.token)
        region = self.region or session.region_name or "us-east-1"
        client = session.client("s3", endpoint_url=self.endpoint, region_name=region, config=config)
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

    def _credentials(self) -> "Callable[[], S3Credential]":
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
            return Boto3CredentialProvider(_session(self.profile), ttl=_CREDENTIALS_LAST)
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
        ValueError: the endpoint is no http or https URL, or half a key pair is given.
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
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
            raise ValueError("an endpoint looks like https://host or http://host:port")
        endpoint = endpoint.rstrip("/")
    region = region or env("AWS_REGION") or env("AWS_DEFAULT_REGION")
    if not region and access_key:
        region = "us-east-1"
    return Account(bucket, endpoint, region, access_key, secret_key, token, profile, timeout)


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
    """An account's clients, each made when first needed; called from worker threads."""

    def __init__(self, where: Account) -> None:
        self.account: Final = where
        self._lock: Final = threading.Lock()
        self._reads: Data | None = None
        self._writes: Data | None = None
        self._control: Any = None

    def reads(self) -> Data:
        """Return obstore's client for gets and listings."""
        if self._reads is None:
            with self._lock:
                self._reads = self._reads or self.account.data(reading=True)
        return self._reads

    def writes(self) -> Data:
        """Return obstore's client for puts and deletes."""
        if self._writes is None:
            with self._lock:
                self._writes = self._writes or self.account.data(reading=False)
        return self._writes

    def control(self) -> Any:
        """Return boto3's client."""
        if self._control is None:
            with self._lock:
                self._control = self._control or self.account.client()
        return self._control

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
