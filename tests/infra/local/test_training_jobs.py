from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from tests.support.local_cloud import BUCKET, ROLE, Bench, archive, is_gone, unpacked, until

pytestmark = pytest.mark.slow

FOREVER = """
    import signal, time
    print("here we go", flush=True)
    time.sleep(600)
"""


def code_of(error: pytest.ExceptionInfo[ClientError]) -> str:
    return str(error.value.response["Error"]["Code"])


def test_a_job_ends_as_completed_with_its_model_and_its_output_in_s3(bench: Bench) -> None:
    job = bench.run(
        """
        import os
        print("training")
        open(os.path.join(os.environ["SM_MODEL_DIR"], "weights"), "w").write("w")
        open(os.path.join(os.environ["SM_OUTPUT_DATA_DIR"], "report"), "w").write("r")
        """
    )
    name = job["TrainingJobName"]
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    model = job["ModelArtifacts"]["S3ModelArtifacts"]
    assert model == f"s3://{BUCKET}/jobs/{name}/output/model.tar.gz"
    assert unpacked(bench.get(model)) == {"weights": b"w"}
    assert unpacked(bench.get(model.replace("model.tar", "output.tar"))) == {"report": b"r"}


def test_a_job_goes_through_sagemakers_states_in_order(bench: Bench) -> None:
    job = bench.run("print('short')")
    states = [each["Status"] for each in job["SecondaryStatusTransitions"]]
    assert states == ["Starting", "Downloading", "Training", "Uploading", "Completed"]
    assert all(each["EndTime"] >= each["StartTime"] for each in job["SecondaryStatusTransitions"])
    assert job["CreationTime"] <= job["TrainingStartTime"] <= job["TrainingEndTime"]
    assert job["TrainingTimeInSeconds"] >= 1


def test_the_program_is_told_what_sagemakers_toolkit_tells_it(bench: Bench) -> None:
    uri = bench.put("told/train/part/a.csv", "1,2")
    job = bench.run(
        """
        import json, os, sys
        base = os.environ["SAGEMAKER_BASE_DIR"]
        files = {
            name: json.load(open(f"{base}/input/config/{name}.json"))
            for name in ("hyperparameters", "inputdataconfig", "resourceconfig")
        }
        told = {"argv": sys.argv, "environment": dict(os.environ), "files": files}
        told["cwd"] = os.getcwd()
        told["channel"] = [
            os.path.relpath(os.path.join(where, each), os.environ["SM_CHANNEL_TRAIN"])
            for where, _, names in os.walk(os.environ["SM_CHANNEL_TRAIN"]) for each in names
        ]
        json.dump(told, open(os.path.join(os.environ["SM_MODEL_DIR"], "told.json"), "w"))
        """,
        hyperparameters={"learning-rate": "0.1", "layers": "[1, 2]", "odd": "a b; $HOME"},
        Environment={"COLOUR": "green", "PLACE": "/opt/ml/input"},
        InputDataConfig=[channel("train", uri.removesuffix("/part/a.csv"))],
    )
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    model = unpacked(bench.get(job["ModelArtifacts"]["S3ModelArtifacts"]))
    told = json.loads(model["told.json"])
    arguments = ["--layers", "[1, 2]", "--learning-rate", "0.1", "--odd", "a b; $HOME"]
    assert told["argv"] == ["train.py", *arguments]
    assert told["channel"] == ["part/a.csv"]
    assert told["files"]["hyperparameters"]["learning-rate"] == "0.1"
    assert told["files"]["resourceconfig"]["hosts"] == ["localhost"]
    assert list(told["files"]["inputdataconfig"]) == ["train"]
    variables = told["environment"]
    base = Path(variables["SAGEMAKER_BASE_DIR"])
    assert told["cwd"] == str(base / "code")
    assert variables["PYTHONPATH"] == told["cwd"]
    assert variables["COLOUR"] == "green"
    assert variables["PLACE"] == str(base / "input")
    assert variables["SM_HP_LEARNING-RATE"] == "0.1"
    assert json.loads(variables["SM_HPS"])["layers"] == [1, 2]
    assert json.loads(variables["SM_CHANNELS"]) == ["train"]
    assert int(variables["SM_NUM_CPUS"]) == os.cpu_count()
    assert json.loads(variables["SM_USER_ARGS"]) == arguments
    assert variables["TRAINING_JOB_NAME"] == job["TrainingJobName"]
    assert variables["TRAINING_JOB_ARN"] == job["TrainingJobArn"]
    assert variables["AWS_ENDPOINT_URL"] == bench.cloud.url


def test_a_channel_can_be_one_object(bench: Bench) -> None:
    uri = bench.put("one/project.json", "{}")
    job = bench.run(
        "import os; assert os.listdir(os.environ['SM_CHANNEL_PROJECT']) == ['project.json']",
        InputDataConfig=[channel("project", uri)],
    )
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")


def test_the_failure_file_becomes_the_failure_reason(bench: Bench) -> None:
    job = bench.run(
        """
        import os, sys
        open(os.path.join(os.environ["SM_OUTPUT_DIR"], "failure"), "w").write("no such column")
        open(os.path.join(os.environ["SM_MODEL_DIR"], "half"), "w").write("made")
        open(os.path.join(os.environ["SM_OUTPUT_DATA_DIR"], "report"), "w").write("r")
        sys.exit(3)
        """
    )
    assert job["TrainingJobStatus"] == job["SecondaryStatus"] == "Failed"
    assert job["FailureReason"] == "AlgorithmError: no such column, exit code: 3"
    assert "ModelArtifacts" not in job
    assert bench.keys(f"jobs/{job['TrainingJobName']}/output/") == ["output.tar.gz"]


def test_without_a_failure_file_the_reason_tells_the_traceback(bench: Bench) -> None:
    job = bench.run("print('before')\nraise ValueError('seven is no probability')")
    assert job["FailureReason"].startswith("AlgorithmError: ExecuteUserScriptError:\nExitCode 1\n")
    assert "ValueError: seven is no probability" in job["FailureReason"]
    assert job["FailureReason"].endswith(", exit code: 1")


def test_a_failure_reason_of_any_length_keeps_the_exit_code(bench: Bench) -> None:
    job = bench.run(
        """
        import os, sys
        open(os.path.join(os.environ["SM_OUTPUT_DIR"], "failure"), "w").write("x" * 5000)
        sys.exit(7)
        """
    )
    assert len(job["FailureReason"]) == 1024
    assert job["FailureReason"].endswith("x, exit code: 7")


def test_what_a_program_prints_reaches_its_log_stream(bench: Bench) -> None:
    job = bench.run(
        """
        import sys
        print("to stdout")
        print("", flush=True)
        print("to stderr", file=sys.stderr, flush=True)
        print("é" * 3)
        """
    )
    assert bench.job_lines(job["TrainingJobName"]) == ["to stdout", "to stderr", "ééé"]
    streams = bench.logs.describe_log_streams(
        logGroupName="/aws/sagemaker/TrainingJobs",
        logStreamNamePrefix=f"{job['TrainingJobName']}/algo-1-",
    )
    assert len(streams["logStreams"]) == 1


def test_lines_are_in_the_log_while_the_program_runs(bench: Bench) -> None:
    name = bench.start(FOREVER)
    until(lambda: bench.job(name)["SecondaryStatus"], lambda state: state == "Training")
    until(lambda: bench.job_lines(name), lambda lines: lines == ["here we go"])
    bench.sagemaker.stop_training_job(TrainingJobName=name)
    bench.ended(name)


def test_metrics_are_found_in_the_log_by_their_expressions(bench: Bench) -> None:
    request = bench.job_request(
        """
        for epoch, loss in enumerate([0.5, 0.25]):
            print(f"[metric] epoch={epoch} val_loss={loss} val_auc=nan")
        """
    )
    request["AlgorithmSpecification"]["MetricDefinitions"] = [
        {"Name": "val_loss", "Regex": r"val_loss=([0-9.]+)"},
        {"Name": "val_auc", "Regex": r"val_auc=(\S+)"},
    ]
    bench.sagemaker.create_training_job(**request)
    job = bench.ended(request["TrainingJobName"])
    found = {each["MetricName"]: each["Value"] for each in job["FinalMetricDataList"]}
    assert found == {"val_loss": 0.25}
    metrics = (
        bench.cloud.session()
        .client("cloudwatch")
        .list_metrics(Namespace="/aws/sagemaker/TrainingJobs", MetricName="val_loss")["Metrics"]
    )
    assert [{"Name": "TrainingJobName", "Value": request["TrainingJobName"]}] in [
        each["Dimensions"] for each in metrics
    ]


def test_a_stopped_job_gets_sigterm_and_keeps_what_it_made(bench: Bench) -> None:
    name = bench.start(
        """
        import os, signal, sys, time
        def end(*_):
            open(os.path.join(os.environ["SM_MODEL_DIR"], "weights"), "w").write("so far")
            sys.exit(0)
        signal.signal(signal.SIGTERM, end)
        print("ready", flush=True)
        time.sleep(600)
        """
    )
    until(lambda: bench.job_lines(name), lambda lines: lines == ["ready"])
    bench.sagemaker.stop_training_job(TrainingJobName=name)
    job = bench.ended(name)
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "Stopped")
    states = [each["Status"] for each in job["SecondaryStatusTransitions"]]
    assert states == ["Starting", "Downloading", "Training", "Stopping", "Stopped"]
    model = unpacked(bench.get(job["ModelArtifacts"]["S3ModelArtifacts"]))
    assert model == {"weights": b"so far"}


def test_a_program_that_ignores_sigterm_is_killed_after_the_grace_period(bench: Bench) -> None:
    name = bench.start(
        """
        import os, signal, time
        signal.signal(signal.SIGTERM, lambda *_: print("never mind", flush=True))
        print(os.getpid(), flush=True)
        while True:
            time.sleep(1)
        """
    )
    lines = until(lambda: bench.job_lines(name), bool)
    bench.sagemaker.stop_training_job(TrainingJobName=name)
    assert bench.ended(name)["TrainingJobStatus"] == "Stopped"
    assert bench.job_lines(name)[1:] == ["never mind"]
    until(lambda: is_gone(int(lines[0])), bool)


def test_a_job_is_ended_at_its_maximum_run_time(bench: Bench) -> None:
    job = bench.run(FOREVER, StoppingCondition={"MaxRuntimeInSeconds": 1})
    assert job["TrainingJobStatus"] == "Stopped"
    assert job["SecondaryStatus"] == "MaxRuntimeExceeded"
    assert job["ModelArtifacts"]["S3ModelArtifacts"]


def test_checkpoints_reach_s3_while_the_program_runs_and_deletions_do_too(bench: Bench) -> None:
    where = bench.name("checkpoints")
    name = bench.start(
        """
        import os, time
        place = os.path.join(os.environ["SAGEMAKER_BASE_DIR"], "checkpoints")
        open(os.path.join(place, "first"), "w").write("1")
        os.makedirs(os.path.join(place, "deep"))
        open(os.path.join(place, "deep", "second"), "w").write("2")
        print("written", flush=True)
        while not os.path.exists(os.path.join(place, "go")): time.sleep(0.05)
        """,
        CheckpointConfig={"S3Uri": f"s3://{BUCKET}/{where}/"},
    )
    until(lambda: bench.keys(f"{where}/"), lambda keys: keys == ["deep/second", "first"])
    place = bench.cloud.root / "work" / "jobs" / name / "algo-1/opt/ml/checkpoints"
    (place / "first").unlink()
    until(lambda: bench.keys(f"{where}/"), lambda keys: keys == ["deep/second"])
    (place / "deep" / "second").write_text("changed")
    (place / "go").touch()
    assert bench.ended(name)["TrainingJobStatus"] == "Completed"
    assert bench.keys(f"{where}/") == ["deep/second", "go"]
    assert bench.get(f"s3://{BUCKET}/{where}/deep/second") == b"changed"


def test_a_second_job_goes_on_from_the_checkpoints_of_the_first(bench: Bench) -> None:
    count = """
        import os
        place = os.path.join(os.environ["SAGEMAKER_BASE_DIR"], "checkpoints", "count")
        seen = int(open(place).read()) if os.path.exists(place) else 0
        open(place, "w").write(str(seen + 1))
        print("seen", seen)
        """
    config = {"S3Uri": f"s3://{BUCKET}/{bench.name('resume')}"}
    first = bench.run(count, CheckpointConfig=config)
    second = bench.run(count, CheckpointConfig={**config, "LocalPath": "/opt/ml/checkpoints"})
    assert bench.job_lines(first["TrainingJobName"]) == ["seen 0"]
    assert bench.job_lines(second["TrainingJobName"]) == ["seen 1"]


def test_the_same_model_directory_becomes_the_same_bytes(bench: Bench) -> None:
    program = """
        import os, time
        for name in ("b", "a"):
            open(os.path.join(os.environ["SM_MODEL_DIR"], name), "w").write(name * 1000)
        """
    first, second = (bench.run(program)["ModelArtifacts"]["S3ModelArtifacts"] for _ in range(2))
    assert bench.get(first) == bench.get(second)


def test_output_can_stay_uncompressed(bench: Bench) -> None:
    job = bench.run(
        "import os; open(os.path.join(os.environ['SM_MODEL_DIR'], 'weights'), 'w').write('w')",
        OutputDataConfig={"S3OutputPath": f"s3://{BUCKET}/flat", "CompressionType": "NONE"},
    )
    place = f"s3://{BUCKET}/flat/{job['TrainingJobName']}/output/model/"
    assert job["ModelArtifacts"]["S3ModelArtifacts"] == place
    assert bench.get(f"{place}weights") == b"w"


def test_an_image_of_ones_own_runs_its_train_command(bench: Bench) -> None:
    uri = bench.image("import os; print(sorted(os.listdir('.')), os.environ['SM_HPS'])", "train")
    request = bench.job_request("", hyperparameters={"a": "1"})
    request["AlgorithmSpecification"]["TrainingImage"] = uri
    bench.sagemaker.create_training_job(**request)
    job = bench.ended(request["TrainingJobName"])
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    assert bench.job_lines(job["TrainingJobName"]) == ["""['program.py'] {"a": 1}"""]


def test_a_container_entrypoint_runs_with_its_paths_moved(bench: Bench) -> None:
    driver = bench.put("drivers/start.sh", "cat /opt/ml/input/data/sm_drivers/words\n")
    bench.put("drivers/words", "spoken\n")
    request = bench.job_request(
        "", InputDataConfig=[channel("sm_drivers", driver.removesuffix("/start.sh"))]
    )
    request["AlgorithmSpecification"] |= {
        "ContainerEntrypoint": ["/bin/bash"],
        "ContainerArguments": ["-c", "bash /opt/ml/input/data/sm_drivers/start.sh"],
    }
    bench.sagemaker.create_training_job(**request)
    job = bench.ended(request["TrainingJobName"])
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    assert bench.job_lines(job["TrainingJobName"]) == ["spoken"]


def test_requirements_that_this_interpreter_lacks_are_named_in_the_log(bench: Bench) -> None:
    source = archive(
        {"train.py": "", "requirements.txt": "boto3\nno-such-thing==1.0\nnumpy==0.1  # old\n"}
    )
    job = bench.run(
        "",
        hyperparameters={"sagemaker_submit_directory": bench.put("requirements.tar.gz", source)},
    )
    remarks = bench.job_lines(job["TrainingJobName"])
    assert len(remarks) == 2
    assert "no-such-thing, which is not installed" in remarks[0]
    assert "numpy==0.1" in remarks[1]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"InputDataConfig": [{"uri": f"s3://{BUCKET}/nothing/here"}]},
            f'No S3 objects found under S3 URL "s3://{BUCKET}/nothing/here"',
        ),
        (
            {"hyperparameters": {"sagemaker_submit_directory": f"s3://{BUCKET}/none.tar.gz"}},
            "none.tar.gz does not exist",
        ),
        (
            {"OutputDataConfig": {"S3OutputPath": "s3://no-such-bucket-anywhere/jobs"}},
            "Artifact upload failed",
        ),
        ({"image": "123456789012.dkr.ecr.us-east-1.amazonaws.com/none:1"}, "not found"),
        ({"CheckpointConfig": {"S3Uri": "s3://no-such-bucket-anywhere/c"}}, "Checkpoint download"),
    ],
)
def test_what_is_not_there_fails_the_job_with_a_reason(
    bench: Bench, changes: dict[str, object], reason: str
) -> None:
    image = changes.pop("image", None)
    for each in changes.get("InputDataConfig", []):  # type: ignore[attr-defined]
        each |= channel("train", each.pop("uri"))
    request = bench.job_request("print('never')", **changes)
    if image:
        request["AlgorithmSpecification"]["TrainingImage"] = image
    bench.sagemaker.create_training_job(**request)
    job = bench.ended(request["TrainingJobName"])
    assert job["TrainingJobStatus"] == "Failed"
    assert reason in job["FailureReason"]


def test_an_archive_that_leaves_its_directory_is_refused(bench: Bench) -> None:
    uri = bench.put("evil.tar.gz", archive({"../evil.py": "print('out')"}))
    job = bench.run("", hyperparameters={"sagemaker_submit_directory": uri})
    assert job["TrainingJobStatus"] == "Failed"
    assert "the name '../evil.py' is not allowed" in job["FailureReason"]


def test_two_jobs_cannot_have_one_name(bench: Bench) -> None:
    request = bench.job_request("print('one')")
    bench.sagemaker.create_training_job(**request)
    with pytest.raises(bench.sagemaker.exceptions.ResourceInUse, match="must be unique"):
        bench.sagemaker.create_training_job(**request)
    bench.ended(request["TrainingJobName"])


def test_a_job_that_does_not_exist_is_not_found(bench: Bench) -> None:
    for operation in ("describe_training_job", "stop_training_job", "delete_training_job"):
        with pytest.raises(ClientError, match=r"Requested resource not found\.") as error:
            getattr(bench.sagemaker, operation)(TrainingJobName="nobody")
        assert code_of(error) == "ValidationException"


def test_an_ended_job_cannot_be_stopped_but_deleted(bench: Bench) -> None:
    name = bench.run("print('done')")["TrainingJobName"]
    with pytest.raises(ClientError, match="the training job is in status Completed"):
        bench.sagemaker.stop_training_job(TrainingJobName=name)
    bench.sagemaker.delete_training_job(TrainingJobName=name)
    with pytest.raises(ClientError, match="not found"):
        bench.job(name)


def test_jobs_are_listed_in_pages_by_name_and_status(bench: Bench) -> None:
    prefix = bench.name("listed")
    for number in range(3):
        request = bench.job_request("print('done')", TrainingJobName=f"{prefix}-{number}")
        bench.sagemaker.create_training_job(**request)
        bench.ended(request["TrainingJobName"])
    pages = bench.sagemaker.get_paginator("list_training_jobs").paginate(
        NameContains=prefix,
        StatusEquals="Completed",
        SortBy="Name",
        SortOrder="Ascending",
        PaginationConfig={"PageSize": 2},
    )
    names = [[job["TrainingJobName"] for job in page["TrainingJobSummaries"]] for page in pages]
    assert names == [[f"{prefix}-0", f"{prefix}-1"], [f"{prefix}-2"]]
    failed = bench.sagemaker.list_training_jobs(NameContains=prefix, StatusEquals="Failed")
    assert failed["TrainingJobSummaries"] == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"TrainingJobName": "under_score"},
            "Value 'under_score' at 'trainingJobName' failed to satisfy constraint: "
            "Member must satisfy regular expression pattern",
        ),
        ({"RoleArn": "not-an-arn-but-long-enough"}, "at 'roleArn' failed to satisfy constraint"),
        (
            {
                "ResourceConfig": {
                    "InstanceType": "ml.huge",
                    "InstanceCount": 1,
                    "VolumeSizeInGB": 1,
                }
            },
            "Value 'ml.huge' at 'resourceConfig.instanceType' failed to satisfy constraint: "
            "Member must satisfy enum value set: [",
        ),
        (
            {"ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 21}},
            "other than 1 to 20 instances",
        ),
        ({"StoppingCondition": {"MaxWaitTimeInSeconds": 9}}, "EnableManagedSpotTraining"),
        ({"EnableManagedSpotTraining": True}, "Invalid MaxWaitTimeInSeconds"),
        (
            {"CheckpointConfig": {"S3Uri": "s3://b/c", "LocalPath": "/tmp/elsewhere"}},
            "LocalPath outside /opt/ml",
        ),
    ],
)
def test_a_wrong_request_is_refused_in_awss_words(
    bench: Bench, changes: dict[str, object], message: str
) -> None:
    request = bench.job_request("print('never')", **changes)
    with pytest.raises(ClientError) as error:
        bench.sagemaker.create_training_job(**request)
    assert code_of(error) == "ValidationException"
    assert message in str(error.value)


def test_a_metric_expression_that_is_none_is_refused(bench: Bench) -> None:
    request = bench.job_request("print('never')")
    request["AlgorithmSpecification"]["MetricDefinitions"] = [{"Name": "loss", "Regex": "loss=("}]
    with pytest.raises(ClientError, match="Invalid regex for metric definition loss"):
        bench.sagemaker.create_training_job(**request)


def test_a_job_takes_its_tags_along(bench: Bench) -> None:
    request = bench.job_request("print('x')", Tags=[{"Key": "project", "Value": "flights"}])
    arn = bench.sagemaker.create_training_job(**request)["TrainingJobArn"]
    bench.sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "stage", "Value": "a b"}])
    bench.sagemaker.delete_tags(ResourceArn=arn, TagKeys=["project"])
    assert bench.sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "stage", "Value": "a b"}]
    bench.ended(request["TrainingJobName"])
    with pytest.raises(ClientError, match="Could not find resource"):
        bench.sagemaker.list_tags(ResourceArn=f"{arn}-not")


def test_nothing_of_a_job_is_left_on_the_disk(bench: Bench) -> None:
    job = bench.run("print('tidy')")
    place = bench.cloud.root / "work" / "jobs" / job["TrainingJobName"]
    until(place.exists, lambda there: not there)


def test_the_clients_role_is_kept_as_it_was_given(bench: Bench) -> None:
    assert bench.run("print('x')")["RoleArn"] == ROLE


def test_an_isolated_job_has_its_code_from_a_channel_and_nothing_that_opens_s3(
    bench: Bench,
) -> None:
    program = """
        import os
        print("opens:", sorted(name for name in os.environ if name.startswith("AWS_")))
        import boto3
        try:
            boto3.client("s3").list_buckets()
        except Exception as error:
            print("S3:", type(error).__name__)
    """
    request = bench.job_request(program)
    source = request["HyperParameters"]["sagemaker_submit_directory"]
    inside = "/opt/ml/input/data/code/sourcedir.tar.gz"
    request["HyperParameters"]["sagemaker_submit_directory"] = inside
    bench.sagemaker.create_training_job(
        **request
        | {
            "InputDataConfig": [channel("code", source.removesuffix("sourcedir.tar.gz"))],
            "EnableNetworkIsolation": True,
            "VpcConfig": {"SecurityGroupIds": ["sg-0a"], "Subnets": ["subnet-0b"]},
        }
    )
    job = bench.ended(request["TrainingJobName"])
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    said = "\n".join(bench.job_lines(job["TrainingJobName"]))
    assert "S3: NoCredentialsError" in said
    assert "AWS_ACCESS_KEY_ID" not in said
    assert "[local cloud] VpcConfig has no effect here" in said
    assert "[local cloud] EnableNetworkIsolation: the program has no credentials" in said


def channel(name: str, uri: str) -> dict[str, object]:
    source = {"S3DataType": "S3Prefix", "S3Uri": uri, "S3DataDistributionType": "FullyReplicated"}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}}


def test_a_job_that_cannot_be_launched_leaves_the_checkpoints_in_s3_alone(bench: Bench) -> None:
    where = bench.name("kept")
    bench.put(f"{where}/best", "weights")
    job = bench.run(
        "",
        hyperparameters={"sagemaker_submit_directory": f"s3://{BUCKET}/none.tar.gz"},
        CheckpointConfig={"S3Uri": f"s3://{BUCKET}/{where}"},
    )
    assert job["TrainingJobStatus"] == "Failed"
    bench.run("import time; time.sleep(1.5)")  # longer than a synchronisation takes to come by
    assert bench.keys(f"{where}/") == ["best"]


def test_a_log_group_that_somebody_deletes_does_not_end_the_job(bench: Bench) -> None:
    name = bench.start(
        """
        import time
        for number in range(15):
            print("line", number, flush=True)
            time.sleep(0.1)
        """
    )
    until(lambda: bench.job_lines(name), bool)
    bench.logs.delete_log_group(logGroupName="/aws/sagemaker/TrainingJobs")
    assert bench.ended(name)["TrainingJobStatus"] == "Completed"


def test_python_on_the_path_is_the_one_that_runs_jobs(bench: Bench) -> None:
    job = bench.run("import shutil, sys; print(shutil.which('python'), sys.executable)")
    found, running = bench.job_lines(job["TrainingJobName"])[0].split()
    assert Path(found).parent == Path(running).parent
