"""What all tests need of the process that they run in."""

from __future__ import annotations

import signal

# A shell that starts the suite in the background has it ignore Ctrl-C; so would every program that
# a test starts, and then interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
