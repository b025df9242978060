"""The steps of a plan in which the service searches: start a tuning job, keep its best bundle.

Which child will be the best is not known when the plan is made. So what it leaves is copied to a
place that the tuning job's name is enough to know, and all that follows is as it is for one job.
"""

from __future__ import annotations

from infra.observe import Observed, ObservedParent
from infra.steps import MARGIN_SECONDS, Action, Call, Step, Unchanged, Wait
from infra.tuning import OBJECTIVE, TuningJob
from shared.errors import DeploymentError


def tuning_steps(
    job: TuningJob, observed: Observed, steps: list[Step], same: list[Unchanged]
) -> int:
    """Add the steps of a tuning job, and return the attempt whose best model is to be served."""
    jobs = observed.jobs
    last = jobs[-1] if jobs else None
    attempt = len(jobs)
    patience = job.seconds + MARGIN_SECONDS

    def step(action: Action, name: str, reason: str, wait: Wait, call: Call | None = None) -> None:
        steps.append(Step("train", action, job.kind, name, reason, call, wait))

    if last and last.status == "Stopping":
        wait = Wait("tuning ended", last.name, MARGIN_SECONDS)
        step("attach", last.name, "is being stopped", wait)
    if last and last.status == "InProgress":
        step("attach", last.name, "is running", Wait("tuning", last.name, patience))
    elif last and last.status == "Completed" and (last.bundle or last.finished):
        reason = "code, data, problem and settings are the same"
        same.append(Unchanged(job.kind, last.name, reason))
    else:
        _refuse_parents(job, observed.parents)
        attempt += 1
        name = job.name(attempt)
        reason = "code, data, problem or settings are new"
        if last:
            state = "whose bundles are gone" if last.status == "Completed" else f"({last.status})"
            reason = f"follows {last.name} {state}"
        finished = [(one.name, one.finished) for one in jobs]
        call = Call(
            "sagemaker", "create_hyper_parameter_tuning_job", job.request(attempt, finished)
        )
        step("create", name, reason, Wait("tuning", name, patience), call)
    bucket, _, key = job.model_data(attempt).removeprefix("s3://").partition("/")
    if last and last.bundle:
        same.append(Unchanged("bundle", key, "the best trial's"))
    else:
        names = [job.name(number) for number in range(1, attempt + 1)]
        keep = Call("search", "keep_best", {"names": names, "bucket": bucket, "key": key})
        steps.append(Step("train", "create", "bundle", key, "the best trial's is kept here", keep))
    return attempt


def _refuse_parents(job: TuningJob, parents: tuple[ObservedParent, ...]) -> None:
    seen = {parent.name: parent for parent in parents}
    for name in job.parents:
        parent = seen.get(name, ObservedParent(name, None))
        wrong = _wrong_with(job, parent)
        if wrong:
            raise DeploymentError(
                wrong,
                where=f"tuning.warm_start: tuning job {name}",
                cure="Take it out of the list, or name another one.",
            )


def _wrong_with(job: TuningJob, parent: ObservedParent) -> str | None:
    """Why the service would refuse to begin with that tuning job."""
    if parent.status is None:
        return "does not exist"
    if parent.status not in ("Completed", "Stopped", "Failed"):
        return f"is {parent.status}, and has to end first"
    if parent.objective != ("Minimize", OBJECTIVE):
        return f"looked for another objective: {' '.join(parent.objective)}"
    ours = len(job.job.hyperparameters)
    if parent.hyperparameters != ours:
        return f"its trials have {parent.hyperparameters} hyperparameters, and ours have {ours}"
    return None
