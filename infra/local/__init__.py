"""The local cloud: S3, IAM, Logs and the like from moto, and SageMaker for real, on 127.0.0.1.

    ensure ─▶ daemon ─▶ server ─▶ app ─┬─▶ wire ─▶ jobs, models, endpoints, tags
     find                              ├─▶ neighbours       (what moto lacks)
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
fleets of model servers (`fleets`). All own their processes through `processes`, read images through
`images`, archives through `archives`, S3 through `buckets`, and ship what the processes say
through `logs`. `control` is what can be done here and not to AWS.

Nothing here is kept when the daemon ends, on purpose: the local cloud can be built again by one
command.
"""

from infra.local.door import LocalCloud, ensure, find, stop

__all__ = ["LocalCloud", "ensure", "find", "stop"]
