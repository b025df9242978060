from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from infra.local.environment import images
from tests.support.local_cloud import Bench

pytestmark = pytest.mark.slow

COMMANDS = {"serve": ["python", "program.py"]}


def digest(bench: Bench, repository: str, tag: str) -> str:
    ecr = bench.cloud.session().client("ecr")
    images = ecr.batch_get_image(repositoryName=repository, imageIds=[{"imageTag": tag}])["images"]
    return str(json.loads(images[0]["imageManifest"])["config"]["digest"])


def tree(place: Path, text: str) -> Path:
    (place / "__pycache__").mkdir(parents=True)
    (place / "__pycache__" / "program.pyc").write_text(str(place))
    (place / "program.py").write_text(text)
    return place


def test_an_image_is_there_once_it_was_pushed(bench: Bench, tmp_path: Path) -> None:
    assert bench.cloud.has_image("kit/serving", "v1") is False
    uri = bench.cloud.push_image("kit/serving", "v1", tree(tmp_path / "a", "1"), COMMANDS)
    assert uri == "123456789012.dkr.ecr.us-east-1.amazonaws.com/kit/serving:v1"
    assert bench.cloud.has_image("kit/serving", "v1") is True
    assert bench.cloud.has_image("kit/serving", "v2") is False


def test_equal_content_is_one_image_and_other_content_another(bench: Bench, tmp_path: Path) -> None:
    for name, text in (("a", "same"), ("b", "same"), ("c", "other")):
        bench.cloud.push_image("kit/content", name, tree(tmp_path / name, text), COMMANDS)
    found = [digest(bench, "kit/content", name) for name in "abc"]
    assert found[0] == found[1] != found[2]


def test_the_commands_are_part_of_an_image(bench: Bench, tmp_path: Path) -> None:
    place = tree(tmp_path / "a", "1")
    bench.cloud.push_image("kit/commands", "a", place, COMMANDS)
    bench.cloud.push_image("kit/commands", "b", place, {"train": ["python", "program.py"]})
    assert digest(bench, "kit/commands", "a") != digest(bench, "kit/commands", "b")


def test_a_tag_moves_to_what_was_pushed_last(bench: Bench, tmp_path: Path) -> None:
    for name in ("a", "b", "a-again"):
        place = tree(tmp_path / name, name[0])
        bench.cloud.push_image("kit/tags", "latest", place, COMMANDS)
        bench.cloud.push_image("kit/tags", name, place, COMMANDS)
    assert digest(bench, "kit/tags", "latest") == digest(bench, "kit/tags", "a")


def test_pushing_the_same_again_changes_nothing(bench: Bench, tmp_path: Path) -> None:
    place = tree(tmp_path / "a", "1")
    first = bench.cloud.push_image("kit/again", "v1", place, COMMANDS)
    assert bench.cloud.push_image("kit/again", "v1", place, COMMANDS) == first


def test_changing_the_tree_later_does_not_change_the_image(bench: Bench, tmp_path: Path) -> None:
    place = tree(tmp_path / "a", "1")
    bench.cloud.push_image("kit/copy", "v1", place, COMMANDS)
    (place / "program.py").write_text("2")
    stored = images(bench.cloud.root) / digest(bench, "kit/copy", "v1").removeprefix("sha256:")
    assert (stored / "tree" / "program.py").read_text() == "1"
    assert not (stored / "tree" / "__pycache__").exists()


def test_many_that_push_the_same_at_once_all_succeed(bench: Bench, tmp_path: Path) -> None:
    place = tree(tmp_path / "a", "pushed by many")
    bench.cloud.has_image("kit/crowd", "v1")  # whatever is loaded late is loaded now
    with ThreadPoolExecutor(8) as pool:
        pushes = [
            pool.submit(bench.cloud.push_image, "kit/crowd", "v1", place, COMMANDS)
            for _ in range(16)
        ]
        uris = {push.result() for push in pushes}
    assert len(uris) == 1
    assert bench.cloud.has_image("kit/crowd", "v1")
