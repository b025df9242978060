"""Approval, from the first deployment to a rejection, typed against a real local cloud.

Training is a program that hands out a ready bundle; everything else is what is deployed for real.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from infra import local
from tests.support import projects
from tests.support.quick_training import Place, ready

pytestmark = pytest.mark.slow

TOML = (
    projects.TOML.split("[sources")[0]
    + "[training]\nhyperparameters = { epochs = 1 }\n[tuning]\ntrials = 0\n"
    + "[deploy]\nrequire_approval = true\n"
)


def test_what_is_approved_serves_and_what_is_rejected_later_leaves_it_serving(
    tmp_path: Path,
) -> None:
    with ready(tmp_path):
        place = Place(tmp_path, TOML)

        def said(*words: str) -> str:
            came = place.run(*words)
            assert came.code == 0, came.err
            return came.out

        told = said("deploy")
        assert "Version 1 is registered and has to be approved before it serves" in told
        assert f"make approve PROJECT={place.project} VERSION=1" in told
        assert "endpoint" not in [line.split()[0] for line in told.splitlines() if line.split()]
        assert "Version 1 of small is approved, by" in said("approve", "--version", "1")
        assert "small is InService and verified" in said("deploy")

        file = place.project / "project.toml"
        file.write_text(TOML.replace("epochs = 1", "epochs = 2"))
        assert "Version 2 is registered and has to be approved" in said("deploy")
        running = local.find(tmp_path / "cloud")
        assert running
        client = running.session().client("sagemaker")
        newest = client.list_model_packages(ModelPackageGroupName="small", SortOrder="Descending")
        client.update_model_package(
            ModelPackageArn=newest["ModelPackageSummaryList"][0]["ModelPackageArn"],
            ModelApprovalStatus="Rejected",
        )
        asked = "The project asks for version 2, which was rejected"
        assert f"{asked}: version 1, which is approved, serves." in said("plan")
        told = said("deploy")
        assert f"{asked}: version 1, which is approved, serves." in told
        assert "No changes: small is InService and verified" in told
        assert f"make approve PROJECT={place.project} VERSION=2" in told
        assert "version 1 Approved (serves)" in said("status")
        assert '"label"' in said("invoke")
