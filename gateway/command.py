"""The first step of the command `sundbro`: what it imports takes half a second, and Ctrl-C must work in it already.

Nothing else is here; the command is `gateway.cli`.
"""

from __future__ import annotations

import signal


def main() -> None:
    """Run the command. Until it can take care of Ctrl-C itself, Ctrl-C ends the process without a word."""
    told = signal.signal(signal.SIGINT, signal.SIG_DFL)
    from gateway import cli  # noqa: PLC0415  this is the half second

    signal.signal(signal.SIGINT, told)
    cli.main()


if __name__ == "__main__":
    main()
