"""Whether a page answers with 2xx: the health check of containers, which have no curl."""

import sys
from urllib.request import urlopen

try:
    with urlopen(sys.argv[1], timeout=4):
        pass
except OSError as error:
    sys.exit(f"{sys.argv[1]}: {error}")
