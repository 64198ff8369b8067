"""`meditopia` and `python -m meditopia`: starts the command that the wheel has inside.

This process becomes the command, so signals, exit status and process number are the command's own.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

COMMAND = Path(__file__).with_name("bin") / "meditopia"


def main() -> None:
    if not COMMAND.exists():
        sys.exit(
            f"{COMMAND} is not there: this package was built without the command. Install the wheel of a release, "
            "or the command itself (the Debian package `meditopia`, or the archive for Linux)."
        )
    os.execv(COMMAND, ["meditopia", *sys.argv[1:]])


if __name__ == "__main__":
    main()
