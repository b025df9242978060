"""A job finds its own checkpoints; of others' it says why it does not use them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from shared.errors import CheckpointError
from shared.hyperparameters import Hyperparameters
from tests.support import jobs
from training import identity
from training.checkpoints import Checkpoints
from training.identity import Identity

LIBRARIES = {"keras": "3.15.1", "numpy": "2.4.6"}


def job(**changes: Any) -> Identity:
    parts: dict[str, Any] = {
        "problem": jobs.problem(),
        "hyperparameters": Hyperparameters(),
        "libraries": LIBRARIES,
        "rows": "0123456789abcdef",
    }
    return identity.identify(**{**parts, **changes})


def told(location: Path, *announced: Identity) -> list[str]:
    """The warnings of jobs that begin one after the other."""
    warnings: list[str] = []
    for each in announced:
        identity.announce(str(location), each, warnings.append)
    return warnings


def test_equal_jobs_have_one_identity_and_any_other_another() -> None:
    others = [
        job(),
        job(problem=jobs.problem("regression")),
        job(hyperparameters=Hyperparameters(seed=1)),
        job(libraries={**LIBRARIES, "keras": "3.16.0"}),
        job(rows="f" * 16),
        job(parent="another bundle"),
    ]
    assert job().digest == job().digest
    assert len({each.digest for each in others}) == len(others)


def test_code_decides_bits_and_so_the_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    before = job().digest
    monkeypatch.setattr(identity, "_code", lambda: "another")
    assert job().digest != before


def test_the_first_job_and_its_restart_are_told_nothing(tmp_path: Path) -> None:
    assert told(tmp_path, job(), job()) == []


OTHERS = {
    "a column of another kind": (
        {
            "problem": jobs.problem(
                columns=(
                    jobs.COLUMNS[0],
                    dataclasses.replace(jobs.COLUMNS[1], kind="category"),
                    *jobs.COLUMNS[2:],
                )
            )
        },
        "problem.columns.age.kind was 'category' and is 'numeric'",
    ),
    "a column less": (
        {"problem": jobs.problem(columns=(*jobs.COLUMNS[:1], *jobs.COLUMNS[2:]))},
        "problem.columns.age was not there and is {'name': 'age'",
    ),
    "another setting": (
        {"hyperparameters": Hyperparameters(learning_rate=0.5)},
        "hyperparameters.learning_rate was 0.5 and is 0.001",
    ),
    "another library": (
        {"libraries": {**LIBRARIES, "keras": "3.14.0"}},
        "libraries.keras was '3.14.0' and is '3.15.1'",
    ),
    "other rows": ({"rows": "f" * 16}, "the rows are others"),
}


@pytest.mark.parametrize("other", OTHERS)
def test_a_job_that_differs_is_told_in_what_with_both_values(tmp_path: Path, other: str) -> None:
    changes, words = OTHERS[other]
    warnings = told(tmp_path, job(**changes), job())
    assert len(warnings) == 1
    assert f"{tmp_path} holds checkpoints of 1 other job, which differs: {words}" in warnings[0]
    assert warnings[0].endswith("They are not used; this job starts from its beginning")


def test_another_version_of_the_code_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(identity, "_code", lambda: "another")
        patch.setattr(identity, "FORMAT", 1)
        older = job()
    text = told(tmp_path, older, job())[0]
    assert "format was 1 and is 2; the code in training/ and shared/ is another" in text


def test_of_several_jobs_the_nearest_is_compared_and_little_is_listed(tmp_path: Path) -> None:
    far = job(hyperparameters=Hyperparameters(seed=1, epochs=3, dropout=0.5, l2=0.1, l1=0.1))
    near = job(rows="f" * 16)
    text = told(tmp_path, far, near, job())[1]
    assert "2 other jobs, the nearest of which differs: the rows are others." in text
    assert ", and 2 more. They are not used" in told(tmp_path / "elsewhere", far, job())[0]


def test_columns_in_another_order_are_another_job(tmp_path: Path) -> None:
    text = told(tmp_path, job(problem=jobs.problem(columns=jobs.COLUMNS[::-1])), job())[0]
    assert "in the order of their parts" in text


def test_a_jobs_own_damaged_description_is_written_anew(tmp_path: Path) -> None:
    told(tmp_path, job())
    place = tmp_path / job().digest / "job.json"
    place.write_bytes(place.read_bytes()[:-9])
    assert len(told(tmp_path, job())) == 1
    assert told(tmp_path, job()) == []


def test_a_location_that_cannot_be_written_is_told_at_the_beginning(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").write_text("a file")
    with pytest.raises(CheckpointError, match=r"job\.json could not be written"):
        told(tmp_path / "checkpoints", job())


def test_a_host_that_only_reads_leaves_no_description(tmp_path: Path) -> None:
    identity.announce(str(tmp_path), job(), print, writes=False)
    assert Checkpoints(str(tmp_path), job().digest, print).read_document("job") is None
