"""Memory through both doors (tree.md, memory)."""

import json
from errno import EEXIST, EFBIG, EINVAL, ENOENT, EPERM, EROFS

import pytest

from tests.doors.conftest import Door
from tests.doors.denied import denied


@pytest.mark.parametrize("text", ["v2\n", "no newline", "two\nlines\n", "", "\n", "grüße\n"])
def test_value_comes_back_as_it_was_written(door: Door, x: str, text: str) -> None:
    door.designer.write(f"memory/{x}", text)
    assert door.developer.read(f"memory/{x}") == text


def test_last_writer_wins(door: Door, x: str) -> None:
    door.designer.write(f"memory/{x}", "one\n")
    door.developer.write(f"memory/{x}", "two\n")
    assert door.designer.read(f"memory/{x}") == "two\n"


def test_what_is_added_comes_after_what_is_there(door: Door, x: str) -> None:
    door.designer.append(f"memory/{x}", "one\n")
    door.developer.append(f"memory/{x}", "two\n")
    assert door.designer.read(f"memory/{x}") == "one\ntwo\n"


def test_exclusive_creates_a_key_once(door: Door, x: str) -> None:
    door.designer.exclusive(f"memory/{x}", "mine\n")
    with denied(EEXIST):
        door.developer.exclusive(f"memory/{x}", "no, mine\n")
    assert door.designer.read(f"memory/{x}") == "mine\n"


def test_slash_in_a_path_means_a_dot_in_the_key(door: Door, x: str) -> None:
    door.designer.write(f"memory/{x}.contract.v1", "v1\n")
    assert door.developer.read(f"memory/{x}/contract/v1") == "v1\n"
    door.developer.write(f"memory/{x}/contract/v2", "v2\n")
    assert door.designer.read(f"memory/{x}.contract.v2") == "v2\n"
    assert sorted(door.designer.ls(f"memory/{x}")) == ["contract.v1", "contract.v2"]


def test_every_version_is_kept_oldest_first(door: Door, x: str) -> None:
    for hand, text in ((door.designer, "one\n"), (door.developer, "two\n")):
        hand.write(f"memory/{x}", text)
    door.designer.rm(f"memory/{x}")
    versions = door.designer.ls(f"memory/_history/{x}")
    assert [it.split("_")[1] for it in versions] == ["designer", "developer"]
    first = f"memory/_history/{x}/{versions[0]}"
    assert door.developer.read(first) == "one\n"
    with denied(EROFS):
        door.designer.write(first, "other\n")
    with denied(EROFS):
        door.designer.rm(first)


def test_removed_key_is_gone(door: Door, x: str) -> None:
    door.designer.write(f"memory/{x}", "one\n")
    door.developer.rm(f"memory/{x}")
    with denied(ENOENT):
        door.designer.read(f"memory/{x}")
    assert x not in door.designer.ls("memory")


@pytest.mark.parametrize("name", ["a..b", ".hidden", "a."])
def test_what_can_be_no_key(door: Door, name: str) -> None:
    with denied(EINVAL, ""):
        door.designer.write(f"memory/{name}", "v\n")


def test_value_is_text_of_a_mebibyte(door: Door, x: str) -> None:
    with denied(EINVAL, "UTF-8"):
        door.designer.write(f"memory/{x}", b"\xff\n")
    with denied(EFBIG, "share a file in artifacts/"):
        door.designer.write(f"memory/{x}", b"x" * ((1 << 20) + 1))
    with denied(ENOENT):
        door.designer.read(f"memory/{x}")
    door.designer.write(f"memory/{x}", b"x" * (1 << 20))
    assert door.designer.read(f"memory/{x}") == "x" * (1 << 20)


def test_exact_object_of_a_key(door: Door, x: str) -> None:
    door.designer.write(f"memory/{x}", "v\n")
    document = json.loads(door.developer.read(f"memory/{x}.json"))
    assert (document["value"], document["set_by"]) == ("v", "designer")
    with denied(EPERM, "without .json"):
        door.designer.write(f"memory/{x}.json", "{}\n")
