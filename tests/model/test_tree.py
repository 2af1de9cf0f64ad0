"""Any sequence of acts on the tree, by two agents and by another tool outside, follows its rules.

The other tool writes the bucket directly, as the reference does: whole documents, without a
condition, at any moment between two acts. What a look-up shows must be there then.
"""

import json
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from errno import ENOENT
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tcfs.project.errors import Missing
from tcfs.tree import Directory
from tcfs.tree.errnos import errno_of
from tcfs.wire import keys
from tcfs.wire.ids import AgentId, LockId, Mailbox, StepId
from tcfs.wire.locks import Lock
from tcfs.wire.mail import Message
from tcfs.wire.memory import MemoryValue
from tcfs.wire.times import iso
from tests.memory_store import NO_DELETE, MemoryStore
from tests.model import profiles
from tests.model.fleet import FINAL, Fleet, Refused
from tests.model.running import Running
from tests.tree.walk import EXCLUSIVE, Tree, caller, grown

pytestmark = pytest.mark.timeout(300)

AGENTS = ("a", "b")
BOXES = (*AGENTS, "_broadcast")
agents = st.sampled_from(AGENTS)
everybody = st.sampled_from((*AGENTS, "r"))
MEMORY = ("k", "a", "a.b", "a.b.c", "b.c")
memory_keys = st.sampled_from(MEMORY)
values = st.sampled_from(("", "v", "v\n", "two\nlines\n", "ü"))
steps = st.sampled_from(("x", "y"))
words = st.sampled_from(("pending", "in_progress", *FINAL))
notes = st.sampled_from(("", "a note\n", "two\n\nparts\n"))
locks = st.sampled_from(("l", "m"))
boxes = st.sampled_from(BOXES)
files = st.sampled_from(tuple(f"artifacts/shared/{it}" for it in ("f", "d/f", "d/e/f", "d/e/g")))
directories = st.sampled_from(tuple(f"artifacts/shared/{it}" for it in ("d", "d/e", "n")))


class TreeMachine(RuleBasedStateMachine):
    """A mount of agent a, through which b acts as well; r is the other tool."""

    def __init__(self, store: Callable[[], MemoryStore] = MemoryStore) -> None:
        super().__init__()
        self.model = Fleet()
        self.store = store()
        self.state = Path(tempfile.mkdtemp(prefix="tcfs-"))
        self.tree: Tree
        self.sent = 0
        self.looks = count()
        self.running = Running(self._opened)
        for agent in AGENTS:
            self.running.do(self.tree.project.agents.register, AgentId(agent))

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[None]:
        async with grown(self.state, self.store) as self.tree:
            yield

    def teardown(self) -> None:
        self.running.end()
        shutil.rmtree(self.state)

    def both(
        self, model: Callable[[], object], act: Callable[..., Any], *args: Any, **how: Any
    ) -> None:
        """Do it in both worlds: it succeeds in both, or is refused by the same errno."""
        expected: int | None = None
        try:
            model()
        except Refused as error:
            expected = error.code
        met: int | None = None
        try:
            self.running.do(act, *args, **how)
        except Exception as error:
            met = errno_of(error)
            if met is None:
                raise
        assert met == expected, f"{met} instead of {expected}"

    def cat(self, path: str, by: str = "a") -> str | None:
        """Return what a file holds; None where there is none, or a directory."""
        return self.running.do(self._cat, path, by)

    async def is_ready(self, step: str) -> bool:
        ready = await self.tree.directory("ready")
        try:
            await ready.lookup(step, caller())
        except Missing:
            return False
        return True

    async def _cat(self, path: str, by: str) -> str | None:
        try:
            if isinstance(await self.tree.node(path, caller(by)), Directory):
                return None
            return await self.tree.cat(path, by)
        except Exception as error:
            if errno_of(error) != ENOENT:
                raise
            return None

    async def mv(self, path: str, new: str, by: str) -> None:
        await self.tree.node(path)  # as the kernel does first
        await self.tree.mv(path, new, by)

    def put(self, key: str, body: bytes) -> None:
        """Let the other tool write."""
        self.store.place(key, body)

    # memory

    def assume_no_directory(self, *keys: str) -> None:
        # The kernel answers by itself then: Is a directory, or it moves into it.
        for key in keys:
            assume(key in self.model.memory or not self.model.has_below(key))

    @rule(agent=agents, key=memory_keys, value=values)
    def give_value(self, agent: str, key: str, value: str) -> None:
        self.assume_no_directory(key)
        write = self.tree.write
        self.both(
            lambda: self.model.give(key, value.encode()), write, f"memory/{key}", value, by=agent
        )

    @rule(agent=agents, key=memory_keys, value=values.filter(bool))
    def append(self, agent: str, key: str, value: str) -> None:
        self.assume_no_directory(key)
        append = self.tree.append
        self.both(
            lambda: self.model.append(key, value.encode()), append, f"memory/{key}", value, by=agent
        )

    @rule(agent=agents, key=memory_keys)
    def create(self, agent: str, key: str) -> None:
        self.assume_no_directory(key)

        def model() -> None:
            self.model.create(key, b"")
            # The empty one is there at once, and is no version of its own.
            self.model.versions[key].pop()
            self.model.give(key, b"mine\n")

        async def create() -> None:
            memory = await self.tree.directory("memory")
            _, handle = await memory.create(key, EXCLUSIVE, caller(agent))
            await handle.write(0, b"mine\n")
            await handle.commit()
            await handle.release()

        self.both(model, create)

    @rule(agent=agents, key=memory_keys)
    def unset(self, agent: str, key: str) -> None:
        self.assume_no_directory(key)
        self.both(lambda: self.model.unset(key), self.tree.rm, f"memory/{key}", agent)

    @rule(agent=agents, key=memory_keys, new=memory_keys)
    def move(self, agent: str, key: str, new: str) -> None:
        self.assume_no_directory(key, new)
        self.both(
            lambda: self.model.move(key, new), self.mv, f"memory/{key}", f"memory/{new}", agent
        )

    @rule(key=memory_keys, value=values | st.integers(-1, 1) | st.just({"n": [1]}))
    def other_tool_sets(self, key: str, value: object) -> None:
        now = time.time_ns()
        document = MemoryValue(value=value, set_by="r", set_at=iso(now))
        version = MemoryValue(value=value, set_by="r", set_at=iso(now), key=key)
        self.put(f"{keys.history(key)}{now}_r_{now % 2**32:08x}.json", version.encode())
        self.put(keys.memory(key), document.encode())
        text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
        self.model.give(key, f"{text}\n".encode())

    @rule(key=memory_keys)
    def other_tool_unsets(self, key: str) -> None:
        assume(key in self.model.memory)
        self.store.remove(keys.memory(key))
        self.model.unset(key)

    @invariant()
    def memory_is_as_it_was_left(self) -> None:
        assert set(self.running.do(self.tree.ls, "memory")) == set(self.model.memory)
        for key in MEMORY:
            content = self.model.memory.get(key)
            assert self.cat(f"memory/{key}") == (None if content is None else content.decode())
            if content is not None and not any(
                key.startswith(f"{it}.") for it in self.model.memory
            ):
                # By a path, where no key on the way is a file.
                assert self.cat(f"memory/{key.replace('.', '/')}") == content.decode()

    @rule(key=memory_keys)
    def every_version_is_kept(self, key: str) -> None:
        assume(key in self.model.versions)  # else it is no directory
        names = self.running.do(self.tree.ls, f"memory/_history/{key}")
        found = [self.cat(f"memory/_history/{key}/{name}") for name in names]
        assert found == [it.decode() for it in self.model.versions[key]]

    @invariant()
    def no_version_is_lost(self) -> None:
        """After each step that of another key is looked for."""
        key = MEMORY[next(self.looks) % len(MEMORY)]
        if key in self.model.versions:
            names = self.running.do(self.tree.ls, f"memory/_history/{key}")
            assert len(names) == len(self.model.versions[key])

    # steps

    @rule(agent=agents, step=steps, note=notes)
    def claim(self, agent: str, step: str, note: str) -> None:
        write = self.tree.write
        self.both(
            lambda: self.model.claim(step, agent), write, f"steps/{step}/claim", note, by=agent
        )

    @rule(agent=agents, step=steps)
    def give_back(self, agent: str, step: str) -> None:
        self.both(
            lambda: self.model.give_back(step, agent), self.tree.rm, f"steps/{step}/claim", agent
        )

    @rule(agent=agents, step=steps, word=words)
    def set_state(self, agent: str, step: str, word: str) -> None:
        write = self.tree.write
        self.both(
            lambda: self.model.set_state(step, agent, word),
            write,
            f"steps/{step}/status",
            f"{word}\n",
            by=agent,
        )

    @rule(step=steps)
    def other_tool_claims(self, step: str) -> None:
        assume(self.store.body(keys.claim(StepId(step))) is None)
        assume(self.model.step(step).by is None)
        at = iso(time.time_ns())
        self.put(keys.claim(StepId(step)), _claim("r", at))
        self.put(keys.status(StepId(step)), _status("in_progress", "r", at))
        self.model.claim(step, "r")

    @rule(step=steps, word=st.sampled_from(FINAL))
    def other_tool_finishes_for_the_holder(self, step: str, word: str) -> None:
        it = self.model.step(step)
        assume(it.state == "in_progress" and it.by is not None)
        assert it.by is not None
        self.put(keys.status(StepId(step)), _status(word, it.by, iso(time.time_ns())))
        it.state = word

    @rule(step=steps)
    def other_tool_gives_back(self, step: str) -> None:
        it = self.model.step(step)
        assume(it.state == "in_progress" and it.by == "r")
        self.store.remove(keys.claim(StepId(step)))
        self.put(keys.status(StepId(step)), _status("pending", "r", iso(time.time_ns())))
        self.model.give_back(step, "r")

    @invariant()
    def steps_are_in_the_states_they_were_left_in(self) -> None:
        there = {name for name, it in self.model.steps.items() if it.there}
        assert set(self.running.do(self.tree.ls, "steps")) == there
        assert sorted(self.running.do(self.tree.ls, "ready")) == self.model.ready()
        for name, it in self.model.steps.items():
            assert self.running.do(self.is_ready, name) == (name in self.model.ready())
            assert self.cat(f"steps/{name}/status") == f"{it.state}\n"
            assert self.cat(f"steps/{name}/owner") == (f"{it.by}\n" if it.claimed else None)

    # locks

    @rule(agent=agents, name=locks)
    def lock(self, agent: str, name: str) -> None:
        async def mkdir() -> None:
            await (await self.tree.directory("locks")).mkdir(name, caller(agent))

        self.both(lambda: self.model.lock(name, agent), mkdir)

    @rule(agent=agents, name=locks)
    def unlock(self, agent: str, name: str) -> None:
        async def rmdir() -> None:
            await self.tree.node(f"locks/{name}")
            await self.tree.rmdir(f"locks/{name}", agent)

        self.both(lambda: self.model.unlock(name, agent), rmdir)

    @rule(name=locks, taken=st.booleans())
    def other_mount_takes_or_gives_back(self, name: str, taken: bool) -> None:
        key = keys.lock(LockId(name))
        if taken:
            assume(name not in self.model.locks)
            generation = _generation(self.store.body(key)) + 1
            fresh = Lock(agent="r", id=f"t{generation}", nonce="n", generation=generation)
            self.put(key, fresh.encode())
            self.model.lock(name, "r")
        else:
            assume(self.model.locks.get(name) == "r")
            self.store.remove(key)
            self.model.unlock(name, "r")

    @invariant()
    def locks_are_held_by_whoever_took_them(self) -> None:
        assert set(self.running.do(self.tree.ls, "locks")) == set(self.model.locks)
        for name, holder in self.model.locks.items():
            assert self.cat(f"locks/{name}/owner") == f"{holder}\n"

    # mail

    @rule(agent=agents, box=boxes)
    def send(self, agent: str, box: str) -> None:
        text = self._text()
        append = self.tree.append
        self.both(
            lambda: self.model.send(box, agent, text),
            append,
            f"messages/{box}/inbox",
            f"{text}\n",
            by=agent,
        )

    @rule(box=boxes)
    def other_tool_sends(self, box: str) -> None:
        text, now = self._text(), time.time_ns()
        message = Message(sender="r", to=box, text=text, sent_at=iso(now))
        self.put(f"{keys.mail(Mailbox(box))}{now}_r_{self.sent:08x}.json", message.encode())
        self.model.send(box, "r", text)

    @rule(agent=agents)
    def reads_what_is_new(self, agent: str) -> None:
        shown = self.cat(f"messages/{agent}/unread", agent)
        assert shown is not None
        assert _texts(shown) == [text for _, _, text in self.model.unread(agent)]
        self.model.mark(agent)

    @rule(agent=agents, which=st.integers(0, 9))
    def removes_a_message(self, agent: str, which: int) -> None:
        names = [it for it in self.running.do(self.tree.ls, f"messages/{agent}") if it != "inbox"]
        assume(names)
        name = names[which % len(names)]
        shown = self.cat(f"messages/{agent}/{name}")
        assert shown is not None
        text = shown.partition("\n\n")[2].strip()
        self.running.do(self.tree.rm, f"messages/{agent}/{name}", agent)
        self.model.order = [it for it in self.model.order if it[2] != text]

    @invariant()
    def every_message_is_in_the_inbox(self) -> None:
        for agent in AGENTS:
            shown = self.cat(f"messages/{agent}/inbox", agent)
            assert shown is not None
            assert _texts(shown) == [text for _, _, text in self.model.inbox(agent)]

    def _text(self) -> str:
        self.sent += 1
        return f"message-{self.sent}"

    # files

    @initialize(uploaded=st.sets(files), made=st.booleans())
    def begin(self, uploaded: set[str], made: bool) -> None:
        for path in sorted(uploaded):
            self.other_tool_uploads(path, "v")
        for path in ("artifacts/shared/d", "artifacts/shared/d/e"):
            if made and not self.model.is_directory(path):
                self.make_directory("a", path)

    @rule(agent=agents, path=files, content=values, adds=st.booleans())
    def write(self, agent: str, path: str, content: str, adds: bool) -> None:
        parent = path.rpartition("/")[0]
        assume(parent == "artifacts/shared" or self.model.is_directory(parent))

        def model() -> None:
            before = self.model.files.get(path, b"") if adds else b""
            self.model.write(path, before + content.encode())

        act = self.tree.append if adds else self.tree.write
        self.both(model, act, path, content, by=agent)

    @rule(agent=agents, path=files)
    def remove(self, agent: str, path: str) -> None:
        self.both(lambda: self.model.remove(path), self.tree.rm, path, agent)

    @rule(agent=agents, path=files, new=files)
    def rename(self, agent: str, path: str, new: str) -> None:
        parent = new.rpartition("/")[0]
        # Another directory is EXDEV, and where there is none ENOENT: both are the kernel's part.
        assume(path.rpartition("/")[0] == parent and path != new)
        assume(self.model.is_directory(parent) or parent == "artifacts/shared")
        self.both(lambda: self.model.rename(path, new), self.mv, path, new, agent)

    @rule(agent=agents, path=directories)
    def make_directory(self, agent: str, path: str) -> None:
        parent, _, name = path.rpartition("/")
        assume(not self.model.is_directory(path))  # the kernel's EEXIST
        assume(parent == "artifacts/shared" or self.model.is_directory(parent))

        async def mkdir() -> None:
            await (await self.tree.directory(parent)).mkdir(name, caller(agent))

        self.both(lambda: self.model.make_directory(path), mkdir)

    @rule(agent=agents, path=directories)
    def remove_directory(self, agent: str, path: str) -> None:
        assume(self.model.is_directory(path))
        self.both(lambda: self.model.remove_directory(path), self.tree.rmdir, path, agent)

    @rule(path=files, content=values)
    def other_tool_uploads(self, path: str, content: str) -> None:
        self.put(path, content.encode())
        self.model.write(path, content.encode())

    @rule(path=files)
    def other_tool_deletes(self, path: str) -> None:
        assume(path in self.model.files)
        self.store.remove(path)
        del self.model.files[path]

    @invariant()
    def files_are_as_they_were_stored(self) -> None:
        for path in ("artifacts/shared", "artifacts/shared/d", "artifacts/shared/d/e"):
            if path == "artifacts/shared" or self.model.is_directory(path):
                assert set(self.running.do(self.tree.ls, path)) == self.model.listed(path)
        for path, content in self.model.files.items():
            assert self.cat(path) == content.decode()


class WithoutConditionalDelete(TreeMachine):
    """The same on a store that gives back by tombstones."""

    def __init__(self) -> None:
        super().__init__(lambda: MemoryStore(NO_DELETE, page=3))


def _claim(agent: str, at: str) -> bytes:
    return json.dumps({"agent": agent, "claimed_at": at}, indent=2).encode()


def _status(word: str, agent: str, at: str) -> bytes:
    shown = {"status": word, "agent": agent, "started_at": at}
    return json.dumps(shown, indent=2).encode()


def _generation(body: bytes | None) -> int:
    return Lock.parse(body).generation if body else 0


def _texts(shown: str) -> list[str]:
    return [line.rpartition(": ")[2] for line in shown.splitlines()]


def test_tree_follows_its_rules_whoever_else_writes() -> None:
    profiles.run(TreeMachine, profiles.quick(16, 20))


def test_tree_follows_its_rules_without_conditional_delete() -> None:
    profiles.run(WithoutConditionalDelete, profiles.quick(8, 20))


def at_length(examples: int) -> None:
    """Try both trees with so many examples, other ones each time."""
    for machine in (TreeMachine, WithoutConditionalDelete):
        profiles.run(machine, profiles.long(examples))
