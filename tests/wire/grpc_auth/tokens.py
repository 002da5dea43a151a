"""Calls an agent with TLS and one token after the other.

usage: tokens.py ADDRESS:PORT NAME AUTHORITIES TOKENS

NAME is the name in the agent's certificate, AUTHORITIES a file in PEM, TOKENS a file with a JSON object of tokens by kind.
Prints one JSON object: for each kind the code and message of a call that reads, one that requests a sync, a stream,
reflection, and the health service.
"""

import json
import sys

import grpc

SECONDS = 30


def outcome(call):
    try:
        call()
        return {"code": "OK", "details": ""}
    except grpc.RpcError as error:
        return {"code": error.code().name, "details": error.details()}


def main():
    address, name, authorities, tokens = sys.argv[1:]
    with open(authorities, "rb") as file:
        credentials = grpc.ssl_channel_credentials(file.read())
    with open(tokens) as file:
        tokens = json.load(file)
    options = [("grpc.ssl_target_name_override", name)]
    answers = {}
    for kind, token in tokens.items():
        metadata = [("authorization", f"Bearer {token}")] if token else []
        # One channel for each token, as each client has its own.
        with grpc.secure_channel(address, credentials, options=options) as channel:

            def unary(path, request=b""):
                call = channel.unary_unary(path)
                return outcome(lambda: call(request, metadata=metadata, timeout=SECONDS))

            def first(path, request=None):
                if request is None:
                    stream = channel.unary_stream(path)(b"", metadata=metadata, timeout=SECONDS)
                else:
                    stream = channel.stream_stream(path)(iter([request]), metadata=metadata, timeout=SECONDS)
                return outcome(lambda: next(stream))

            answers[kind] = {
                "read": unary("/maglev.v1.Maglev/GetState"),
                "sync": unary("/maglev.v1.Maglev/SyncVppLbState"),
                "stream": first("/maglev.v1.Maglev/WatchEvents"),
                # Field 7 of the request is list_services.
                "reflection": first("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", b"\x3a\x00"),
                "health": unary("/grpc.health.v1.Health/Check"),
            }
    print(json.dumps(answers))


if __name__ == "__main__":
    main()
