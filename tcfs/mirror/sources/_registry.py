"""All harnesses by name: one line for each."""

from collections.abc import Callable, Mapping
from typing import Final

from tcfs.mirror.sources import (
    claude_code,
    codex,
    copilot_cli,
    gemini_cli,
    hermes,
    openclaw,
    pi,
    qwen_code,
)
from tcfs.mirror.sources._base import Source

HARNESSES: Final[Mapping[str, Callable[[Mapping[str, str]], Source]]] = {
    claude_code.NAME: claude_code.claude_code,
    codex.NAME: codex.codex,
    openclaw.NAME: openclaw.OpenClaw,
    hermes.NAME: hermes.Hermes,
    gemini_cli.NAME: gemini_cli.gemini_cli,
    qwen_code.NAME: qwen_code.qwen_code,
    copilot_cli.NAME: copilot_cli.copilot_cli,
    pi.NAME: pi.pi,
}


def source(name: str, environ: Mapping[str, str]) -> Source:
    """Return the sessions of a harness for a user with these environment variables.

    Raises:
        KeyError: no such harness.
    """
    return HARNESSES[name](environ)
