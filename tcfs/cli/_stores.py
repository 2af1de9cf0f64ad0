"""From the place of a project to its store. Each kind is imported only where it is used."""

from typing import TYPE_CHECKING, Final

from tcfs.cli._failure import Failure
from tcfs.cli.config import Bucket, Local

if TYPE_CHECKING:
    from tcfs.stores import Store
    from tcfs.stores.s3 import S3Store


PLAINTEXT: Final = "whoever is on the way reads and changes all of it: use https:// there"


def store_of(place: Local | Bucket, deadline: float) -> "Store":
    """Return the store of a project; `deadline` is what one operation may take, in seconds.

    Raises:
        Failure: what is configured cannot be meant.
    """
    if isinstance(place, Bucket):
        return bucket_of(place, deadline)
    from tcfs.stores.file import FileStore

    return FileStore(place.directory)


def bucket_of(place: Bucket, deadline: float, *, create: bool = False) -> "S3Store":
    """Return the store of a project in a bucket, which `create` makes with its first write.

    Raises:
        Failure: what is configured cannot be meant.
    """
    from tcfs.stores.s3 import S3Store

    try:
        return S3Store(
            place.bucket,
            place.project,
            endpoint=place.endpoint,
            region=place.region,
            access_key=place.access_key,
            secret_key=place.secret_key,
            profile=place.profile,
            create_bucket=create,
            # A request that is still on its way must end before the operation does.
            request_timeout=deadline / 3,
        )
    except ValueError as error:
        raise Failure(f"{place.url}: {error}; correct it in the configuration") from error
