"""What the container's environment may say, and what is answered when it says nonsense."""

from __future__ import annotations

from pathlib import Path

import pytest

from inference import environment, limits
from shared.errors import KitError


def test_an_empty_environment_gives_the_names_and_places_of_sagemaker_hosting() -> None:
    settings = environment.read({})
    assert settings.model_dir == Path("/opt/ml/model")
    assert (settings.address, settings.port) == ("0.0.0.0", 8080)
    assert settings.workers >= 1


def test_variables_that_are_set_win() -> None:
    settings = environment.read(
        {
            "SM_MODEL_DIR": "/elsewhere",
            "SERVER_ADDRESS": "127.0.0.1",
            "SAGEMAKER_BIND_TO_PORT": "9000",
            "MODEL_SERVER_WORKERS": "3",
        }
    )
    assert settings.model_dir == Path("/elsewhere")
    assert (settings.address, settings.port, settings.workers) == ("127.0.0.1", 9000, 3)


def test_an_empty_variable_counts_as_one_that_is_not_set() -> None:
    assert environment.read({"SAGEMAKER_BIND_TO_PORT": " "}).port == 8080


@pytest.mark.parametrize("text", ["http", "0", "70000", "-1", "8080.0", "٣", "9" * 5000])
def test_a_port_that_is_none_is_refused_by_the_name_of_its_variable(text: str) -> None:
    with pytest.raises(KitError) as refused:
        environment.read({"SAGEMAKER_BIND_TO_PORT": text})
    assert refused.value.where == "SAGEMAKER_BIND_TO_PORT"


def test_no_workers_at_all_are_refused() -> None:
    with pytest.raises(KitError, match="between 1 and 256"):
        environment.read({"MODEL_SERVER_WORKERS": "0"})


def test_a_transform_job_that_sets_no_bounds_gets_those_of_the_server() -> None:
    job = {"SAGEMAKER_BATCH": "true", "MODEL_SERVER_WORKERS": "3"}
    unbounded = {"SAGEMAKER_MAX_PAYLOAD_IN_MB": "0", "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": "0"}
    assert environment.read(job | unbounded) == environment.read(job)
    assert environment.read(job | unbounded).body_bytes == 104_857_600
    assert environment.read({}).rows == limits.ROWS < environment.read(job).rows


def test_tensorflow_serving_is_where_its_image_says_or_its_absence_is_told() -> None:
    told = {"TFS_REST_PORTS": "8501,8503", "TFS_DEFAULT_MODEL_NAME": "model"}
    uri = environment.tensorflow_serving(told)
    assert uri == "http://localhost:8501/v1/models/model:predict"
    with pytest.raises(KitError, match="TFS_REST_PORTS"):
        environment.tensorflow_serving({})
