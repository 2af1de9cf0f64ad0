"""S3 beyond the contract: keys that others made, credentials, and where services differ."""

import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import trio

from tcfs.stores import (
    AlreadyExists,
    Denied,
    ETag,
    NotFound,
    NotModified,
    Object,
    PreconditionFailed,
    Unsupported,
    _s3_upload,
)
from tcfs.stores._s3_control import is_plain
from tcfs.stores.s3 import S3Store
from tests.servers import Account, boto3_client
from tests.stores import scripted
from tests.stores.conftest import s3_store
from tests.stores.looking import keys


@pytest.fixture
def somebody(account: Account) -> Iterator[Any]:
    """Yield another client of the same bucket."""
    with contextlib.closing(boto3_client(account)) as client:
        yield client


# keys that obstore cannot name


def test_which_keys_obstore_names() -> None:
    for key in ("a", "a/b", ".a/..b", "a b", "a.json", "...", "a/...", "\x80", "é"):
        assert is_plain(key)
    for key in ("/a", "a/", "a//b", ".", "..", "./a", "a/..", "a/./b", "a\x00", "\n", "\x7f"):
        assert not is_plain(key)


@pytest.mark.parametrize("key", ["d//k", "d/./k", "d/../k", "d/c\x01ntrol", "d/c\x7f"])
async def test_foreign_keys_are_objects_like_others(moto: Account, project: str, key: str) -> None:
    store = s3_store(moto, project)
    with contextlib.closing(boto3_client(moto)) as somebody:
        somebody.put_object(Bucket=moto.bucket, Key=f"{project}/{key}", Body=b"theirs")
    for other in ("d/a", "d/z", "e"):
        await store.put(other, b"ours")
    assert await keys(store, "") == sorted(["d/a", key, "d/z", "e"])
    assert await keys(store, "d/") == sorted(["d/a", key, "d/z"])
    assert await keys(store, "d/", "d/a") == [k for k in sorted([key, "d/z"]) if k > "d/a"]
    assert await store.any_under("d/")
    assert await store.any_under(key)
    answer = await store.get(key)
    assert isinstance(answer, Object)
    assert answer.body == b"theirs"
    assert isinstance(await store.get(key, if_none_match=answer.etag), NotModified)
    assert (await store.get_range(key, 2, 3)).body == b"eir"
    assert (await store.get_range(key, 9, 3)).body == b""
    assert (await store.head(key)).etag == answer.etag
    with pytest.raises(AlreadyExists):
        await store.put(key, b"mine", if_absent=True)
    etag = await store.put(key, b"mine", if_match=answer.etag)
    with pytest.raises(PreconditionFailed):
        await store.put(key, b"again", if_match=answer.etag)
    with pytest.raises(PreconditionFailed):
        await store.delete(key, if_match=answer.etag)
    await store.delete(key, if_match=etag)
    await store.delete(key)
    with pytest.raises(NotFound):
        await store.get(key)
    assert await keys(store, "") == ["d/a", "d/z", "e"]
    await store.aclose()


@pytest.mark.parametrize("key", ["d//k", "d/./k", "d/../k", "d/k/"])
async def test_a_listing_begins_after_a_foreign_key(moto: Account, project: str, key: str) -> None:
    store = s3_store(moto, project)
    for other in ("d/a", "d/z", "e"):
        await store.put(other, b"ours")
    assert await keys(store, "", key) == [k for k in ["d/a", "d/z", "e"] if k > key]
    await store.aclose()


async def test_a_level_shows_foreign_keys_where_they_can_be_named(
    moto: Account, project: str
) -> None:
    store = s3_store(moto, project)
    with contextlib.closing(boto3_client(moto)) as somebody:
        for key in ("d/", "d//empty", "d/./dot", "d/../up", "d/sub/k", "d/c\x01", "d/sub/"):
            somebody.put_object(Bucket=moto.bucket, Key=f"{project}/{key}", Body=b"x")
    await store.put("d/plain", b"x")
    names, entries = await store.list_dir("d/")
    assert list(names) == ["sub"]
    assert [entry.key for entry in entries] == ["d/c\x01", "d/plain"]
    await store.aclose()


async def test_a_foreign_key_on_a_later_page_loses_none(moto: Account, project: str) -> None:
    store = s3_store(moto, project)
    expected = [f"d/{number:04d}" for number in range(1100)]
    expected[1050] = "d/1050//foreign"
    async with trio.open_nursery() as nursery:
        for key in expected:
            nursery.start_soon(store.put, key, b"x")
    assert await keys(store, "d/") == expected
    await store.aclose()


async def test_a_folder_made_by_a_console_is_no_object_without_its_slash(
    s3: S3Store, account: Account, project: str, somebody: Any
) -> None:
    somebody.put_object(Bucket=account.bucket, Key=f"{project}/d/folder/", Body=b"")
    await s3.put("d/k", b"x")
    assert await keys(s3, "d/") == ["d/folder/", "d/k"]
    names, entries = await s3.list_dir("d/")
    assert (list(names), [entry.key for entry in entries]) == (["folder"], ["d/k"])
    assert await s3.list_dir("d/folder/") == ([], [])


async def test_control_characters_are_not_mangled(
    s3: S3Store, account: Account, project: str, somebody: Any
) -> None:
    somebody.put_object(Bucket=account.bucket, Key=f"{project}/d/c\x01d", Body=b"x")
    assert await keys(s3, "d/") == ["d/c\x01d"]
    assert [entry.key for entry in (await s3.list_dir("d/"))[1]] == ["d/c\x01d"]
    assert await s3.any_under("d/")


async def test_a_key_of_1024_bytes_fits_with_the_project(s3: S3Store, project: str) -> None:
    room = 1024 - len(project) - 1
    name = "/".join("x" * 100 for _ in range(11))[:room].rstrip("/").ljust(room, "y")
    await s3.put(name, b"1", if_absent=True)
    assert await keys(s3, "") == [name]


async def test_projects_of_one_bucket_do_not_see_each_other(account: Account, project: str) -> None:
    one, other = s3_store(account, project), s3_store(account, f"{project}2")
    await one.put("k", b"1")
    assert not await other.any_under("")
    assert await keys(one, "") == ["k"]
    await one.aclose()
    await other.aclose()


async def test_json_is_stored_as_such(
    s3: S3Store, account: Account, project: str, somebody: Any
) -> None:
    async def parts() -> AsyncIterator[bytes]:
        for _ in range(9):
            yield b" " * (1 << 20)

    await s3.put("a.json", b"{}")
    await s3.put("odd//b.json", b"{}")
    await s3.upload("c.json", parts())
    for key in ("a.json", "odd//b.json", "c.json"):
        found = somebody.head_object(Bucket=account.bucket, Key=f"{project}/{key}")
        assert found["ContentType"] == "application/json"


# uploads


async def test_a_failed_upload_leaves_no_parts(
    s3: S3Store, account: Account, project: str, somebody: Any
) -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b"x" * (20 << 20)
        raise OSError("the source is gone")

    with pytest.raises(OSError, match="source"):
        await s3.upload("big", parts())
    pending = somebody.list_multipart_uploads(Bucket=account.bucket, Prefix=f"{project}/")
    assert pending.get("Uploads", []) == []


async def test_a_part_is_sent_again_and_a_finish_that_was_lost_is_recognised() -> None:
    part = "0123456789abcdef0123456789abcdef"
    whole = _s3_upload._whole([f'"{part}"'] * 2)
    begun = scripted.answer(
        "200 OK",
        b"<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>",
    )
    stored = scripted.answer("200 OK", ETag=f'"{part}"')
    script = [
        begun,
        scripted.error("503 Slow Down", "SlowDown"),
        stored,
        stored,
        scripted.reset,
        scripted.error("404 Not Found", "NoSuchUpload"),
        scripted.answer("200 OK", ETag=f'"{whole}"', Last_Modified="Sun, 22 Nov 2026 14:00:29 GMT"),
    ]

    async def parts() -> AsyncIterator[bytes]:
        yield b"x" * (9 << 20)

    with scripted.serving(*script) as (account, requests):
        store = s3_store(account, "project")
        assert await store.upload("big", parts()) == whole
        await store.aclose()
    assert len(requests.lines) == len(script)


async def test_an_object_of_more_than_10000_parts_is_refused(
    moto: Account, project: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b"x" * (25 << 20)

    monkeypatch.setattr(_s3_upload, "MAX_PARTS", 2)
    store = s3_store(moto, project)
    with pytest.raises(Unsupported):
        await store.upload("big", parts())
    assert not await store.any_under("")
    await store.aclose()


# buckets and accounts


async def test_a_missing_bucket_is_made_where_that_is_asked_for(
    account: Account, project: str
) -> None:
    name = f"made-{project.lower()[:40]}".strip("-")
    elsewhere = Account(account.endpoint, name, account.access_key, account.secret_key)
    store = s3_store(elsewhere, project)
    for attempt in (store.ensure_bucket, lambda: store.get("k"), lambda: store.any_under("")):
        with pytest.raises(Denied, match="there is no bucket"):
            await attempt()
    await store.aclose()
    maker = s3_store(elsewhere, project, create_bucket=True)
    await maker.ensure_bucket()
    await maker.ensure_bucket()
    await maker.put("k", b"1")
    await maker.aclose()


async def test_wrong_credentials_are_denied(seaweed: Account, project: str) -> None:
    for how in ({"access_key": "nobody"}, {"secret_key": "not-this-one"}):
        store = s3_store(seaweed, project, **how)
        with pytest.raises(Denied, match="check the credentials") as caught:
            await store.get("k")
        assert "not-this-one" not in str(caught.value)
        with pytest.raises(Denied):
            await store.ensure_bucket()
        await store.aclose()


async def test_without_credentials_it_is_said_what_to_do() -> None:
    """By both clients, and before anything is sent."""
    with scripted.serving(scripted.close) as (account, requests):
        store = S3Store("bucket", "project", endpoint=account.endpoint)
        for act in (
            store.get("k"),
            store.any_under(""),
            store.put("k", b"", if_absent=True),
            store.delete("k", if_match=ETag("e")),
            store.ensure_bucket(),
            store.credentials(),
        ):
            with pytest.raises(Denied, match=r"there are no credentials .*set AWS_ACCESS_KEY_ID"):
                await act
        await store.aclose()
        assert requests.lines == []


async def test_a_session_token_of_the_environment_is_not_joined_to_given_keys(
    seaweed: Account, project: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "of another account")
    store = s3_store(seaweed, project)
    await store.put("k", b"1")
    await store.delete("odd//k")
    await store.aclose()


async def test_the_environment_names_the_account(
    seaweed: Account, project: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", seaweed.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", seaweed.secret_key)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", seaweed.endpoint)
    store = S3Store(seaweed.bucket, project)
    await store.put("k", b"1")
    assert await keys(store, "") == ["k"]
    await store.aclose()


async def test_a_profile_names_the_account(
    seaweed: Account, project: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = trio.Path(tmp_path / "credentials")
    await file.write_text(
        f"[ours]\naws_access_key_id = {seaweed.access_key}\n"
        f"aws_secret_access_key = {seaweed.secret_key}\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "of another account")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of another account")
    store = S3Store(seaweed.bucket, project, endpoint=seaweed.endpoint, profile="ours")
    etag = await store.put("k", b"1")
    await store.delete("k", if_match=etag)
    await store.aclose()
    nobody = S3Store(seaweed.bucket, project, endpoint=seaweed.endpoint, profile="nobody")
    with pytest.raises(Denied, match="credentials"):
        await nobody.get("k")
    await nobody.aclose()


async def test_making_a_store_asks_nothing() -> None:
    with scripted.serving(scripted.close) as (account, requests):
        store = s3_store(account, "project")
        assert store.url == "s3://bucket/project"
        await store.aclose()
        assert requests.lines == []


def test_importing_it_does_not_import_boto3() -> None:
    code = "import sys, tcfs.stores.s3; print(sorted({'boto3', 'botocore'} & set(sys.modules)))"
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    assert ran.stdout.strip() == "[]"


# what SeaweedFS does otherwise; should one of these fail, it has been mended


async def test_seaweedfs_lists_a_directory_before_siblings_that_sort_lower(
    seaweed: Account, project: str
) -> None:
    store = s3_store(seaweed, project)
    for key in ("a-b", "a.json", "a/x"):
        await store.put(key, b"1")
    assert await keys(store, "") == ["a/x", "a-b", "a.json"]
    assert await keys(store, "", "a/x") == ["a-b", "a.json"]
    await store.aclose()


async def test_seaweedfs_takes_a_backslash_for_a_slash(seaweed: Account, project: str) -> None:
    store = s3_store(seaweed, project)
    await store.put("a\\b", b"1")
    assert await keys(store, "") == ["a/b"]
    await store.aclose()


async def test_seaweedfs_shows_a_directory_for_a_while_after_its_last_object(
    seaweed: Account, project: str
) -> None:
    store = s3_store(seaweed, project)
    await store.put("a/b/c", b"1")
    await store.delete("a/b/c")
    assert await keys(store, "") == []
    assert not await store.any_under("a/")
    names, _ = await store.list_dir("")
    assert list(names) in (["a"], [])  # emptied in the background
    await store.aclose()
