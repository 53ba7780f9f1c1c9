"""What is reported about the examined images, and what training uses of them."""

import dataclasses
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ae_models.config.configuration import ImageConfig
from transforms.reading.survey import Kind, Looked, Survey

_COLOUR, _GREY, _ALPHA, _DEEP = Kind(3, 8), Kind(1, 8), Kind(4, 8), Kind(1, 16)
_NOTHING_SET = ImageConfig()


def _survey(*counts: tuple[int, Kind], size: tuple[int, int] = (20, 10)) -> Survey:
    return Survey(tuple(Looked(*size, kind) for count, kind in counts for _ in range(count)))


def _sizes(*sizes: tuple[int, int]) -> Survey:
    return Survey(tuple(Looked(*size, _COLOUR) for size in sizes))


_LOOKED = st.builds(
    Looked,
    st.integers(1, 5000),
    st.integers(1, 5000),
    st.builds(Kind, st.integers(1, 4), st.sampled_from([8, 16])),
)
_CONFIGS = st.builds(
    ImageConfig,
    height=st.none() | st.integers(1, 300),
    width=st.none() | st.integers(1, 300),
    channels=st.none() | st.integers(1, 4),
    bits=st.none() | st.integers(8, 16),
    convert=st.booleans(),
)


@given(st.lists(_LOOKED, min_size=1, max_size=12), _CONFIGS)
def test_what_is_set_stays_and_all_else_is_chosen(
    images: Sequence[Looked], config: ImageConfig
) -> None:
    survey = Survey(tuple(images))
    chosen = survey.chosen(config)
    assert None not in (*chosen.shape, chosen.bits)
    for field in dataclasses.fields(ImageConfig):
        given_value = getattr(config, field.name)
        assert given_value in (None, getattr(chosen, field.name))
    assert survey.chosen(chosen) == chosen
    used = [i for i in images if i.kind == (chosen.channels, 8 if chosen.bits == 8 else 16)]
    warned = survey.advice(config)
    assert len(warned) == (len(used) < len(images) and not config.convert)
    assert "\n" not in "".join([*warned, *survey.told(config)])


@given(st.lists(_LOOKED, min_size=1, max_size=12))
def test_most_images_are_of_the_kind_that_is_taken(images: Sequence[Looked]) -> None:
    chosen = Survey(tuple(images)).chosen(_NOTHING_SET)
    kinds = [image.kind for image in images]
    taken = kinds.count(Kind(chosen.shape[2], chosen.bits or 0))
    assert taken == max(map(kinds.count, kinds))


def test_the_kind_is_of_those_that_fit_what_is_set() -> None:
    survey = _survey((5, _COLOUR), (3, _DEEP), (2, _GREY))
    assert survey.chosen(ImageConfig(channels=1)).bits == 16
    assert survey.chosen(ImageConfig(bits=8)).channels == 3
    assert survey.chosen(ImageConfig(bits=12)).channels == 1  # from cameras, in 16-bit files


def test_the_size_is_that_of_the_images_that_are_used() -> None:
    large, small = _survey((5, _COLOUR), size=(300, 300)), _survey((4, _GREY))
    both = Survey(large.images + small.images)
    assert both.chosen(ImageConfig(channels=1)).shape == (20, 10, 1)
    assert both.chosen(_NOTHING_SET).shape == (64, 64, 3)


def test_one_side_follows_from_the_other() -> None:
    survey = _sizes((300, 400), (600, 800), (100, 100))
    assert survey.chosen(ImageConfig(height=90)).shape == (90, 120, 3)
    assert survey.chosen(ImageConfig(width=120)).shape == (90, 120, 3)
    assert _sizes((28, 28)).chosen(ImageConfig(width=28)).shape == (28, 28, 3)
    assert _sizes((1, 5000)).chosen(ImageConfig(width=10)).shape == (1, 10, 3)


def test_images_of_one_size_that_are_small_take_a_line() -> None:
    survey = dataclasses.replace(_survey((1200, _GREY), size=(28, 28)), total=60_000)
    assert survey.told(_NOTHING_SET) == [
        "images: 1,200 of 60,000 examined: 28 x 28, 1 channel, 8 bits, all of one size, not resized"
    ]


def test_images_of_one_size_that_are_resized() -> None:
    survey = dataclasses.replace(_survey((3, _COLOUR), size=(460, 1130)), unreadable=2)
    assert survey.told(_NOTHING_SET) == [
        "images: 3 examined, 2 could not be read: all 460 x 1130 (height x width), 3 channels, "
        "8 bits",
        "training on 40 x 100, 3 channels, 8 bits; --size HxW changes this",
    ]
    assert survey.told(ImageConfig(height=46, width=113))[1:] == [
        "training on 46 x 113, 3 channels, 8 bits"
    ]


def test_least_median_and_greatest_size() -> None:
    lines = _sizes((375, 499), (1024, 768), (178, 199), (300, 600), (400, 400)).told(_NOTHING_SET)
    assert lines[0] == (
        "images: 5 examined: 178 x 199 to 1024 x 768, median 375 x 499 (height x width), "
        "3 channels, 8 bits"
    )


@pytest.mark.parametrize(
    ("counts", "config", "expected"),
    [
        (
            [(412, _COLOUR), (78, _GREY)], _NOTHING_SET,
            "of 490 images examined, 412 have 3 channels, 78 have 1: those with 1 channel will be "
            "rejected (wrong_channels); --set image.convert=true converts them",
        ),
        (
            [(4, _GREY), (2, _COLOUR), (1, _ALPHA)], _NOTHING_SET,
            "of 7 images examined, 4 have 1 channel, 2 have 3, 1 has 4 (with alpha): those with 3 "
            "or 4 channels will be rejected (wrong_channels); --set image.convert=true converts "
            "them",
        ),
        (
            [(9, _DEEP), (1, _GREY)], _NOTHING_SET,
            "of 10 images examined, 9 have 16 bits, 1 has 8 bits: those with 8 bits will be "
            "rejected (wrong_bits); --set image.convert=true converts them",
        ),
        (
            [(5, _COLOUR), (4, _GREY), (2, _DEEP)], _NOTHING_SET,
            "of 11 images examined, 5 have 3 channels and 8 bits, 4 have 1 channel and 8 bits, "
            "2 have 1 channel and 16 bits: all except those with 3 channels, 8 bits will be "
            "rejected (wrong_channels, wrong_bits); --set image.convert=true converts them",
        ),
        (
            [(5, _GREY)], ImageConfig(channels=3),
            "of 5 images examined, 5 have 1 channel: images that do not have 3 channels, 8 bits "
            "will be rejected (wrong_channels); --set image.convert=true converts them",
        ),
        (
            [(5, _COLOUR), (1, Kind(7, 8))], _NOTHING_SET,
            "of 6 images examined, 5 have 3 channels, 1 has 7: those with 7 channels will be "
            "rejected (wrong_channels)",
        ),
    ],
)  # fmt: skip
def test_kinds_that_will_be_rejected(
    counts: list[tuple[int, Kind]], config: ImageConfig, expected: str
) -> None:
    assert _survey(*counts).advice(config) == [expected]


def test_kinds_that_are_converted() -> None:
    survey, config = _survey((2, _COLOUR), (1, _GREY)), ImageConfig(convert=True)
    assert survey.advice(config) == []
    assert survey.told(config)[-1] == (
        "of 3 images examined, 2 have 3 channels, 1 has 1: all are converted to 3 channels, 8 bits"
    )
    assert survey.told(_NOTHING_SET)[0].endswith("1 or 3 channels, 8 bits")
