"""The JSON dialect: what is read beyond the standard, what is refused where, how values are echoed."""
import json
import math

import pytest

from serving import json_text
from serving.errors import Code, RequestError


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b' \n{"a": [1, 2.5, true, null, "x"]}', {"a": [1, 2.5, True, None, "x"]}),
        (b'{"a": 1} and then some', {"a": 1}),
        (b"[1, 2]]]", [1, 2]),
        (b'{"a": 1, "b": 2, "a": 3}', {"a": 1, "b": 2}),
        (b"\xef\xbb\xbf[1]", [1]),
        (b"[Infinity, -Infinity, Inf, -Inf]", [math.inf, -math.inf, math.inf, -math.inf]),
        (b'["Inf \\" Inf", Inf]', ['Inf " Inf', math.inf]),
        (b"18446744073709551616", 2**64),
    ],
)
def test_reads(body, value):
    assert json_text.parse(body) == value


def test_reads_nan():
    assert math.isnan(json_text.parse(b"[NaN]")[0])


def test_keeps_bytes_that_are_not_utf8():
    text = json_text.parse(b'"caf\xc3\xa9 \xff\x80"')
    assert text.startswith("café")
    assert json_text.to_bytes(text) == b"caf\xc3\xa9 \xff\x80"


@pytest.mark.parametrize(
    ("body", "offset"),
    [
        (b"{", 1),
        (b'{"a": }', 6),
        (b'{"a" 1}', 5),
        (b'["\xc3\xa9", x]', 7),
        (b"[Inf, x]", None),
        (b'[Inf, "' + b'\\"' * 1_000_000, None),  # in no time, if no quote is looked at twice
        (b"[" * 200_000, None),
        (b"1" * 5000, None),
        (b"   ", 3),
    ],
)
def test_refuses(body, offset):
    with pytest.raises(RequestError) as caught:
        json_text.parse(body)
    assert caught.value.code == Code.INVALID_ARGUMENT
    assert caught.value.message.startswith("JSON Parse error: ")
    if offset is not None:
        assert caught.value.message.endswith(f" at offset: {offset}")


def test_empty_body_has_its_own_words():
    with pytest.raises(RequestError) as caught:
        json_text.parse(b"")
    assert caught.value.message == "JSON Parse error: The document is empty"


def test_half_a_surrogate_pair_is_refused():
    with pytest.raises(RequestError, match="surrogate"):
        json_text.to_bytes(json_text.parse(b'"\\ud800"'))


def test_dump_is_whole_below_256_characters_and_cut_between_tokens_above():
    small = {"a": [1, {"b": "c"}]}
    assert json_text.dump(small) == json.dumps(small, indent=4)
    cut = json_text.dump(list(range(1000)))
    assert 256 <= len(cut) < 300
    assert json.dumps(list(range(1000)), indent=4).startswith(cut)
    for long in ({"b64": "x" * 5000, "more": list(range(1000))}, {"x" * 5000: 1}, "x" * 5000, 10**3000):
        text = json_text.dump(long)
        assert 256 <= len(text) < 600
        assert ("x" in text) == (long != 10**3000) and text.count("...") == 1


@pytest.mark.parametrize(
    ("value", "name"),
    [(None, "Null"), (False, "False"), (True, "True"), ({}, "Object"), ([], "Array"), ("", "String"), (1, "Number"),
     (1.5, "Number")],
)
def test_type_names(value, name):
    assert json_text.type_name(value) == name
