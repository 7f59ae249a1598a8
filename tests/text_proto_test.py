"""Text protos are read as far as configuration files need it; what is wrong is said."""
import pytest

from serving import text_proto

EVERYTHING = """
# A comment with { and "
outer: { text: "a # b" text: 'c' , number: 12; flag: true }
outer { negative: -3 empty {} }
"""


def test_messages_texts_and_numbers_are_found_by_name():
    first, second = text_proto.parse(EVERYTHING).messages("outer")
    assert first["text"] == ['"a # b"', "'c'"]
    assert (first.integer("number"), first.text("number"), first.text("flag")) == (12, "12", "true")
    assert (second.text("negative"), second.messages("empty"), second.messages("missing")) == ("-3", [{}], [])
    assert text_proto.parse("") == {}
    assert text_proto.parse("name: 'it says \"a\"'").string("name") == 'it says "a"'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a { b {", "expected the name of a field, found 'end of file'"),
        ("a {}}", "expected the name of a field, found '}'"),
        ("a { b: }", "expected a value for b, found '}'"),
        ("a:", "expected a value for a, found 'end of file'"),
        ("a: 1\n @", "line 2 has '@' where a name, a value or a bracket was expected"),
        ("a: 1.5", "line 1 has '1' where"),
        ("a: 12b: 1", "line 1 has '1' where"),
        ("a {" * 3000, "at most 100 messages inside each other"),
    ],
)
def test_what_is_no_text_proto_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        text_proto.parse(text)


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (lambda tree: tree.messages("number"), r"expected number \{ ... \}, found number: '3'"),
        (lambda tree: tree.text("twice"), r"expected one twice, found \['1', '2'\]"),
        (lambda tree: tree.text("missing"), r"expected one missing, found \[\]"),
        (lambda tree: tree.text("inner"), "expected one inner, found"),
        (lambda tree: tree.string("word"), "expected word in quotes, found new"),
        (lambda tree: tree.integer("quoted"), "expected a number for quoted"),
        (lambda tree: tree.integer("large"), "expected a number for large, found '9223372036854775808'"),
        (lambda tree: tree.integer("word"), "expected a number for word, found 'new'"),
        (lambda tree: tree.integer("negative"), "expected a number for negative, found '-1'"),
    ],
)
def test_other_values_than_expected_are_refused(read, message):
    text = f"number: 3 twice: 1 twice: 2 inner {{}} word: new negative: -1 quoted: '1' large: {2**63}"
    with pytest.raises(ValueError, match=message):
        read(text_proto.parse(text))
