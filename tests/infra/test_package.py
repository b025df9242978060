"""What travels has a digest of its content alone."""

from __future__ import annotations

import os
import shutil
import tarfile
from pathlib import Path

import pytest

from infra import package
from infra.channels import local_channel, local_files, remote_channel
from shared.errors import DataError
from tests.support.fake_cloud import FakeCloud


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    for name in (
        "shared/__init__.py",
        "training/train.py",
        "inference/server.py",
        "images/serve",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    (root / "training/requirements.txt").write_text("optuna==5.0.0\n")
    return root


def test_the_archive_holds_the_entry_its_requirements_and_two_folders(tree: Path) -> None:
    archive = package.write_archive(package.training_code(tree), tree / "sourcedir.tar.gz")
    with tarfile.open(archive) as opened:
        assert opened.getnames() == [
            "requirements.txt",
            "shared/__init__.py",
            "train.py",
            "training/requirements.txt",
            "training/train.py",
        ]
        entry = opened.extractfile("train.py")
        assert entry is not None
        assert len(entry.read().splitlines()) == 2


def test_caches_and_hidden_files_do_not_travel(tree: Path) -> None:
    before = package.training_code(tree)
    (tree / "training/__pycache__").mkdir()
    (tree / "training/__pycache__/train.pyc").write_bytes(b"x")
    (tree / "training/.train.py.swp").write_bytes(b"x")
    assert package.training_code(tree) == before


def test_times_and_owners_change_neither_bytes_nor_digest(tree: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(tree, tmp_path / "copy"))
    for path in copy.rglob("*.py"):
        os.utime(path, (1, 1))
        path.chmod(0o600)
    first, second = package.training_code(tree), package.training_code(copy)
    assert package.tree_digest(first) == package.tree_digest(second)
    archives = [
        package.write_archive(files, tmp_path / name)
        for name, files in (("1.tar.gz", first), ("2.tar.gz", second))
    ]
    assert archives[0].read_bytes() == archives[1].read_bytes()


def test_one_changed_byte_or_name_changes_the_digest(tree: Path) -> None:
    before = package.tree_digest(package.serving_code(tree))
    (tree / "inference/server.py").write_text("other")
    changed = package.tree_digest(package.serving_code(tree))
    (tree / "inference/server.py").rename(tree / "inference/serve.py")
    assert len({before, changed, package.tree_digest(package.serving_code(tree))}) == 3


def test_training_code_does_not_decide_about_serving(tree: Path) -> None:
    before = package.tree_digest(package.serving_code(tree))
    (tree / "training/train.py").write_text("other")
    assert package.tree_digest(package.serving_code(tree)) == before


def test_a_written_tree_replaces_the_one_before(tree: Path, tmp_path: Path) -> None:
    stale = tmp_path / "tree" / "stale.py"
    stale.parent.mkdir()
    stale.write_text("x")
    package.write_tree(package.serving_code(tree), tmp_path / "tree")
    assert not stale.exists()
    assert (tmp_path / "tree/inference/server.py").read_text() == "inference/server.py"


def test_the_real_archive_can_be_made() -> None:
    files = package.training_code()
    assert "training/train.py" in files
    assert not [name for name in files if "test" in name.split("/")[0]]


def test_a_channel_s_digest_is_of_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x\n1\n")
    (tmp_path / "b.csv").write_text("x\n2\n")
    files = local_files(str(tmp_path), tmp_path)
    assert [path.name for path in files] == ["a.csv", "b.csv"]
    first = local_channel("train", files).digest
    (tmp_path / "b.csv").write_text("x\n3\n")
    assert local_channel("train", files).digest != first


def test_two_files_of_one_name_cannot_be_one_channel(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "rows.csv").write_text("x\n1\n")
    with pytest.raises(DataError, match="same name"):
        local_channel("train", local_files("*/rows.csv", tmp_path))


def test_an_s3_location_stays_where_it_is_and_its_objects_make_the_digest() -> None:
    cloud = FakeCloud()
    cloud.objects = {"rows/a.csv": b"1"}
    first = remote_channel("train", "s3://bucket/rows/", cloud)
    assert (first.uri, first.files) == ("s3://bucket/rows/", ())
    cloud.objects["rows/b.csv"] = b"2"
    assert remote_channel("train", "s3://bucket/rows/", cloud).digest != first.digest


def test_an_empty_s3_location_is_told() -> None:
    with pytest.raises(DataError, match="nothing under"):
        remote_channel("train", "s3://bucket/rows/", FakeCloud())


@pytest.mark.parametrize("place", ["my [first] project", "größe; $x"])
def test_data_is_found_whatever_the_directories_are_called(tmp_path: Path, place: str) -> None:
    directory = tmp_path / place / "project"
    directory.mkdir(parents=True)
    (tmp_path / place / "rows [1].csv").write_text("x\n1\n")
    (tmp_path / place / "folder.parquet").mkdir()
    expected = (tmp_path / place / "rows [1].csv").resolve()
    for location in ("../*.csv", "../rows [1].csv", "..", str(tmp_path / "*" / "*.csv")):
        assert [one.resolve() for one in local_files(location, directory)] == [expected]


def test_a_home_that_nobody_has_is_a_file_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        local_files("~nobody-of-this-name/rows.csv", tmp_path)
