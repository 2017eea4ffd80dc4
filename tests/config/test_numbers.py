import math

import pytest

from ppcls.config.numbers import parse_scalar


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("-4", -4),
        ("010", 10),
        ("1e-8", 1e-8),
        ("1E5", 1e5),
        (".5", 0.5),
        ("1.", 1.0),
        (".inf", math.inf),
        ("-.inf", -math.inf),
        ("1.0/255.0", 1.0 / 255.0),
        ("(1+2)*3", 9),
        ("5e-4 * 2", 1e-3),
        ("-1/4", -0.25),
        ("true", True),
        ("False", False),
        ("off", False),
        ("null", None),
        ("None", None),
        ("", None),
    ],
)
def test_words_with_a_meaning(text, value):
    assert parse_scalar(text) == value
    assert type(parse_scalar(text)) in (type(value), *type(parse_scalar(text)).__mro__)


@pytest.mark.parametrize(
    "text",
    [
        "os",
        "exit()",
        "1:30",
        "x-1",
        "1/0",
        "a=b",
        "-",
        "2**3",
        "1e",
        "__import__('os')",
        "1 if 1 else 2",
        "0x10",
        "nan",
    ],
)
def test_anything_else_is_text(text):
    assert parse_scalar(text) == text


def test_nan_is_a_number():
    assert math.isnan(parse_scalar(".nan"))


def test_arithmetic_remembers_how_it_was_written():
    assert parse_scalar("2024/11").text == "2024/11"
    assert parse_scalar("2*3").text == "2*3"


def test_long_arithmetic_does_not_hang_or_overflow():
    assert parse_scalar("9" * 400 + "/1.5e300*1e308*1e308") is not None
