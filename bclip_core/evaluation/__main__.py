"""`python -m bclip_core.evaluation`: measure a checkpoint on a data set of photographs."""

import sys

from bclip_core.records.processes import ends_on_request

with ends_on_request():
    from bclip_core.evaluation.measure import main

    sys.exit(main())
