"""Run every benchmark that needs no GPU, one after the other; one that needs real data says so when it has none.

make bench
"""

import argparse
import subprocess
import sys
from pathlib import Path

from _record import NO_DATA

FOLDER = Path(__file__).resolve().parent


def main() -> int:
    """Run the files; the exit status is that of the worst."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="files to run (default: all), such as import_time.py")
    options = parser.parse_args()
    scripts = [p for p in sorted(FOLDER.glob("[!_]*.py")) if p.name != Path(__file__).name]
    worst = 0
    for script in scripts:
        if options.names and script.name not in options.names:
            continue
        print(f"== {script.name}", flush=True)
        code = subprocess.run([sys.executable, str(script)], check=False).returncode
        worst = max(worst, 0 if code == NO_DATA else code)
    return worst


if __name__ == "__main__":
    sys.exit(main())
