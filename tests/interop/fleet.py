"""Mounts and the reference's command line on one project."""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import final

from tests.interop.reference import Reference
from tests.mounts import Mount, credentials
from tests.servers import Account, boto3_client


@final
@dataclass(frozen=True, slots=True)
class Fleet:
    """Mounts of one project, and the reference's command line on it, as the agent `cli`."""

    reference: Reference
    mounts: tuple[Mount, ...]
    account: Account
    project: str

    @property
    def tree(self) -> Mount:
        """The first mount, or the only one."""
        return self.mounts[0]

    def get(self, key: str) -> bytes:
        """Return an object's bytes, as a third party sees them."""
        client = boto3_client(self.account)
        try:
            found = client.get_object(Bucket=self.account.bucket, Key=f"{self.project}/{key}")
            return bytes(found["Body"].read())
        finally:
            client.close()

    def put(self, key: str, body: bytes) -> None:
        """Put an object, as a third party would."""
        client = boto3_client(self.account)
        try:
            client.put_object(Bucket=self.account.bucket, Key=f"{self.project}/{key}", Body=body)
        finally:
            client.close()


def assemble(
    stack: ExitStack,
    home: Path,
    account: Account,
    project: str,
    version: str,
    *agents: str,
    options: tuple[str, ...] = (),
) -> Fleet:
    """Make a fleet of a mount for each of `agents`, with these options; `stack` ends it."""
    reference = Reference(version, home / "reference", account, project, "cli")
    store = f"s3://{account.bucket}/{project}"
    mounts = []
    for agent in agents:
        mount = Mount(
            *(home, store, agent, "--endpoint", account.endpoint, *options),
            environment=credentials(account),
        )
        mounts.append(stack.enter_context(mount))
    return Fleet(reference, tuple(mounts), account, project)
