"""Makes the calls of a recorded conversation again, with the independent client vpp-papi.

usage: replay.py SOCKET API_DIRECTORY RECORDING

Each call is made with the recorded arguments; what comes back must be what the recorded VPP
answered, but for values that differ from one VPP to the next. Prints each difference and, at the
end, how many calls were made and how many differed.
"""

import ipaddress
import json
import pathlib
import sys

from vpp_papi import VPPApiClient, vpp_format

# Fields that tell clocks and processes apart, not behaviour.
PASSING = {"context", "client_index", "in_use_since", "vpe_pid"}
# Answers of which only the return value and these fields are compared: paths of a route depend on
# the machine's interfaces.
ONLY = {"ip_route_lookup_v2": {"retval"}}


def prefix(value):
    """A prefix as text. Released VPPs count the length of an IPv4 prefix from 96, which the client refuses."""
    raw = value.address.un.ip6 if value.address.af else value.address.un.ip4
    return f"{ipaddress.ip_address(raw)}/{value.len}"


vpp_format.conversion_unpacker_table["vl_api_address_with_prefix_t"] = prefix


def arguments(recorded):
    """Recorded arguments as the client wants them."""
    swap = recorded.get("encap_sent_little_endian", False)
    wanted = {name: argument(value) for name, value in recorded.items() if name != "encap_sent_little_endian"}
    if swap:
        wanted["encap"] = int.from_bytes(wanted["encap"].to_bytes(4, "little"), "big")
    return wanted


def argument(value):
    """A recorded argument as the client wants it."""
    if isinstance(value, dict) and set(value) == {"address", "len"}:
        return {"address": ipaddress.ip_address(value["address"]), "len": value["len"]}
    return value


def rows(answer, call):
    """An answer as plain values: one row, or one for each entry of a dump, in any order."""
    entries = answer if isinstance(answer, list) else [answer]
    only = ONLY.get(call)
    kept = [
        {key: value for key, value in entry.items() if key not in PASSING and (only is None or key in only)}
        for entry in entries
    ]
    return sorted(json.dumps(entry, sort_keys=True) for entry in kept)


def plain(answer):
    """The client's named tuples as JSON has them."""
    entries = answer if isinstance(answer, list) else [answer]
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
