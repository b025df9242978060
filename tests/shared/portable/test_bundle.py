"""A bundle is whole and unchanged, or it is refused."""

from __future__ import annotations

import gzip
import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared import bundle, files
from shared.bundle import Bundle
from shared.errors import BundleError, StorageError
from shared.transforms import Encoded
from tests.shared import bundles


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return bundles.write(tmp_path_factory.mktemp("written"))


@pytest.fixture
def copy(written: Bundle, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written.path, tmp_path / "bundle"))


def names(directory: Path) -> set[str]:
    return {p.relative_to(directory).as_posix() for p in directory.rglob("*") if p.is_file()}


def test_a_bundle_loaded_is_the_one_written(written: Bundle) -> None:
    loaded = bundle.load(written.path)
    assert loaded.manifest == written.manifest
    assert (loaded.schema, loaded.transforms) == (bundles.SCHEMA, bundles.fitted()[0])
    assert [table.source for table in loaded.sources] == [bundles.SOURCE]
    assert names(written.path) == {"manifest.json", *loaded.manifest.files}
    assert set(loaded.manifest.files) == {
        "schema.json",
        "transforms.json",
        "sources.json",
        "sources/weather.npz",
        "golden.json",
        "openapi.json",
        "model.onnx",
        "model.keras",
        "code/inference.py",
    }


def test_the_same_content_has_the_same_digest_and_any_other_another(
    written: Bundle, tmp_path: Path
) -> None:
    assert bundles.write(tmp_path / "same").manifest.digest == written.manifest.digest
    assert bundles.write(tmp_path / "other", parent="x").manifest.digest != written.manifest.digest


def test_a_bundle_may_be_written_over_an_older_one(written: Bundle, tmp_path: Path) -> None:
    bundles.write(tmp_path, parent="x")
    assert bundles.write(tmp_path).manifest == written.manifest


def test_what_a_killed_writer_left_does_not_spoil_the_next_bundle(
    written: Bundle, tmp_path: Path
) -> None:
    for place in ("bundle", "bundle/sources"):
        (tmp_path / place).mkdir()
        (tmp_path / place / f"{files.TEMPORARY}x1y2").write_bytes(b"half a file")
    assert bundles.write(tmp_path).manifest == written.manifest
    assert names(tmp_path / "bundle") == names(written.path)


def test_without_its_manifest_a_bundle_is_refused_so_a_torn_write_is_too(copy: Path) -> None:
    (copy / "manifest.json").unlink()
    with pytest.raises(BundleError, match=r"manifest.json: the file is missing"):
        bundle.load(copy)


def test_every_missing_file_is_refused_by_name(written: Bundle, copy: Path) -> None:
    for name in written.manifest.files:
        content = (copy / name).read_bytes()
        (copy / name).unlink()
        with pytest.raises(BundleError, match="the file is missing") as caught:
            bundle.load(copy)
        assert name in str(caught.value)
        (copy / name).write_bytes(content)
    assert bundle.load(copy).manifest == written.manifest


@pytest.mark.parametrize(
    "name",
    [
        "extra.txt",
        "code/extra.py",
        "code/__pycache__/extra.py",
        "code/extra.pyc",
        "code/__pycache__/extra.pyc.new",
        "__pycache__/extra.pyc",
        "1/saved_model.pb",
    ],
)
def test_an_extra_file_is_refused_by_name(copy: Path, name: str) -> None:
    (copy / name).parent.mkdir(exist_ok=True)
    (copy / name).write_text("x")
    with pytest.raises(BundleError, match="the manifest does not know this file") as caught:
        bundle.load(copy)
    assert name in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        ".mms",
        ".hidden/deep/file",
        "code/.DS_Store",
        "code/__pycache__/inference.pyc",
        "code/shared/__pycache__/bundle.cpython-311.pyc.140417535444288",
    ],
)
def test_what_a_platform_leaves_beside_the_files_is_not_even_opened(
    written: Bundle, copy: Path, name: str
) -> None:
    (copy / name).parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(copy / name)
    assert bundle.load(copy).manifest == written.manifest


@pytest.mark.parametrize("name", ["manifest.json", "golden.json", "code", "extra"])
def test_a_pipe_is_refused_unopened_wherever_it_is(copy: Path, name: str) -> None:
    if (copy / name).is_dir():
        shutil.rmtree(copy / name)
    (copy / name).unlink(missing_ok=True)
    os.mkfifo(copy / name)
    with pytest.raises(BundleError, match=f"{name}: neither a plain file nor a folder"):
        bundle.load(copy)


@pytest.mark.parametrize(
    "make", [os.symlink, lambda _, path: os.mkfifo(path)], ids=["link", "pipe"]
)
def test_a_link_or_a_pipe_in_a_bundle_is_refused(
    copy: Path, make: Callable[[Path, Path], None]
) -> None:
    (copy / "model.onnx").unlink()
    make(copy / "model.keras", copy / "model.onnx")
    with pytest.raises(BundleError, match="neither a plain file nor a folder"):
        bundle.load(copy)


@settings(max_examples=200)
@given(data=st.data())
def test_a_flipped_bit_anywhere_is_refused(written: Bundle, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(["manifest.json", *written.manifest.files]))
    content = (written.path / name).read_bytes()
    place = data.draw(st.integers(0, len(content) - 1))
    changed = bytearray(content)
    changed[place] ^= 1 << data.draw(st.integers(0, 7))
    (written.path / name).write_bytes(changed)
    try:
        with pytest.raises(BundleError):
            bundle.load(written.path)
    finally:
        (written.path / name).write_bytes(content)


def test_a_truncated_file_is_refused(copy: Path) -> None:
    path = copy / "model.onnx"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BundleError, match="its digest differs"):
        bundle.load(copy)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": 2}', "not JSON"])
def test_another_manifest_is_refused(copy: Path, text: str) -> None:
    (copy / "manifest.json").write_text(text)
    with pytest.raises(BundleError, match=r"manifest\.json"):
        bundle.load(copy)


def reseal(directory: Path, name: str, text: str) -> None:
    """Change a file as someone would who also mends the manifest."""
    (directory / name).write_text(text)
    document = json.loads((directory / "manifest.json").read_text())
    document["files"][name] = files.sha256(directory / name)
    manifest = bundle.Manifest(**document).sealed()
    (directory / "manifest.json").write_text(bundle.documents.dumps(manifest, indent=1))


@pytest.mark.parametrize("name", ["schema.json", "transforms.json", "sources.json", "golden.json"])
@pytest.mark.parametrize("text", ["{}", "[1]", "null", '{"features": {}, "target": {}}', "x"])
def test_nonsense_with_the_right_digest_is_refused_by_name(
    copy: Path, name: str, text: str
) -> None:
    reseal(copy, name, text)
    with pytest.raises(BundleError, match=name):
        bundle.load(copy)


def test_golden_rows_are_replayed(written: Bundle) -> None:
    written.verify(bundles.network)


def test_an_output_that_differs_is_refused_with_its_row(written: Bundle) -> None:
    def other(encoded: Encoded) -> np.ndarray:
        outputs = bundles.network(encoded)
        outputs[7] += 2e-5
        return outputs

    with pytest.raises(BundleError, match=r"golden.json, row 7, output 0: the network gives"):
        written.verify(other)


def test_outputs_may_differ_in_the_sixth_digit(written: Bundle) -> None:
    written.verify(lambda encoded: bundles.network(encoded) + np.float32(5e-6))


def test_an_encoding_that_differs_is_refused_with_row_and_column(copy: Path) -> None:
    document = json.loads((copy / "transforms.json").read_text())
    document["features"]["scalings"][0]["centre"] += 1e-3
    reseal(copy, "transforms.json", json.dumps(document))
    with pytest.raises(BundleError, match=r"golden.json, row 0, column 'distance': encoded as"):
        bundle.load(copy).verify(bundles.network)


def test_a_model_is_needed(tmp_path: Path, written: Bundle) -> None:
    with pytest.raises(BundleError, match=r"model\.onnx is not given"):
        bundle.write(
            tmp_path,
            project="p",
            schema=written.schema,
            transforms=written.transforms,
            target_transform=written.target_transform,
            sources=[],
            golden=written.golden,
            model_files={},
            hyperparameters={},
            metrics={},
            libraries={},
        )


def test_a_packed_bundle_unpacks_to_the_same(written: Bundle, tmp_path: Path) -> None:
    bundle.pack(written.path, tmp_path / "model.tar.gz")
    loaded = bundle.extract(tmp_path / "model.tar.gz", tmp_path / "there")
    assert loaded.manifest == written.manifest
    assert loaded.path == tmp_path / "there"
    loaded.verify(bundles.network)


def test_packing_twice_gives_the_same_bytes(written: Bundle, copy: Path, tmp_path: Path) -> None:
    for path in copy.rglob("*"):
        os.utime(path, (1, 1))
    bundle.pack(written.path, tmp_path / "one")
    bundle.pack(copy, tmp_path / "two")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_what_is_no_bundle_is_not_packed(copy: Path, tmp_path: Path) -> None:
    (copy / "extra").write_text("x")
    with pytest.raises(BundleError):
        bundle.pack(copy, tmp_path / "model.tar.gz")
    assert not (tmp_path / "model.tar.gz").exists()


Change = Callable[[tarfile.TarInfo], None]


def archive(
    path: Path, source: Path, *entries: tuple[tarfile.TarInfo, bytes], prefix: str = ""
) -> Path:
    """A .tar.gz of a directory as tar makes it, with further entries."""
    with tarfile.open(path, "w:gz") as tar:
        tar.add(source, arcname=prefix or ".")
        for entry, content in entries:
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return path


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type = kind
    made.linkname = link
    return made


def refused(path: Path, tmp_path: Path, words: str, **limits: int) -> None:
    """Refused, and nothing is left behind, inside or outside."""
    there = tmp_path / "sub" / "there"
    with pytest.raises(BundleError, match=words):
        bundle.extract(path, there, **limits)
    assert not there.exists()
    assert list((tmp_path / "sub").iterdir()) == []
    assert not (tmp_path / "evil").exists()


def test_an_archive_made_by_tar_is_unpacked(written: Bundle, tmp_path: Path) -> None:
    path = archive(tmp_path / "a", written.path)
    assert bundle.extract(path, tmp_path / "there").manifest == written.manifest


@pytest.mark.parametrize(
    "evil",
    [
        entry("../evil"),
        entry("code/../../evil"),
        entry("/tmp/evil"),
        entry("code//evil"),
        entry("a\\..\\evil"),
        entry("c:evil"),
        entry("evil\n"),
    ],
    ids=lambda made: repr(made.name),
)
def test_a_name_that_leads_elsewhere_is_refused(
    written: Bundle, tmp_path: Path, evil: tarfile.TarInfo
) -> None:
    path = archive(tmp_path / "a", written.path, (evil, b"x"))
    refused(path, tmp_path, "is not allowed")


@pytest.mark.parametrize(
    "evil",
    [
        entry("evil", tarfile.SYMTYPE, "/etc/passwd"),
        entry("evil", tarfile.LNKTYPE, "manifest.json"),
        entry("evil", tarfile.FIFOTYPE),
        entry("evil", tarfile.CHRTYPE),
        entry("evil", tarfile.BLKTYPE),
        entry("evil", tarfile.CONTTYPE),
    ],
    ids=["symlink", "hard link", "pipe", "character device", "block device", "contiguous"],
)
def test_anything_but_files_and_folders_is_refused(
    written: Bundle, tmp_path: Path, evil: tarfile.TarInfo
) -> None:
    path = archive(tmp_path / "a", written.path, (evil, b""))
    refused(path, tmp_path, "neither a plain file nor a folder")


def test_a_name_twice_is_refused(written: Bundle, tmp_path: Path) -> None:
    path = archive(tmp_path / "a", written.path, (entry("manifest.json"), b"{}"))
    refused(path, tmp_path, "is there twice")


def test_an_extra_file_in_an_archive_is_refused(written: Bundle, tmp_path: Path) -> None:
    path = archive(tmp_path / "a", written.path, (entry("code/extra.py"), b"evil"))
    refused(path, tmp_path, "the manifest does not know this file")


@pytest.mark.parametrize("name", ["code/.hidden.py", "code/__pycache__/inference.pyc", ".mms"])
def test_in_an_archive_nothing_may_lie_beside_the_files(
    written: Bundle, tmp_path: Path, name: str
) -> None:
    path = archive(tmp_path / "a", written.path, (entry(name), b"evil"))
    refused(path, tmp_path, f"the manifest does not know {name!r}")


def test_too_many_bytes_are_refused(written: Bundle, tmp_path: Path) -> None:
    path = archive(tmp_path / "a", written.path, (entry("zeros"), bytes(3_000_000)))
    refused(path, tmp_path, "too many bytes", max_bytes=1_000_000)


def test_too_many_files_are_refused(written: Bundle, tmp_path: Path) -> None:
    refused(archive(tmp_path / "a", written.path), tmp_path, "one file too many", max_files=5)


def test_a_header_that_claims_to_be_huge_is_refused_unread(tmp_path: Path) -> None:
    header = entry("././@LongLink", tarfile.GNUTYPE_LONGNAME)
    header.size = 5 << 30
    with gzip.open(tmp_path / "a", "wb") as file:
        file.write(header.tobuf(tarfile.GNU_FORMAT))
        file.write(bytes(1 << 20))
    refused(tmp_path / "a", tmp_path, "too large|not a sound")


def damaged() -> Iterator[bytes]:
    whole = gzip.compress(bytes(10240), mtime=0)
    yield from (b"", b"not gzip", whole[:-9], whole[:20], gzip.compress(b"x" * 600, mtime=0))


@pytest.mark.parametrize("content", list(damaged()))
def test_a_damaged_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a").write_bytes(content)
    refused(tmp_path / "a", tmp_path, "not a sound|the file is missing")


@settings(max_examples=60)
@given(data=st.data())
def test_a_flipped_bit_in_an_archive_is_refused_or_harmless(
    written: Bundle, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("flipped")
    bundle.pack(written.path, folder / "a")
    content = bytearray((folder / "a").read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    (folder / "a").write_bytes(content)
    try:
        assert bundle.extract(folder / "a", folder / "there").manifest == written.manifest
    except BundleError:
        assert not (folder / "there").exists()


def test_a_directory_in_use_is_not_touched(written: Bundle, tmp_path: Path) -> None:
    bundle.pack(written.path, tmp_path / "a")
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "mine").write_text("x")
    with pytest.raises(BundleError, match="the directory is not empty"):
        bundle.extract(tmp_path / "a", tmp_path / "there")


def test_an_archive_that_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="there is no such file"):
        bundle.extract(tmp_path / "a", tmp_path / "there")
