"""Prints every counter of a stats segment as JSON, read by the independent client vpp-papi.

usage: stats.py SOCKET
"""

import json
import sys

from vpp_papi.vpp_stats import VPPStats


def main():
    client = VPPStats(sys.argv[1])
    client.connect()
    names = client.ls([".*"])
    # `default=list` converts the client's list classes, which json does not support.
    print(json.dumps(client.dump(names), default=list))
    client.disconnect()


if __name__ == "__main__":
    main()
