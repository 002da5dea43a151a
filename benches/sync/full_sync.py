"""Adds every VIP of a workload with vpp-papi, one call after the other, as scripts usually do.

usage: full_sync.py SOCKET API_DIRECTORY WORKLOAD

WORKLOAD is a JSON file with the table length, the weight and the application servers of each VIP.
Prints the seconds from before the first call until the last call has returned, without the time for
connecting, which includes parsing the API descriptions.
"""

import json
import pathlib
import sys
import time

from vpp_papi import VPPApiClient

TCP = 6
PORT = 80
GRE4 = 0
CLUSTER_IP = 0


def sync(api, workload):
    """Makes all calls. Exits at the first error."""
    table, weight = workload["table"], workload["weight"]
    for vip, servers in workload["vips"].items():
        vip_key = {"pfx": f"{vip}/32", "protocol": TCP, "port": PORT}
        reply = api.lb_add_del_vip_v2(
            **vip_key,
            encap=GRE4,
            dscp=0,
            type=CLUSTER_IP,
            target_port=0,
            node_port=0,
            new_flows_table_length=table,
            src_ip_sticky=False,
            is_del=False,
        )
        if reply.retval != 0:
            sys.exit(f"VIP {vip}: {reply}")
        for server in servers:
            reply = api.lb_add_del_as_v2(**vip_key, as_address=server, weight=weight, is_del=False, is_flush=True)
            if reply.retval != 0:
                sys.exit(f"{server} of VIP {vip}: {reply}")


def main():
    socket, directory, workload = sys.argv[1:]
    descriptions = sorted(str(path) for path in pathlib.Path(directory).glob("*.api.json"))
    workload = json.loads(pathlib.Path(workload).read_text())
    client = VPPApiClient(apifiles=descriptions, server_address=socket, read_timeout=30)
    client.connect("maglev-bench-papi")
    start = time.perf_counter()
    sync(client.api, workload)
    print(time.perf_counter() - start)
    client.disconnect()


if __name__ == "__main__":
    main()
