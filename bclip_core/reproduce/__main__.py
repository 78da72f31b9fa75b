"""`python -m bclip_core.reproduce`: run the collection."""

import sys

from bclip_core.reproduce.collection import main

sys.exit(main())
