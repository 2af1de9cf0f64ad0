"""Transcripts with made-up secrets of the 23 kinds that real clients were seen to print.

The values are drawn anew for each seed and put together from pieces, so that no file holds one.
"""

import base64
import json
import random
import string
from dataclasses import dataclass

_ALNUM = string.ascii_letters + string.digits
_URL = _ALNUM + "_-"
_HEX = "0123456789abcdef"


@dataclass(frozen=True)
class Fakes:
    values: dict[str, str]  # as a client prints them
    secrets: dict[str, tuple[str, ...]]  # what of them must not be left
    key: str  # a private key in its armour

    @property
    def environment(self) -> str:
        return "".join(f"{name}={value}\n" for name, value in self.values.items())


def fakes(seed: int) -> Fakes:
    drawn = random.Random(seed)

    def some(count: int, of: str = _ALNUM) -> str:
        return "".join(drawn.choice(of) for _ in range(count))

    def part(document: dict[str, object]) -> str:
        return base64.urlsafe_b64encode(json.dumps(document).encode()).decode().rstrip("=")

    infix = "T3Blbk" + "FJ"
    upper = string.ascii_uppercase + string.digits
    account, password, hook = some(85, _ALNUM + "/+") + "A", some(15) + "7", some(24)
    values = {
        "OPENAI_API_KEY": "sk-" + "proj-" + some(74, _URL) + infix + some(74, _URL),
        "OPENAI_LEGACY": "sk" + "-" + some(20) + infix + some(20),
        "OPENAI_ADMIN": "sk-" + "admin-" + some(58, _URL) + infix + some(58, _URL),
        "ANTHROPIC_API_KEY": "sk-" + "ant-api03-" + some(93, _URL) + "AA",
        "OPENROUTER_API_KEY": "sk-" + "or-v1-" + some(64, _HEX),
        "GITHUB_PAT": "gh" + "p_" + some(36),
        "GITHUB_FINE": "github" + "_pat_" + some(22) + "_" + some(59),
        "GITLAB": "gl" + "pat-" + some(20, _URL),
        "AWS_ACCESS_KEY_ID": "AK" + "IA" + some(16, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"),
        "AWS_SECRET_ACCESS_KEY": some(40, _ALNUM + "/+"),
        "GOOGLE_API_KEY": "AI" + "za" + some(35, _URL),
        "HF_TOKEN": "hf" + "_" + some(34, string.ascii_letters),
        "NPM_TOKEN": "np" + "m_" + some(36),
        "PYPI_TOKEN": "py" + "pi-AgEIcHlwaS5vcmc" + some(120, _URL),
        "STRIPE_SECRET_KEY": "sk_" + "live_" + some(24),
        "SLACK_BOT": "xo"
        + "xb-"
        + some(12, string.digits)
        + "-"
        + some(12, string.digits)
        + "-"
        + some(24),
        "SLACK_WEBHOOK": "https://hooks.slack"
        + f".com/services/T{some(10, upper)}/B{some(10, upper)}/{hook}",
        "AZURE_STORAGE": "DefaultEndpointsProtocol=https;AccountName=acct;Account"
        + f"Key={account}==;EndpointSuffix=core.windows.net",
        "SENDGRID": "S" + "G." + some(22, _URL) + "." + some(43, _URL),
        "JWT": ".".join(
            (
                part({"alg": "HS256", "typ": "JWT"}),
                part({"sub": "1234", "name": "x"}),
                some(43, _URL),
            )
        ),
        "DATABASE_URL": "postgres:" + f"//app:{password}@db.internal:5432/prod",
        "MYSQL_PASSWORD": some(17) + "4!x",
    }
    lines = [some(70, _ALNUM + "/+") for _ in range(5)] + [some(31, _ALNUM + "/+") + "="]
    armour = "OPENSSH PRIVATE" + " KEY-----"
    secrets = {name: (value,) for name, value in values.items()}
    secrets |= {
        "AZURE_STORAGE": (account,),
        "DATABASE_URL": (password,),
        "SLACK_WEBHOOK": (hook,),
        "PRIVATE_KEY": tuple(lines),
    }
    key = "\n".join(("-----BEGIN " + armour, *lines, "-----END " + armour)) + "\n"
    return Fakes(values, secrets, key)


def nested(text: str, depth: int) -> bytes:
    """Return a line of JSON that holds JSON that holds … `text`, `depth` strings deep."""
    value: object = {"type": "tool_result", "output": text}
    for _ in range(depth):
        value = {"payload": json.dumps(value), "note": "déjà vu"}
    return json.dumps(value, ensure_ascii=False).encode() + b"\n"


def transcript(of: Fakes) -> list[bytes]:
    """Return a session in which an agent reads its environment and a key, and goes on to work."""
    first = next(iter(of.values.values()))
    entries: list[dict[str, object]] = [
        {"type": "user", "message": {"content": "what is in the environment? — déjà vu"}},
        {
            "type": "tool_use",
            "input": {"command": "env; cat id"},
            "uuid": "0b94f22c-334e-477c-aec6-7f9ecc52830e",
        },
        {
            "type": "tool_result",
            "stdout": of.environment,
            "toolUseResult": {"stdout": of.environment},
        },
        {
            "type": "tool_result",
            "stdout": of.key,
            "usage": {"input_tokens": 12, "output_tokens": 4096},
        },
        {
            "type": "assistant",
            "text": "git 9fceb02d0ae598e95dc970b74767f19372d61af8 " + first,
            "f": 1.0,
        },
        {
            "type": "tool_result",
            "stdout": "".join(f"{it}\n" for it in of.secrets["AWS_SECRET_ACCESS_KEY"]),
        },
        {"type": "tool_result", "diff": ["+" + it for it in of.key.splitlines()]},
        {"type": "tool_result", "stdout": "def token(self):\n    return self.password\n"},
    ]
    return [
        json.dumps(it, ensure_ascii=position % 2 == 0).encode() + b"\n"
        for position, it in enumerate(entries)
    ]


def left(of: Fakes, text: bytes) -> list[str]:
    """Return the names of what is still in `text`."""
    return [
        name for name, values in of.secrets.items() if any(it.encode() in text for it in values)
    ]
