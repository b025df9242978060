"""The local cloud: S3, IAM, Logs and the like from moto, and SageMaker for real, on 127.0.0.1.

    ensure ─▶ daemon ─▶ server ─▶ app ─┬─▶ wire ─▶ jobs, models, endpoints, tags
     find                              ├─▶ application_autoscaling
                                       ├─▶ neighbours       (what moto lacks)
     stop                              └─▶ moto             (everything else)

`door` is what the rest of the kit sees, and all that is exported here: a daemon is started once,
found again by its record, and stopped. `daemon` is the process itself; `server` speaks HTTP;
`app` tells by a request's signature which service it is for; `wire` reads, validates and answers
SageMaker's two protocols.

`training_jobs` accepts jobs (`training_checks` refuses, `training_state` describes) and `runs`
takes one from Starting to its end. What one instance does is in `hosts`: `launch` says how its
program is started, `checkpoints` keeps its checkpoint directory and S3 the same. `tuning_jobs`
accepts tuning jobs (`tuning_checks` refuses, `tunings` describes) and `tuning_runs` launches their
training jobs: `searches` proposes what they try, `stopping` ends some early. `endpoints` runs
fleets of model servers (`fleets`). `transform_jobs` accepts transform jobs (`transform_checks`
refuses, `transform_state` describes) and `transform_runs` runs them on servers of their own
(`transform_servers`): `records` cuts files into requests and puts the answers together, by way of
`json_paths`.

`runtime` reads requests for endpoints. Those of asynchronous ones wait in `backlogs`, which
`async_inference` works off (`async_notices` tells of it); `serverless` starts servers as requests
come; `modes` and `mode_checks` say what each kind of endpoint refuses. `application_autoscaling`
keeps `scalable_targets` (`scaling_checks` refuses) and makes their `tracking_alarms`; `scaler` does
what `scaling_rules` and `schedules` say. `model_packages` is the registry.

All own their processes through `processes`, read images through `images`, archives through
`archives`, S3 through `buckets`, and ship what the processes say through `logs`. `control` is what
can be done here and not to AWS.

Nothing here is kept when the daemon ends, on purpose: the local cloud can be built again by one
command.
"""

from infra.local.door import LocalCloud, ensure, find, stop

__all__ = ["LocalCloud", "ensure", "find", "stop"]
