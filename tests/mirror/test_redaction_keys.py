"""Private keys: whole, cut short at either end, decorated, and spread over strings and lines."""

import json

import pytest

from tcfs.mirror.redaction import Redactor
from tests.mirror.fake_secrets import fakes

OF = fakes(11)
LINES = OF.key.splitlines()
BODY = LINES[1:-1]


def remains(redaction: bytes, body: list[str] = BODY) -> list[str]:
    return [line for line in body if line.encode() in redaction]


def test_a_whole_key_becomes_one_mark() -> None:
    line = json.dumps({"stdout": f"before\n{OF.key}after"}).encode()
    assert Redactor().line(line) == b'{"stdout": "before\\n[REDACTED:private-key]\\nafter"}'


@pytest.mark.parametrize("depth", range(4))
def test_a_key_cut_short_at_any_position_goes_as_far_as_it_is_there(depth: int) -> None:
    for cut in range(len(LINES[0]) + 40, len(OF.key)):
        text = OF.key[:cut]
        value: object = {"stdout": text}
        for _ in range(depth):
            value = {"content": json.dumps(value)}
        redaction = Redactor().line(json.dumps(value).encode())
        pieces = [it for it in text.splitlines()[1:] if len(it) >= 8 and it[0] != "-"]
        assert remains(redaction, pieces) == [], cut


def test_a_key_whose_beginning_is_cut_off_goes_up_to_its_end() -> None:
    for cut in range(len(LINES[0]), len(OF.key) - 160):
        text = OF.key[cut:]
        redaction = Redactor().line(json.dumps({"stdout": text}).encode())
        assert remains(redaction) == [], cut


@pytest.mark.parametrize(
    "decorated",
    [
        "\n".join(f"+{it}" for it in LINES),
        "\n".join(f"    {it}" for it in LINES),
        "\n".join(f"{number:6}\t{it}" for number, it in enumerate(LINES, 1)),
        "\n".join(f"{number:5}→{it}" for number, it in enumerate(LINES, 1)),
        "\r\n".join(LINES),
        "KEY = (\n" + "".join(f'    "{it}\\n"\n' for it in LINES) + ")",
        "[" + ", ".join(f'"{it}"' for it in LINES) + "]",
        "\n".join(
            (LINES[0], "Proc-Type: 4,ENCRYPTED", "DEK-Info: AES-128-CBC,A1B2", "", *LINES[1:])
        ),
        "\n".join(f"> {it}" for it in LINES),
        " ".join(LINES),
    ],
)
@pytest.mark.parametrize("depth", range(3))
def test_what_tools_put_between_the_lines_hides_none(decorated: str, depth: int) -> None:
    value: object = {"stdout": f"see\n{decorated}\nand so on"}
    for _ in range(depth):
        value = {"content": json.dumps(value)}
    redaction = Redactor().line(json.dumps(value).encode())
    assert remains(redaction) == []
    value = json.loads(redaction)
    for _ in range(depth):
        value = json.loads(value["content"])
    assert value["stdout"].startswith("see\n")
    assert value["stdout"].endswith("\nand so on")


def test_a_key_goes_on_in_the_next_string_and_the_next_line() -> None:
    for cut in range(len(LINES[0]) + 1, len(OF.key) - 40, 7):
        first, second = OF.key[:cut], OF.key[cut:]
        apart = [json.dumps({"n": 1, "delta": first}), json.dumps({"n": 2, "delta": second})]
        redactor = Redactor()
        redaction = b"".join(redactor.lines(it.encode() for it in apart))
        pieces = [it for it in (first + "\n" + second).splitlines()[1:-1] if len(it) >= 24]
        assert remains(redaction, pieces) == [], cut
        together = Redactor().line(json.dumps([first, {"and": second}]).encode())
        assert remains(together, pieces) == [], cut


def test_a_key_in_a_plain_file_goes_line_by_line() -> None:
    redactor = Redactor()
    lines = ["some text", *LINES, "someWordThatIsLongEnough1toBeBase64"]
    redaction = redactor.lines(it.encode() for it in lines)
    assert redaction[0] == lines[0].encode()
    assert redaction[-1] == lines[-1].encode()
    assert remains(b"\n".join(redaction)) == []


def test_ids_and_digests_near_an_open_key_stay() -> None:
    redactor = Redactor()
    redactor.line(json.dumps({"delta": "\n".join(LINES[:3])}).encode())
    line = json.dumps(
        {
            "id": "msg_01AbCdEfGhIjKlMnOpQrStUvWx",
            "uuid": "0b94f22c-334e-477c-aec6-7f9ecc52830e",
            "commit": "9fceb02d0ae598e95dc970b74767f19372d61af8",
            "text": "def a_long_function_name_here(argument): pass",
        }
    ).encode()
    assert redactor.line(line) == line


def test_a_line_of_a_key_is_known_again_by_itself() -> None:
    redactor = Redactor()
    redactor.line(json.dumps({"stdout": OF.key}).encode())
    assert (
        redactor.line(f"sed -n 3p id: {BODY[2]}".encode())
        == b"sed -n 3p id: [REDACTED:private-key]"
    )
    assert Redactor().line(BODY[2].encode()) == BODY[2].encode()
