"""How large the offline bundle is, proved by an installation with the network cut off and two notebooks run there.

python benchmarks/bundle.py
python benchmarks/bundle.py --bundle build/bundle/NAME.zip     # one that is there
"""

import argparse
import subprocess
import sys
from pathlib import Path

from _record import FOLDER, NO_DATA, record

sys.path.insert(0, str(FOLDER.parent / "tools"))
import make_bundle
import try_bundle


def main() -> int:
    """Make the bundle, prove it, record its size; nothing is recorded for a bundle that fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, help="a zip that is there (default: make one)")
    bundle = parser.parse_args().bundle
    if bundle is None:
        maker = [sys.executable, str(Path(make_bundle.__file__))]
        if subprocess.run(maker, check=False).returncode != 0:
            print("This benchmark fetches wheels, so it needs a network and a clone: or give a bundle with --bundle.")
            return NO_DATA
    packed = (bundle or try_bundle.newest_bundle()).resolve()
    try:
        proof = try_bundle.prove(packed, try_bundle.NOTEBOOKS)
    except try_bundle.TrialError as error:
        print(f"The bundle fails: {error}")
        return 1
    record(
        "bundle.mb",
        make_bundle.size_mb(packed),
        unit="MB",
        asked="< 700",
        data="the zip: course, wheels (CPU), encoder; installed with no network, notebooks 01 and 04 run there",
        command="python benchmarks/bundle.py",
        **proof,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
