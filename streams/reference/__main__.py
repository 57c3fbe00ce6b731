"""`python -m streams.reference [DIRECTORY]`: write every page."""

import sys
from pathlib import Path

from streams.reference import REFERENCE, build

build(Path(sys.argv[1]) if len(sys.argv) > 1 else REFERENCE)
