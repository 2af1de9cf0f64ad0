"""Memory through a real mount."""

import json
from pathlib import Path

import pytest

from tests.mounts import Mount

CONTENTS = {
    "newline": b"value\n",
    "none": b"value",
    "two": b"value\n\n",
    "empty": b"",
    "only-newline": b"\n",
    "controls": bytes(range(0x20)) + b"\x7f" + "\x80\x9f\ufeff\u2028é漢𝄞".encode(),
    "carriage": b"a\r\nb\r\n",
    "large": b"0123456789abcde\n" * 65536,
}


@pytest.mark.parametrize("name", CONTENTS)
def test_bytes_come_back_as_they_were(mount: Mount, other: Mount, home: Path, name: str) -> None:
    """Bytes come back exactly as they were written."""
    content = CONTENTS[name]
    (home / "f").write_bytes(content)
    mount.out(f"cp {home}/f memory/x; cmp {home}/f memory/x")
    other.out(f"cmp {home}/f memory/x; stat -c %s memory/x | grep -x {len(content)}")


def test_a_key_reads_by_dots_and_by_slashes(mount: Mount) -> None:
    """A `/` in a path means what a `.` means in the key."""
    mount.out("echo v > memory/design.contract; echo w > memory/design.api.v2")
    assert mount.out("cat memory/design/contract memory/design/api/v2") == "v\nw\n"
    assert mount.out("ls memory; ls memory/design memory/design/api") == (
        "design.api.v2\ndesign.contract\nmemory/design:\napi.v2\ncontract\n\nmemory/design/api:\nv2\n"
    )
    assert "No such file" in mount.sh("echo v > memory/plan/first").stderr
    mount.out("mkdir memory/plan; echo v > memory/plan/first; ls memory/plan | grep -x first")
    assert "Directory not empty" in mount.sh("rmdir memory/plan").stderr
    mount.out("rm memory/plan.first; rmdir memory/plan; ! ls memory/plan")


def test_a_directory_of_keys_is_removed_with_them(mount: Mount, other: Mount) -> None:
    mount.out("echo v > memory/design.contract; echo w > memory/design.api.v2; echo x > memory/k")
    mount.out("rm -r memory/design; ! ls memory/design")
    assert other.out("ls memory") == "k\n"


def test_a_key_and_longer_keys_stand_side_by_side(mount: Mount) -> None:
    mount.out("echo v > memory/a; echo w > memory/a.b")
    assert mount.out("cat memory/a memory/a.b; ls memory") == "v\nw\na\na.b\n"


def test_a_file_name_is_a_key(mount: Mount, home: Path) -> None:
    (home / "config.json").write_text('{"a": 1}\n')
    mount.out(f"cp {home}/config.json memory/; cmp {home}/config.json memory/config.json")
    assert mount.out("ls memory; cat memory/config/json") == 'config.json\n{"a": 1}\n'


def test_every_version_is_kept(mount: Mount, other: Mount) -> None:
    """Every version is kept, oldest first, read-only."""
    mount.out("echo one > memory/k")
    other.out("echo two > memory/k")
    mount.out("echo three >> memory/k; rm memory/k")
    assert mount.out("cat memory/_history/k/*") == "one\ntwo\ntwo\nthree\n"
    names = mount.out("ls memory/_history/k").splitlines()
    assert [name.split("_")[1] for name in names] == ["designer", "developer", "designer"]
    refused = mount.sh(f"echo x > memory/_history/k/{names[0]}").stderr
    assert "Read-only file system" in refused


def test_exclusive_creation_is_decided_once(mount: Mount, other: Mount) -> None:
    """`O_EXCL` creates a key once."""
    mount.out("set -C; echo designer > memory/leader")
    lost = other.sh("set -C; echo developer > memory/leader")
    assert "cannot overwrite existing file" in lost.stderr
    script = "import os; os.open('memory/leader', os.O_CREAT | os.O_EXCL | os.O_WRONLY)"
    assert "FileExistsError" in other.sh(f'python3 -c "{script}"').stderr
    assert other.out("cat memory/leader") == "designer\n"


def test_the_exact_object_is_beside_the_value(mount: Mount) -> None:
    """The exact object of a document is at its name + `.json`, unlisted and read-only."""
    mount.out("printf v > memory/k")
    document = json.loads(mount.out("cat memory/k.json"))
    assert (document["value"], document["set_by"], document["newline"]) == ("v", "designer", False)
    assert mount.out("ls memory") == "k\n"
    assert "Operation not permitted" in mount.sh("echo x > memory/k.json").stderr


def test_values_are_moved_and_removed(mount: Mount) -> None:
    mount.out("echo v > memory/a; mv memory/a memory/b; ! cat memory/a; cat memory/b")
    mount.out("echo w > memory/c; mv -n memory/c memory/b")
    assert mount.out("cat memory/b memory/c") == "v\nw\n"
    mount.out("mv memory/c memory/b; [ $(cat memory/b) = w ]; rm memory/b; ! ls memory | grep .")


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("printf '\\377' > memory/k && cat memory/k", "No such file"),
        ("printf '\\377\\n' > memory/k", "Invalid argument"),
        ("head -c 1048577 /dev/zero | tr '\\0' x > memory/k", "File too large"),
        ("echo v > memory/a..b", "Invalid argument"),
        ("echo v > memory/.hidden", "Invalid argument"),
        ("echo v > memory/_history", "Is a directory"),
        ("echo v > 'memory/ '", "Invalid argument"),
        (
            "echo v > memory/d.e; python3 -c \"import os; os.rename('memory/d', 'memory/e')\"",
            "Invalid cross-device link",
        ),
    ],
)
def test_bad_keys_and_values_are_refused(mount: Mount, command: str, says: str) -> None:
    """A value is UTF-8 of at most 1 MiB. A key may not have empty segments, begin with `.` or
    be `_history`. A directory of keys cannot be renamed."""
    done = mount.sh(command)
    assert done.returncode != 0
    assert says in done.stderr


def test_a_group_is_one_value_in_the_end(mount: Mount) -> None:
    mount.out("{ echo a; date > /dev/null; /bin/echo b; } > memory/k")
    assert mount.out("cat memory/k") == "a\nb\n"
    mount.out("cat > memory/doc <<'END'\n" + "line\n" * 20 + "END")
    assert mount.out("wc -l < memory/doc") == "20\n"
    mount.out("sed 's/line/word/' memory/doc > /tmp/$$ && cp /tmp/$$ memory/doc; rm /tmp/$$")
    assert mount.out("sort -u memory/doc") == "word\n"


def test_appends_of_many_processes_are_all_kept(mount: Mount, other: Mount) -> None:
    """`>>` is atomic across hosts: of concurrent appends none is lost, doubled or torn."""
    script = "for p in 1 2 3 4; do for i in 1 2 3 4 5; do echo $0-$p-$i >> memory/log; done & done"
    started = [
        it.popen(f"set -- ; {script.replace('$0', name)}; wait")
        for it, name in ((mount, "a"), (other, "b"))
    ]
    for it in started:
        assert it.communicate(timeout=60)[1] == ""
    lines = mount.out("cat memory/log").splitlines()
    assert sorted(lines) == sorted(
        f"{who}-{p}-{i}" for who in "ab" for p in range(1, 5) for i in range(1, 6)
    )


def test_a_write_that_the_store_refuses_is_told_by_its_exit_code(mount: Mount) -> None:
    """For all but mail, a first write that ends in a newline is stored at once, so the exit
    code of `echo` is true."""
    assert mount.sh("echo v > memory/k && echo stored").stdout == "stored\n"
    done = mount.sh("printf '\\377\\n' > memory/k && echo stored")
    assert done.stdout == ""
    assert mount.out("cat memory/k") == "v\n"
    assert "text must be UTF-8" in mount.errors()
