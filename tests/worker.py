"""A worker of pytest-xdist, as a module: does what execnet's command line for a worker does.

Its first line of input is the source of all the rest, see `execnet.gateway_io`.
"""

import sys

if __name__ == "__main__":
    exec(eval(sys.stdin.readline()))
