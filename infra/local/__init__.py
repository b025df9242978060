"""The local cloud: S3, IAM, Logs and the like from moto, and SageMaker for real, on 127.0.0.1.

    ensure ─▶ daemon ─▶ server ─▶ app ─┬─▶ wire ─▶ training_jobs, models, endpoints, tags
     find                              ├─▶ neighbours       (what moto lacks)
     stop                              └─▶ moto             (everything else)

`door` is what the rest of the kit sees, and all that is exported here: a daemon is started once,
found again by its record, and stopped. `daemon` is the process itself; `server` speaks HTTP;
`app` tells by a request's signature which service it is for; `wire` reads, validates and answers
SageMaker's two protocols. `training_jobs` runs jobs (`launch` says how a job's program is
started, `checkpoints` keeps its checkpoint directory and S3 the same) and `endpoints` runs fleets
of model servers (`fleets`). Both own their processes through `processes`, read images through
`images`, archives through `archives`, S3 through `buckets`, and ship what the processes say
through `logs`.

Nothing here is kept when the daemon ends, on purpose: the local cloud can be built again by one
command.
"""

from infra.local.door import LocalCloud, ensure, find, stop

__all__ = ["LocalCloud", "ensure", "find", "stop"]
