"""100,000 spoilt requests to a real server, good ones between; 1,000 spoilt bundles: `make fuzz`.

    python -m tests.fuzz --requests 100000 --bundles 1000 --seed 1

A failure is told with the seed, the number of the request and its bytes, which are also written to
build/fuzz; `--only NUMBER` sends that one alone.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz import tampering
from tests.fuzz.campaign import Campaign, Failure, failed_lines
from tests.support import bundles, serving

KEPT = serving.ROOT / "build" / "fuzz"
WORKERS = 2


def say(text: str) -> None:
    print(text, flush=True)


def requests(count: int, seed: int, only: int | None) -> bool:
    """Send them; whether all went well."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        bundle = bundles.build(Path(folder) / "bundle", "multiclass")
        log = Path(folder) / "stderr"
        with serving.serve(bundle, log, workers=WORKERS) as server:
            campaign = Campaign(server, seed, count)
            try:
                if only is not None:
                    say(repr(campaign.plan(only)))
                    campaign.send(only)
                else:
                    campaign.run(say)
            except Failure as failure:
                KEPT.mkdir(parents=True, exist_ok=True)
                place = KEPT / f"{seed}-{failure.number}.bin"
                place.write_bytes(failure.data)
                say(f"FAILED at request {failure.number} of seed {seed}: {failure}"[:3000])
                say(f"its {len(failure.data)} bytes are in {place}: {failure.data[:1000]!r}")
                for line in failed_lines(server)[:3]:
                    say(str(line))
                if failure.data:
                    say(f"again: python -m tests.fuzz --seed {seed} --only {failure.number}")
                return False
    for answer, number in sorted(campaign.statuses.items()):
        say(f"  {answer:20} {number:>9,}")
    seconds = time.monotonic() - began
    say(
        f"{campaign.done:,} spoilt requests in {seconds:.0f} s, seed {seed}: no 5xx but 503, no "
        f"worker died, none grew; {campaign.checked:,} good ones between were answered the same"
    )
    return True


def main() -> int:
    """The program."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--requests", type=int, default=100_000, help="how many (100,000)")
    parser.add_argument("--bundles", type=int, default=1000, help="how many (1,000)")
    parser.add_argument("--seed", type=int, help="of all of them (a new one each time)")
    parser.add_argument("--only", type=int, help="this one request alone")
    given = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if given.seed is None else given.seed
    say(f"seed {seed}: python -m tests.fuzz --requests {given.requests} --seed {seed}")
    passed = True
    if given.only is None and given.bundles:
        passed = tampering.run(given.bundles, seed, say)
    if given.requests or given.only is not None:
        passed = requests(given.requests, seed, given.only) and passed
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
