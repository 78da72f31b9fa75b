"""`python -m bclip_core.reproduce`: run the collection."""

import sys

from bclip_core.records.processes import ends_on_request

with ends_on_request():  # which the imports of what runs notebooks are part of: they take seconds
    from bclip_core.reproduce.collection import main

    sys.exit(main())
