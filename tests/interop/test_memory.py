"""A value is one value, whether `tracecraft memory` or a file operation acts on it."""

import json
import re

from tests.interop.fleet import Fleet


def test_value_set_on_the_command_line_is_a_file_with_a_final_newline(fleet: Fleet) -> None:
    assert fleet.reference.out("memory", "set", "design.contract", "v2") == (
        "Set design.contract = v2\n"
    )
    assert fleet.tree.out("od -c -An memory/design.contract").split() == ["v", "2", "\\n"]
    assert fleet.tree.out("cat memory/design/contract") == "v2\n"
    assert "design.contract" in fleet.tree.out("ls memory").split("\n")


def test_final_newline_of_a_file_is_not_in_the_value_the_command_line_sees(fleet: Fleet) -> None:
    tree, reference = fleet.tree, fleet.reference
    values = {"with": "v\\n", "without": "v", "two": "v\\n\\n", "lines": "a\\nb\\n", "none": ""}
    seen = {"with": "v\n", "without": "v\n", "two": "v\n\n", "lines": "a\nb\n", "none": "\n"}
    for name, written in values.items():
        tree.out(f"printf '{written}' > memory/newline.{name}")
        assert reference.out("memory", "get", f"newline.{name}") == seen[name]
        assert tree.out(f"cat memory/newline.{name}") == written.replace("\\n", "\n")


def test_value_without_a_newline_gets_one_once_the_command_line_sets_it(fleet: Fleet) -> None:
    fleet.tree.out("printf v > memory/bare; cmp memory/bare <(printf v)")
    fleet.reference.out("memory", "set", "bare", "w")
    assert fleet.tree.out("cat memory/bare") == "w\n"


def test_any_text_goes_either_way_unchanged(fleet: Fleet) -> None:
    text = 'grüße  "\\n" 𝄞\t{"a": [1]}\n\n  end'
    fleet.reference.out("memory", "set", "text.there", text)
    assert fleet.tree.out("cat memory/text.there") == text + "\n"
    (fleet.tree.path / "memory" / "text.here").write_text(text + "\n")
    assert fleet.reference.out("memory", "get", "text.here") == text + "\n"


def test_command_line_lists_and_gets_what_the_tree_wrote(fleet: Fleet) -> None:
    tree, reference = fleet.tree, fleet.reference
    tree.out("mkdir memory/listed; echo 1 > memory/listed/a; echo 2 > memory/listed.b.c")
    assert reference.out("memory", "list", "listed.").split() == ["listed.a", "listed.b.c"]
    tree.out("mv memory/listed.a memory/listed.d; rm memory/listed.b.c")
    assert reference.out("memory", "list", "listed.").split() == ["listed.d"]
    assert reference.out("memory", "get", "listed.d") == "1\n"
    assert reference.run("memory", "get", "listed.a").code == 1


def test_copied_file_keeps_its_name_and_the_command_line_prints_it(fleet: Fleet) -> None:
    config = '{"port": 80,\n "on": true}\n'
    (fleet.reference.home / "config.json").write_text(config)
    fleet.tree.out(f"cp {fleet.reference.home}/config.json memory/")
    assert "config.json" in fleet.tree.out("ls memory").split()
    assert fleet.tree.out("cat memory/config.json") == config
    assert fleet.reference.out("memory", "get", "config.json") == config
    assert "config.json" in fleet.reference.out("memory", "list").split()


def test_append_in_the_tree_adds_a_line_to_what_the_command_line_set(fleet: Fleet) -> None:
    fleet.reference.out("memory", "set", "log", "one")
    fleet.tree.out("echo two >> memory/log")
    assert fleet.reference.out("memory", "get", "log") == "one\ntwo\n"
    fleet.reference.out("memory", "set", "log", "three")
    assert fleet.tree.out("echo four >> memory/log; cat memory/log") == "three\nfour\n"


def test_exclusive_create_in_the_tree_loses_to_a_value_of_the_command_line(fleet: Fleet) -> None:
    fleet.reference.out("memory", "set", "leader", "cli")
    assert fleet.tree.sh("set -C; echo tree > memory/leader").returncode != 0
    fleet.tree.out("echo mine > memory/other; mv -n memory/other memory/leader || true")
    assert fleet.reference.out("memory", "get", "leader") == "cli\n"


def test_versions_of_both_are_one_history(fleet: Fleet, newest: bool) -> None:
    tree, reference = fleet.tree, fleet.reference
    reference.out("memory", "set", "plan.a", "one")
    tree.out("echo two > memory/plan.a; echo three >> memory/plan.a")
    reference.out("memory", "set", "plan.a", "four")
    versions = tree.out("for v in memory/_history/plan.a/*; do cat $v; echo --; done")
    if not newest:  # the older one keeps none
        assert versions == "two\n--\ntwo\nthree\n--\n"
        return
    assert versions == "one\n--\ntwo\n--\ntwo\nthree\n--\nfour\n--\n"
    said = reference.out("memory", "history", "plan.a")
    said = re.sub(r"^\[\S+\] ", "", said, flags=re.MULTILINE)
    assert said == "cli: one\ntree: two\ntree: two\nthree\ncli: four\n"
    shown = json.loads(reference.out("memory", "get", "plan.a", "--with-meta"))
    assert (shown["value"], shown["set_by"]) == ("four", "cli")


def test_versions_are_no_keys_for_either(fleet: Fleet, newest: bool) -> None:
    fleet.tree.out("echo 1 > memory/versioned")
    fleet.reference.out("memory", "set", "versioned", "2")
    if newest:  # the older one knows of no versions, and lists them
        assert "_history" not in fleet.reference.out("memory", "list")
    assert "_history" not in fleet.tree.out("ls -a memory")


def test_value_that_is_no_string_reads_as_compact_json(fleet: Fleet) -> None:
    document = {"value": {"port": 80, "on": True}, "set_by": "robot"}
    fleet.put("memory/odd.json", json.dumps(document).encode())
    assert fleet.tree.out("cat memory/odd") == '{"port":80,"on":true}\n'


def test_new_value_keeps_the_members_it_does_not_know(fleet: Fleet) -> None:
    fleet.reference.out("memory", "set", "tagged", "1")
    document = json.loads(fleet.get("memory/tagged.json")) | {"tag": "x"}
    fleet.put("memory/tagged.json", json.dumps(document).encode())
    fleet.tree.out("echo 2 > memory/tagged; echo 3 >> memory/tagged")
    document = json.loads(fleet.get("memory/tagged.json"))
    assert (document["value"], document["tag"], document["set_by"]) == ("2\n3", "x", "tree")
