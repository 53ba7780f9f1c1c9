"""Conditions on columns: `label=0,1` and `label!=0`."""

import csv
import datetime

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ae_models.errors import ConfigError
from transforms.records.where import (
    QUOTING,
    Where,
    conditions,
    joined_values,
    split_values,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("label=0", Where("label", ("0",))),
        ("label=0,1", Where("label", ("0", "1"))),
        ("label!=cat,dog", Where("label", ("cat", "dog"), negated=True)),
        ("formula=a=b", Where("formula", ("a=b",))),
        ("image/class/text=big cat", Where("image/class/text", ("big cat",))),
        ('label="a,b",c', Where("label", ("a,b", "c"))),
        ('label!="say ""a"", b"', Where("label", ('say "a", b',), negated=True)),
        ('label=5" screw', Where("label", ('5" screw',))),
        ('label=""', Where("label", ("",))),
        ('"a=b!"=c', Where("a=b!", ("c",))),
        ('"a"!="b,"', Where("a", ("b,",), negated=True)),
        ('"""quoted"""=1', Where('"quoted"', ("1",))),
        ("label=two\nlines", Where("label", ("two\nlines",))),
    ],
)
def test_text_is_understood_and_written_again(text: str, expected: Where) -> None:
    assert Where.parse(text) == expected
    assert str(expected) == text.replace('"a"!', "a!")  # unnecessary quotes


_TEXTS = st.text(st.characters(exclude_categories=()) | st.sampled_from('",=!\\\n\r\0 '))


@given(_TEXTS, st.lists(_TEXTS, min_size=1, max_size=4), st.booleans())
def test_any_column_and_any_values_can_be_said(
    column: str, values: list[str], negated: bool
) -> None:
    where = Where(column, tuple(values), negated)
    assert Where.parse(str(where)) == where


@given(st.lists(_TEXTS, min_size=1, max_size=4))
def test_values_are_quoted_as_python_s_csv_module_reads_them(values: list[str]) -> None:
    line = joined_values([value.replace("\n", " ").replace("\r", " ") for value in values])
    (read,) = csv.reader([line], strict=True)
    assert tuple(read) == split_values(line)


@pytest.mark.parametrize("text", ['label="a', 'label="a"b', 'label=a,"b"c,d', 'label="a" ,b'])
def test_a_quote_that_is_not_closed_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="must end with one"):
        Where.parse(text)


def test_a_run_from_before_there_were_quotes_means_what_it_meant() -> None:
    old = {"versions": {}, "where": ['label="a,b"', "fold!=0"]}
    assert conditions(old) == [Where("label", ('"a', 'b"')), Where("fold", ("0",), negated=True)]
    assert conditions({**old, **QUOTING})[0] == Where("label", ("a,b",))
    assert conditions({"where": ['label="a,b"']}) == [Where("label", ("a,b",))]
    assert conditions({}) == []


def test_messages_have_an_end() -> None:
    for text in ("x" * 10**6, '="' + "x" * 10**6, 'a="' + "x" * 10**6):
        with pytest.raises(ConfigError) as caught:
            Where.parse(text)
        assert len(str(caught.value)) < 500


@pytest.mark.parametrize("text", ["", "label", "label=", "label!=", "=0", "!=0", "label!0", "a!b"])
def test_other_text_is_refused_with_the_text(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Where.parse(text)
    assert repr(text) in str(caught.value)


DAY = datetime.date(2024, 2, 29)


@pytest.mark.parametrize(
    ("column", "text", "expected"),
    [
        (pa.array(["a", "b", None]), "a", [True, False, False]),
        (pa.array(["a", "b", None]), "a,b", [True, True, False]),
        (pa.array(["1", "01", None]), "1", [True, False, False]),
        (pa.array([1, 2, None], pa.int8()), "2,3", [False, True, False]),
        (pa.array([2**40, 2, None]), str(2**40), [True, False, False]),
        (pa.array([0.5, 2.0, None]), "0.5", [True, False, False]),
        (pa.array([0.1, 2.0], pa.float32()), "0.1", [True, False]),
        (pa.array([True, False, None]), "true", [True, False, False]),
        (pa.array([DAY, None]), "2024-02-29", [True, False]),
        (pa.array(["a", "b", None], pa.large_string()), "b", [False, True, False]),
        (pa.array(["a", "b", None]).dictionary_encode(), "b", [False, True, False]),
        (pa.nulls(2, pa.string()), "b", [False, False]),
        (pa.array([], pa.string()), "b", []),
    ],
)
def test_rows_that_match(column: pa.Array, text: str, expected: list[bool]) -> None:
    schema = pa.schema([("c", column.type)])
    for negated, operator in ((False, "="), (True, "!=")):
        where = Where.parse(f"c{operator}{text}")
        where.check(schema)
        for given_column in (column, pa.chunked_array([column])):
            mask = where.mask(given_column)
            assert mask.null_count == 0
            assert mask.to_pylist() == [value != negated for value in expected]


@settings(deadline=None)
@given(
    st.lists(st.one_of(st.none(), st.integers(-3, 3)), max_size=30),
    st.lists(st.integers(-5, 5), min_size=1, max_size=4),
    st.data(),
)
def test_as_python_sets_have_it(
    values: list[int | None], wanted: list[int], draw: st.DataObject
) -> None:
    start = draw.draw(st.integers(0, len(values)))
    column = pa.array(values, pa.int64()).slice(start)
    text = ",".join(map(str, wanted))
    expected = [value in set(wanted) for value in values[start:]]
    assert Where.parse(f"c={text}").mask(column).to_pylist() == expected
    assert Where.parse(f"c!={text}").mask(column).to_pylist() == [not e for e in expected]


@pytest.mark.parametrize(
    ("kind", "text"),
    [(pa.int64(), "cat"), (pa.int8(), "300"), (pa.float32(), "x"), (pa.bool_(), "cat")],
)
def test_values_that_the_column_cannot_hold_are_refused(kind: pa.DataType, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Where.parse(f"label={text}").check(pa.schema([("label", kind)]))
    assert all(part in str(caught.value) for part in ("'label'", str(kind), repr(text)))


def test_columns_without_comparable_values_are_refused() -> None:
    schema = pa.schema([("boxes", pa.list_(pa.int64()))])
    with pytest.raises(ConfigError, match="boxes"):
        Where.parse("boxes=1").check(schema)


def test_an_unknown_column_is_refused_with_a_suggestion() -> None:
    schema = pa.schema([("label", pa.string()), ("fold", pa.int64())])
    with pytest.raises(ConfigError, match=r"'lable'.*label"):
        Where.parse("lable=1").check(schema)
    with pytest.raises(ConfigError, match="no carried columns"):
        Where.parse("label=1").check(pa.schema([]))
