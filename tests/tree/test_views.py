"""What shows an object is no file of its own: it is not removed, renamed, cut or touched."""

from errno import EFBIG, ENOENT, EPERM, EROFS
from pathlib import Path

import pytest

from tcfs.project.memory import MAX_VALUE
from tests.memory_store import MemoryStore
from tests.tree.walk import REPLACE, TOUCH, caller, grown, refused


async def test_object_behind_a_value_is_not_changed_by_its_name(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        await tree.write("memory/k", "v\n")
        await tree.write("memory/.k.swp", "w\n")
        before = tree.store.stored()
        exact = await tree.file("memory/k.json")
        for act in (
            tree.rm("memory/k.json"),
            tree.mv("memory/k.json", "memory/other"),
            tree.mv("memory/.k.swp", "memory/k.json"),
            tree.mv("memory/k", "memory/k.json"),
            exact.truncate(0, caller()),
            exact.set_times(caller()),
        ):
            with refused(EPERM, "without .json"):
                await act
        assert tree.store.stored() == before
        # A key that is called so is another thing.
        await tree.write("memory/other.json", "{}\n")
        assert tree.store.body("memory/other/json.json") is not None
        await tree.rm("memory/other.json")
        assert tree.store.body("memory/other/json.json") is None


async def test_object_in_raw_is_not_touched(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        await tree.write("memory/k", "v\n")
        with refused(EROFS):
            await tree.open(".tcfs/raw/memory/k.json", TOUCH)
        with refused(EROFS):
            await (await tree.node(".tcfs/raw/memory/k.json")).set_times(caller())


async def test_name_that_is_no_key_is_not_in_raw(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        for name in ("a\udcff", "x" * 2000, ".tcfs"):
            with refused(ENOENT):
                await tree.node(f".tcfs/raw/{name}")
        assert [it for it in tree.store.asked("LIST") if "\udcff" in it] == []


async def test_name_that_is_no_key_has_no_versions(tmp_path: Path) -> None:
    """A path that merely goes through one is ENOENT: git asks for `.git` everywhere."""
    async with grown(tmp_path) as tree:
        for name in (".git", "a..b", "a\udcff"):
            with refused(ENOENT):
                await tree.node(f"memory/_history/{name}")


@pytest.mark.parametrize("directory", ["memory", "memory/_history/k"])
async def test_listing_holds_some_values_at_once_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, directory: str
) -> None:
    store = MemoryStore()
    async with grown(tmp_path, store) as tree:
        for number in range(5):
            await tree.write("memory/k", "v" * 100 + f"{number}\n")
            await tree.write(f"memory/other.{number}", "v" * 100 + f"{number}\n")
    held: list[int] = []
    async with grown(tmp_path, store) as tree:
        ask = tree.project.documents.read_many

        async def counted(entries: object) -> object:
            found = await ask(entries)  # type: ignore[arg-type]  # passed on
            held.append(sum(len(it.body) for it in found.values()))
            return found

        monkeypatch.setattr("tcfs.project._batches.AT_ONCE", 1000)
        monkeypatch.setattr(tree.project.documents, "read_many", counted)
        listed = await (await tree.directory(directory)).entries(caller())
        sizes = {it.listed.size for _, it in listed if it.listed}
        assert sizes == {102}
        assert max(held) <= 1000
        assert len(held) > 1


async def test_value_of_which_a_part_was_refused_is_not_stored(tmp_path: Path) -> None:
    """What is written between opening and the last close is one value: whole, or not at all."""
    async with grown(tmp_path) as tree:
        await tree.write("memory/k", "v\n")
        handle = await tree.open("memory/k", REPLACE)
        await handle.write(0, b"begin")
        with refused(EFBIG):
            await handle.write(5, bytes(MAX_VALUE))
        with refused(EFBIG):
            await handle.write(5, b"end\n")
        await handle.commit()
        await handle.release()
        assert await tree.cat("memory/k") == "v\n"


async def test_value_that_is_begun_anew_after_a_refusal_is_stored(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        handle = await tree.open("memory/k", REPLACE)
        with refused(EFBIG):
            await handle.write(0, bytes(MAX_VALUE + 1))
        await handle.truncate(0)
        await handle.write(0, b"short\n")
        await handle.commit()
        await handle.release()
        assert await tree.cat("memory/k") == "short\n"
