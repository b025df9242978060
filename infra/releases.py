"""What came of rolling out a version, noted in the project's record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

from infra.failures import explain
from infra.plan import Plan
from infra.record import Outcome, Record, RecordStore, Release


def note(
    store: RecordStore,
    plan: Plan,
    command: str,
    outcome: Outcome = "live",
    metrics: Mapping[str, Mapping[str, float]] | None = None,
) -> Record:
    """Have the version that a plan rolls out in the record; what stands there then.

    A version that is live already, and stays so, is no new release.

    Args:
        store: the project's.
        plan: that was executed.
        command: as typed.
        outcome: of its last step.
        metrics: of the bundle's manifest, by split.

    Raises:
        DeploymentError: S3 refuses.
    """
    serving = plan.serving
    registered = plan.version.arn if plan.version else None
    release = Release(
        config=serving.config.name,
        model=serving.model.name,
        job=plan.job,
        data=serving.model.data,
        image=serving.model.image,
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        outcome=outcome,
        caused_by=command,
        package=registered,
        scores=tuple((metrics or {}).get("test", {}).items()),
    )

    def edit(record: Record) -> Record:
        known = outcome == "live" and record.live and record.live.config == release.config
        if known:
            return record
        # The plan did not know it yet: its last step but one made it.
        made = record.of("model package")[-1:] if registered is None else ()
        return record.released(replace(release, package=made[0]) if made else release)

    try:
        return store.change(edit)
    except Exception as error:
        raise explain(error, f"Recording the release of {serving.endpoint.name}") from error


def note_failure(store: RecordStore, plan: Plan, command: str, *, wrong: bool) -> None:
    """Note that the version did not come to serve, where a plan would have made it so.

    Args:
        store: the project's.
        plan: that was executed.
        command: as typed.
        wrong: whether it was taken back because of its answers.
    """
    changes = [step for step in plan.of("endpoint") if step.kind == "endpoint" and step.undo]
    if not changes:
        return
    undo = changes[-1].undo
    updated = undo is not None and undo.operation == "update_endpoint"
    note(store, plan, command, "rolled back" if updated and not wrong else "withdrawn")
