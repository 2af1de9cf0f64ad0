"""`python -m tcfs.cli`: the command line where no script is installed."""

import sys

from tcfs.cli import main

sys.exit(main())
