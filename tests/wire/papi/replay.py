"""Repeats the calls of a recording with the independent client vpp-papi.

usage: replay.py SOCKET API_DIRECTORY RECORDING

Each call is made with the recorded arguments; the reply must equal the reply of the recorded VPP, except for values
that differ between VPP processes. Prints each difference and, at the end, the numbers of calls and of differences.
"""

import ipaddress
import json
import pathlib
import sys

from vpp_papi import VPPApiClient, vpp_format

# Fields that depend on the clock or the process, not on behavior.
VOLATILE = {"context", "client_index", "in_use_since", "vpe_pid"}
# Replies of which only these fields are compared: paths of a route depend on the machine's interfaces.
COMPARED = {"ip_route_lookup_v2": {"retval"}}


def prefix(value):
    """A prefix as text. Released VPPs include 96 bits in the length of an IPv4 prefix, which the client refuses."""
    raw = value.address.un.ip6 if value.address.af else value.address.un.ip4
    return f"{ipaddress.ip_address(raw)}/{value.len}"


vpp_format.conversion_unpacker_table["vl_api_address_with_prefix_t"] = prefix


def arguments(recorded):
    """Recorded arguments in the client's types."""
    swap = recorded.get("encap_sent_little_endian", False)
    converted = {name: argument(value) for name, value in recorded.items() if name != "encap_sent_little_endian"}
    if swap:
        converted["encap"] = int.from_bytes(converted["encap"].to_bytes(4, "little"), "big")
    return converted


def argument(value):
    """A recorded argument in the type of the client."""
    if isinstance(value, dict) and set(value) == {"address", "len"}:
        return {"address": ipaddress.ip_address(value["address"]), "len": value["len"]}
    return value


def rows(reply, call):
    """A reply as plain values: one row, or one for each entry of a dump, in any order."""
    entries = reply if isinstance(reply, list) else [reply]
    only = COMPARED.get(call)
    compared = [
        {key: value for key, value in entry.items() if key not in VOLATILE and (only is None or key in only)}
        for entry in entries
    ]
    return sorted(json.dumps(entry, sort_keys=True) for entry in compared)


def plain(reply):
    """The client's named tuples as plain JSON."""
    entries = reply if isinstance(reply, list) else [reply]
    fields = [{key: value for key, value in entry._asdict().items() if not key.startswith("_")} for entry in entries]
    return json.loads(json.dumps(fields, default=str))


def main():
    socket, directory, recording = sys.argv[1:]
    descriptions = sorted(str(path) for path in pathlib.Path(directory).glob("*.api.json"))
    client = VPPApiClient(apifiles=descriptions, server_address=socket, read_timeout=30)
    client.connect("maglev-check")
    differ = made = 0
    for exchange in json.loads(pathlib.Path(recording).read_text())["exchanges"]:
        call = exchange["call"]
        got = rows(plain(getattr(client.api, call)(**arguments(exchange["args"]))), call)
        want = rows(exchange["decoded_reply"], call)
        made += 1
        if got != want:
            differ += 1
            print(f"{exchange['label']} ({call}):\n  want {want}\n  got  {got}")
    client.disconnect()
    print(f"{made} calls, {differ} differ")
    return 1 if differ or not made else 0


if __name__ == "__main__":
    sys.exit(main())
