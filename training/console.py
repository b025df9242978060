"""What a training job prints: for people, for metric definitions, for whoever shows progress.

One plain line each: `[stage]`, `[trial]`, `[metric]`, `[warning]`, and `[result]` last.
"""

from __future__ import annotations


def say(kind: str | None, text: str) -> None:
    """Print one plain line at once."""
    print(f"[{kind}] {text}" if kind else text, flush=True)


def warn(text: str) -> None:
    """Print a warning; the job goes on."""
    say("warning", text)
