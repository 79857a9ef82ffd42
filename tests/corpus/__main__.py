"""`python -m tests.corpus`."""

import sys

from .measure import main

sys.exit(main())
