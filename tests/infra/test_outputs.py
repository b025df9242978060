"""What a job left is fetched with distrust: missing, damaged and hostile archives."""

from __future__ import annotations

import io
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from infra.outputs import fetch_bundle, fetch_report, known_metrics, scores
from shared import bundle, storage
from shared.errors import DeploymentError, KitError
from tests.support import bundles
from tests.support.fake_cloud import FakeCloud

URI = "s3://bucket/small/jobs/small-1/output/model.tar.gz"
OUTPUT = "small/jobs/small-1/output/output.tar.gz"


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> FakeCloud:
    """A cloud whose objects are downloaded from memory."""
    cloud = FakeCloud()
    cloud.client = lambda service: None  # type: ignore[method-assign]

    def download(location: str, path: Path, s3: Any) -> None:
        path.write_bytes(cloud.objects[storage.split(location)[1]])

    monkeypatch.setattr("shared.storage.download", download)
    return cloud


def archive(name: str, data: bytes, kind: bytes = tarfile.REGTYPE) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as opened:
        member = tarfile.TarInfo(name)
        member.size, member.type, member.linkname = len(data), kind, "/etc/hostname"
        opened.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def test_the_report_is_put_beside_the_other_files(cloud: FakeCloud, tmp_path: Path) -> None:
    cloud.objects[OUTPUT] = archive("./report.html", b"<html>")
    report = fetch_report(cloud, URI, tmp_path)
    assert report == tmp_path / "report.html"
    assert report.read_bytes() == b"<html>"


@pytest.mark.parametrize(
    "data",
    [
        archive("other.html", b"x"),
        archive("report.html", b"", tarfile.SYMTYPE),
        archive("report.html", b"x")[:60],
        b"not an archive",
    ],
    ids=["another file", "a link", "cut short", "no archive"],
)
def test_no_sound_report_means_no_report(cloud: FakeCloud, tmp_path: Path, data: bytes) -> None:
    cloud.objects[OUTPUT] = data
    assert fetch_report(cloud, URI, tmp_path) is None
    assert not list(tmp_path.iterdir())


def test_a_job_without_output_has_no_report(cloud: FakeCloud, tmp_path: Path) -> None:
    assert fetch_report(cloud, URI, tmp_path) is None


def test_a_bundle_that_is_gone_is_told(cloud: FakeCloud, tmp_path: Path) -> None:
    with pytest.raises(DeploymentError, match="left no bundle"):
        fetch_bundle(cloud, URI, tmp_path)


def test_a_bundle_that_cannot_be_trusted_is_refused(cloud: FakeCloud, tmp_path: Path) -> None:
    cloud.objects[storage.split(URI)[1]] = archive("../manifest.json", b"{}")
    with pytest.raises(KitError, match="not allowed"):
        fetch_bundle(cloud, URI, tmp_path / "build")
    assert not (tmp_path / "manifest.json").exists()


def test_scores_are_of_validation_test_and_baseline_in_this_order() -> None:
    metrics = {"baseline": {"auc": 0.5}, "test": {"auc": 0.71234}, "validation": {"auc": 0.7}}
    assert scores(metrics | {"train": {"auc": 1.0}}) == [
        ("validation", "auc 0.7000"),
        ("test", "auc 0.7123"),
        ("baseline", "auc 0.5000"),
    ]


def test_scores_have_one_order_and_errors_in_the_target_s_unit_five_digits() -> None:
    metrics = {"test": {"rmse": 12.3456789, "loss": 0.51234, "mae": 1.2345678}}
    assert scores(metrics) == [("test", "loss 0.5123   rmse 12.346   mae 1.2346")]


def test_scores_that_only_the_report_shows_are_left_out() -> None:
    assert scores({"test": {"brier": 0.1, "f1": 0.5}}) == [("test", "f1 0.5000")]


def test_the_metrics_of_a_bundle_are_those_of_its_job_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = bundle.load(bundles.build(tmp_path / "bundle"))
    metrics = {"test": {"auc": 0.7}}
    known = replace(made, manifest=replace(made.manifest, training_job="ours", metrics=metrics))
    monkeypatch.setattr(bundle, "load", lambda directory: known)
    assert known_metrics(tmp_path, "ours") == metrics
    assert known_metrics(tmp_path, "another") is None


def test_without_a_bundle_no_metrics_are_known(tmp_path: Path) -> None:
    assert known_metrics(tmp_path, "ours") is None
