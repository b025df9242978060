"""A bundle with a features.py: what it makes is served, and no row can harm the server."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from inference import codecs, handler
from inference.handler import Model
from inference.quality import Quality
from shared import bundle as bundle_format
from shared import files, golden
from shared.errors import BundleError, InputError, ProjectError
from tests.support import bundles, serving

FAILS = {**bundles.ROW, "carrier": "É7"}
OVERFLOWS = {**bundles.ROW, "distance": 1e300}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundles.build(tmp_path_factory.mktemp("bundle"), features=bundles.FEATURES)


@pytest.fixture(scope="module")
def model(bundle: Path) -> Model:
    return handler.model_fn(bundle)


def scores(model: Model, rows: list[Any]) -> list[float]:
    request = handler.input_fn(json.dumps(rows), codecs.JSON)
    body, _ = handler.output_fn(handler.predict_fn(request, model), codecs.JSON)
    return [one["score"] for one in json.loads(body)["predictions"]]


def test_what_it_makes_reaches_the_network(bundle: Path) -> None:
    loaded = bundle_format.load(bundle)
    assert loaded.manifest.files["features.py"] == files.sha256(bundle / "features.py")
    assert {"area", "area missing"} & set(loaded.transforms.numeric_names)
    columns = loaded.enrich(loaded.schema.from_records([bundles.ROW]))
    assert columns["area"].tolist() == [1400.5**2 + ord("U")]
    assert len(loaded.golden.records) == golden.ROWS


def test_a_golden_row_of_which_it_makes_no_number_is_left_out(tmp_path: Path) -> None:
    text = bundles.FEATURES.replace("np.nan if c is None", f"np.inf if c == {golden.UNKNOWN!r}")
    text = text.replace('float(c.encode("ascii")[0])', "len(c or '')")
    left = bundle_format.load(bundles.build(tmp_path / "bundle", features=text)).golden
    assert 20 < len(left.records) == len(left.outputs) < golden.ROWS
    unknown = [record for record in left.records if record["carrier"] == golden.UNKNOWN]
    assert {record["distance"] for record in unknown} <= {None}


def test_one_row_becomes_the_bits_that_it_becomes_among_many(bundle: Path) -> None:
    loaded = bundle_format.load(bundle)
    rows = bundles.rows(200)
    together = loaded.encode(loaded.schema.from_records(rows))
    for number, row in enumerate(rows):
        alone = loaded.encode(loaded.schema.from_records([row]))
        assert alone.numeric.tobytes() == together.numeric[number : number + 1].tobytes()
        assert alone.codes.tobytes() == together.codes[number : number + 1].tobytes()


def test_what_it_makes_is_counted_with_the_quality_of_the_data(model: Model) -> None:
    rows = [{**bundles.ROW, "distance": None}] * 8 + [{**bundles.ROW, "distance": 1e9}] * 2
    for some in (rows, *([row] for row in rows)):
        request = handler.input_fn(json.dumps(some), codecs.JSON)
        quality = Quality({})
        quality.count([(model, handler.predict_fn(request, model))])
        absent = sum(row["distance"] is None for row in some)
        assert quality.missing["area"] == absent
        assert quality.outside["area"] == len(some) - absent


def test_a_row_of_which_it_makes_no_number_is_refused_by_its_place_in_the_request(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handler, "CHUNK_ROWS", 16)
    with pytest.raises(InputError) as caught:
        scores(model, [*bundles.rows(40), OVERFLOWS])
    assert (caught.value.code, caught.value.status) == ("not_finite", 400)
    assert (caught.value.row, caught.value.column) == (40, "area")


def test_a_row_on_which_it_fails_is_named_with_the_line(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handler, "CHUNK_ROWS", 16)
    with pytest.raises(ProjectError) as caught:
        scores(model, [*bundles.rows(40), FAILS])
    assert str(caught.value).startswith("features.py, line 5, row 40: UnicodeEncodeError")


def test_a_changed_features_py_is_refused_before_it_runs(bundle: Path, tmp_path: Path) -> None:
    copy = bundles.copy(bundle, tmp_path / "copy")
    text = (copy / "features.py").read_text()
    (copy / "features.py").write_text(f"import sys\nsys.spoilt = 1\n{text}")
    with pytest.raises(BundleError, match="the file was changed"):
        handler.model_fn(copy)
    assert not hasattr(sys, "spoilt")


@pytest.mark.parametrize("spoilt", ["import os\n", "def ", "1 / 0\n"])
def test_a_features_py_that_is_not_one_is_no_bundle(
    spoilt: str, bundle: Path, tmp_path: Path
) -> None:
    copy = bundles.copy(bundle, tmp_path / "copy")
    (copy / "features.py").write_text(spoilt + bundles.FEATURES)
    resealed(copy)
    with pytest.raises(BundleError, match=r"features\.py, line 1"):
        handler.model_fn(copy)


def test_a_bundle_that_is_only_looked_at_runs_nothing(bundle: Path, tmp_path: Path) -> None:
    copy = bundles.copy(bundle, tmp_path / "copy")
    (copy / "features.py").write_text("1 / 0\n" + bundles.FEATURES)
    resealed(copy)
    assert bundle_format.load(copy).schema.made_columns == bundles.MADE


def test_a_bundle_without_the_features_py_that_its_schema_needs_is_refused(
    bundle: Path, tmp_path: Path
) -> None:
    copy = bundles.copy(bundle, tmp_path / "copy")
    (copy / "features.py").unlink()
    resealed(copy)
    with pytest.raises(BundleError, match="the schema says that it makes area, wet"):
        handler.model_fn(copy)


def test_one_that_answers_otherwise_than_in_training_fails_on_the_golden_rows(
    bundle: Path, tmp_path: Path
) -> None:
    copy = bundles.copy(bundle, tmp_path / "copy")
    (copy / "features.py").write_text(bundles.FEATURES.replace('["distance"]', '["seats"]'))
    resealed(copy)
    with pytest.raises(BundleError, match="column 'area'"):
        handler.model_fn(copy)


def resealed(directory: Path) -> None:
    """Give a bundle the digests of what it now holds, as someone who can write it could."""
    manifest = json.loads((directory / "manifest.json").read_text())
    names = [name for name in manifest["files"] if (directory / name).exists()]
    manifest["files"] = {name: files.sha256(directory / name) for name in names}
    sealed = bundle_format.Manifest(**{**manifest, "digest": ""}).sealed()
    text = bundle_format.documents.dumps(sealed, indent=1)
    (directory / "manifest.json").write_text(text)


@pytest.mark.slow
def test_the_server_answers_on_whatever_a_row_does_to_it(bundle: Path, tmp_path: Path) -> None:
    with serving.serve(bundle, tmp_path / "stderr") as server:
        failed = server.invoke({"instances": [bundles.ROW, FAILS]})
        assert failed.status == 500
        error = failed.json()["error"]
        assert error["code"] == "internal_error"
        assert "carrier" not in failed.body.decode()
        refused = server.invoke({"instances": [bundles.ROW, OVERFLOWS]})
        assert refused.status == 400
        assert (refused.json()["error"]["row"], refused.json()["error"]["column"]) == (1, "area")
        assert server.invoke({"instances": [bundles.ROW]}).status == 200
        [line] = [one for one in server.log() if one.get("request_id") == error["request_id"]]
    assert "features.py, line 5, row 1: UnicodeEncodeError" in json.dumps(line)


@pytest.mark.slow
def test_a_request_cannot_reach_a_module_beside_the_bundle(bundle: Path, tmp_path: Path) -> None:
    """The bundle's folder is no place to import from: features.py is read, never imported."""
    copy = Path(shutil.copytree(bundle, tmp_path / "copy"))
    handler.model_fn(copy)
    assert "features" not in sys.modules
    assert not any(Path(place) == copy for place in sys.path)
