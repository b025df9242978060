"""Hyperparameters are decoded defensively, and "auto" follows the rules of thumb."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import HyperparameterError, ProjectError
from shared.hyperparameters import (
    MAX_WIDTH,
    METRICS,
    NAMES,
    Choice,
    Hyperparameters,
    Range,
    bin_count,
    broken_rules,
    check_space,
    decode,
    embedding_width,
    encode,
    explained,
    first_width,
    metric_definitions,
    metric_line,
    resolve,
    tapered,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.1", 0.1),
        ("1e-3", 0.001),
        ('"0.1"', 0.1),
        ('"auto"', "auto"),
        ('"\\"auto\\""', "auto"),
        ("auto", "auto"),
        (0.1, 0.1),
        ("0", 0.0),
    ],
)
def test_a_number_is_read_however_often_it_was_encoded(text: Any, value: Any) -> None:
    assert decode({"dropout": text}).dropout == value


@pytest.mark.parametrize("text", ["relu", '"relu"', '"\\"relu\\""'])
def test_a_word_is_read_however_often_it_was_encoded(text: str) -> None:
    assert decode({"activation": text}).activation == "relu"


@pytest.mark.parametrize("text", ["true", '"true"', "True", True])
def test_a_boolean_is_read_in_any_spelling(text: Any) -> None:
    assert decode({"batch_norm": text}).batch_norm is True


@pytest.mark.parametrize("text", ["64", "64.0", '"64"', 64])
def test_a_whole_number_may_be_written_as_a_float(text: Any) -> None:
    assert decode({"batch_size": text}).batch_size == 64


def test_the_platforms_own_names_are_set_aside() -> None:
    raw = {
        "sagemaker_program": "train.py",
        "sagemaker_submit_directory": "s3://b/k",
        "_tuning_objective_metric": "val_auc",
        "model_dir": "s3://b/model",
    }
    assert decode(raw) == Hyperparameters()


def test_an_unknown_name_is_refused_and_the_nearest_named() -> None:
    with pytest.raises(HyperparameterError, match=r"'learning_rat'.*Did you mean 'learning_rate'"):
        decode({"learning_rat": "0.1"})


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("learning_rate", "fast", "a number is needed, not 'fast'"),
        ("learning_rate", "0", "0 is not between 1e-07 and 10"),
        ("learning_rate", "NaN", "a number is needed, not nan"),
        ("learning_rate", "true", "a number is needed, not True"),
        ("dropout", "1.5", "1.5 is not between 0 and 0.95"),
        ("dropout", "none", '"auto" or a number is needed'),
        ("layers", "2.5", "a whole number is needed, not 2.5"),
        ("layers", "[1, 2]", "a whole number is needed"),
        ("optimizer", "adamm", "'adamm' is not one of .* Did you mean 'adam'?"),
        ("optimizer", "5", "text is needed, not 5"),
        ("batch_norm", "maybe", "true or false is needed"),
    ],
)
def test_a_value_that_is_not_allowed_is_refused_by_name(name: str, text: str, words: str) -> None:
    with pytest.raises(HyperparameterError, match=words) as caught:
        decode({name: text})
    assert str(caught.value).startswith(f"hyperparameter {name!r}: ")


@given(st.dictionaries(st.sampled_from(NAMES), st.text() | st.floats() | st.integers()))
def test_anything_is_decoded_or_refused(raw: dict[str, Any]) -> None:
    with contextlib.suppress(HyperparameterError):
        assert isinstance(decode(raw), Hyperparameters)


def test_what_is_encoded_is_decoded_to_the_same() -> None:
    chosen = Hyperparameters(layers=3, dropout=0.25, activation="prelu", taper=True, l2=1e-5)
    assert decode(encode(chosen)) == chosen
    assert all(len(text) <= 256 for text in encode(chosen).values())


def test_every_knob_has_a_default_a_help_and_bounds_or_choices() -> None:
    for field in dataclasses.fields(Hyperparameters):
        assert field.metadata["help"]
        numeric = not isinstance(field.default, bool) and isinstance(field.default, int | float)
        assert not numeric or field.metadata["low"] < field.metadata["high"]
    assert Hyperparameters() == Hyperparameters(**{n: getattr(Hyperparameters(), n) for n in NAMES})


@pytest.mark.parametrize(
    ("inputs", "width"),
    [(100, 256), (300, 512), (96, 256), (95, 128), (192, 512), (1, 8), (4, 8), (5000, 1024)],
)
def test_the_first_width_is_the_power_of_two_nearest_twice_the_inputs(
    inputs: int, width: int
) -> None:
    assert first_width(inputs) == width


@pytest.mark.parametrize(
    ("options", "inputs", "first", "members"),
    [
        ({}, 300, 512, 8),
        ({}, 500, 1024, 8),
        ({}, 10, 512, 8),
        ({"ensemble": 1}, 10, 16, 1),
        ({"ensemble": 1}, 100, 256, 1),
        ({"ensemble": 3}, 10, 192, 3),
        ({"units": 512}, 10, 512, 8),
        ({"units": 200}, 10, 201, 3),
        ({"units": 128}, 10, 128, 2),
        ({"units": 100}, 10, 100, 1),
        ({"units": 4096}, 10, 4096, 8),
        ({"units": 100, "ensemble": 16}, 10, 112, 16),
    ],
)
def test_the_members_of_an_ensemble_share_out_the_units(
    options: Any, inputs: int, first: int, members: int
) -> None:
    plan = resolve(Hyperparameters(**options), inputs)
    assert (plan.widths, plan.members) == ((first, first), members)


@given(st.integers(1, 3000), st.integers(1, 60), st.integers(1, 8192), st.integers(1, 64))
def test_every_layer_of_an_ensemble_can_be_shared_out_evenly(
    inputs: int, layers: int, units: int, members: int
) -> None:
    chosen = Hyperparameters(layers=layers, units=units, ensemble=members)
    widths = resolve(chosen, inputs).widths
    assert all(width % members == 0 for width in widths)
    assert widths[0] - units < members


def test_thirty_layers_taper_in_eights() -> None:
    widths = tapered(512, 30, 200)
    assert widths == (512,) * 8 + (256,) * 8 + (128,) * 8 + (64,) * 6


@given(st.integers(1, 3000), st.integers(1, 60))
def test_a_tapered_network_never_widens_and_keeps_thirty_percent_of_the_inputs(
    inputs: int, layers: int
) -> None:
    widths = tapered(first_width(inputs), layers, inputs)
    assert list(widths) == sorted(widths, reverse=True)
    assert widths[-1] >= min(0.3 * inputs, widths[0])


def test_auto_tapers_only_networks_of_more_than_twenty_layers() -> None:
    assert len(set(resolve(Hyperparameters(layers=20), 200).widths)) == 1
    assert len(set(resolve(Hyperparameters(layers=21), 200).widths)) > 1


@pytest.mark.parametrize(
    ("options", "dropout"),
    [
        ({"ensemble": 1}, 0.3),
        ({"ensemble": 1, "l2": 1e-4}, 0.0),
        ({"ensemble": 1, "taper": True}, 0.0),
        ({"units": 64}, 0.0),
        ({"ensemble": 1, "dropout": 0.1}, 0.1),
        ({"ensemble": 8}, 0.0),
        ({"ensemble": 2}, 0.3),
    ],
)
def test_wide_untapered_networks_without_l2_get_dropout(options: Any, dropout: float) -> None:
    assert resolve(Hyperparameters(**options), 300).dropout == dropout


@pytest.mark.parametrize(
    ("knob", "value"),
    [
        ("activation", "relu"),
        ("optimizer", "adam"),
        ("learning_rate", 0.001),
        ("kernel_initializer", "glorot_uniform"),
    ],
)
def test_what_is_not_set_starts_where_the_rules_of_thumb_start(knob: str, value: object) -> None:
    assert getattr(Hyperparameters(), knob) == value
    assert resolve(Hyperparameters(), 100).batch_size in (32, 64)


@given(st.integers(1, 10_000), st.integers(1, 60), st.sampled_from(["auto", True, False]))
def test_auto_keeps_every_rule_whatever_the_inputs(inputs: int, layers: int, taper: Any) -> None:
    chosen = Hyperparameters(layers=layers, taper=taper)
    assert resolve(chosen, inputs).widths[-1] >= min(0.3 * inputs, MAX_WIDTH)
    assert broken_rules(chosen, inputs) == []


@pytest.mark.parametrize(
    ("options", "inputs", "words"),
    [
        ({"units": 64}, 300, "has 64 neurons, less than 30% of the 300 inputs"),
        ({"units": 64}, 213, None),
        ({"units": 16, "layers": 1}, 54, "has 16 neurons"),
        ({"units": 256, "dropout": 0.0}, 100, None),
        (
            {"units": 256, "dropout": 0.0, "ensemble": 1},
            100,
            "256 neurons.*neither l2 nor dropout",
        ),
        ({"units": 256, "dropout": 0.0, "l2": 1e-5, "ensemble": 1}, 100, None),
        ({"units": 256, "dropout": 0.3, "ensemble": 1}, 100, None),
        ({"units": 128, "dropout": 0.0, "ensemble": 1}, 100, None),
        ({"units": 256, "dropout": 0.0, "taper": True, "ensemble": 1}, 100, None),
    ],
)
def test_a_rule_that_given_values_break_is_named(
    options: Any, inputs: int, words: str | None
) -> None:
    broken = broken_rules(Hyperparameters(**options), inputs)
    assert len(broken) == (words is not None)
    assert words is None or re.search(words, broken[0])


@pytest.mark.parametrize(
    ("options", "epochs"),
    [
        ({}, 0.0),
        ({"schedule": "constant"}, 0.0),
        ({"schedule": "cosine", "epochs": 40}, 2.0),
        ({"schedule": "cosine", "warmup": 0}, 0.0),
        ({"warmup": 1.5}, 1.5),
    ],
)
def test_only_a_cosine_warms_up_unless_told_otherwise(options: Any, epochs: float) -> None:
    assert resolve(Hyperparameters(**options), 100).warmup == epochs


def test_every_knob_is_explained_with_its_default_and_what_it_allows() -> None:
    text = " ".join(explained().split())
    for field in dataclasses.fields(Hyperparameters):
        assert f"{field.name} = {json.dumps(field.default)}" in text
        assert field.metadata["help"] in text
    assert "(constant, cosine, plateau)" in text
    assert "(0 to 0.95)" in text


def test_given_numbers_are_left_as_they_are() -> None:
    resolved = resolve(Hyperparameters(layers=3, units=100, batch_size=32), 300)
    assert (resolved.widths, resolved.batch_size) == ((100, 100, 100), 32)
    assert resolve(Hyperparameters(), 300).batch_size == 64


@pytest.mark.parametrize(("levels", "width"), [(2, 2), (10, 6), (100, 21), (100_000, 50)])
def test_embeddings_grow_slowly_with_the_levels(levels: int, width: int) -> None:
    assert embedding_width(levels) == width


@pytest.mark.parametrize(("numbers", "bins"), [(1, 48), (10, 48), (11, 46), (33, 15), (500, 8)])
def test_more_numbers_get_fewer_bins_each(numbers: int, bins: int) -> None:
    assert bin_count(numbers) == bins


def test_every_metric_of_a_line_is_found_by_its_own_definition_only() -> None:
    numbers = {name: value for value, name in enumerate(METRICS, 1)}
    numbers |= {"val_loss": 0.431234, "learning_rate": 1e-7, "train_loss": 123456789.0}
    line = metric_line(3, numbers)
    assert line.startswith("[metric] epoch=3 train_loss=1.23457e+08 val_loss=0.431234 ")
    for definition in metric_definitions():
        found = re.findall(definition["Regex"], line)
        assert len(found) == 1
        assert float(found[0]) == pytest.approx(numbers[definition["Name"]], rel=1e-5)


def test_metric_definitions_stay_within_the_services_limits() -> None:
    definitions = metric_definitions()
    assert len(definitions) <= 40
    assert all(len(definition["Regex"]) <= 500 for definition in definitions)


def test_an_unknown_metric_is_refused() -> None:
    with pytest.raises(HyperparameterError, match="Did you mean 'val_auc'"):
        metric_line(1, {"val_aucc": 0.5})


def test_a_search_space_may_hold_only_what_the_knobs_allow() -> None:
    check_space({"learning_rate": Range(1e-4, 1e-2, "log"), "layers": Range(1, 3, integer=True)})
    check_space({"dropout": Choice((0.0, 0.2)), "activation": Choice(("relu", "prelu"))})
    for space, words in [
        ({"learning": Choice((1,))}, "no such hyperparameter"),
        ({"dropout": Range(0.0, 2.0)}, "2.0 is not between"),
        ({"activation": Choice(("relux",))}, "Did you mean 'relu'"),
        (
            {"layers": Range(1, 3)},
            "'layers': a range of whole numbers is needed. Add integer = true",
        ),
    ]:
        with pytest.raises(HyperparameterError, match=words):
            check_space(space)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((1.0, 1.0), "less than"),
        ((0.0, 1.0, "log"), "positive on a log scale"),
        ((1.5, 3.0, "linear", True), "whole numbers"),
    ],
)
def test_a_range_that_cannot_be_is_refused(arguments: Any, words: str) -> None:
    with pytest.raises(ProjectError, match=words):
        Range(*arguments)
    with pytest.raises(ProjectError, match="one value or more"):
        Choice(())
    with pytest.raises(ProjectError, match=r"0\.1 is listed twice"):
        Choice((0.1, 0.2, 0.1))


def test_json_of_a_value_is_what_the_service_carries() -> None:
    assert {name: json.loads(text) for name, text in encode(Hyperparameters()).items()}["seed"] == 0
