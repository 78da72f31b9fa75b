"""`python -m bclip_core.reproduce`: run the collection."""

import sys

from bclip_core.records.processes import ends_on_request
from bclip_core.reproduce.collection import main

with ends_on_request():
    sys.exit(main())
