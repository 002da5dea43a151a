"""Calls every method of an agent's gRPC service, which it learns by reflection.

usage: every_call.py ADDRESS:PORT HEALTH-CHECK [NAME AUTHORITIES TOKEN]

With NAME, the name in the agent's certificate, the channel has TLS. AUTHORITIES is a file in PEM, TOKEN a file.

Prints one JSON object: the services, the answer of the health service, and for each method of maglev.v1.Maglev the
request and the answer, or the code and message of the error.
"""

import json
import sys

import grpc
from google.protobuf import json_format, message_factory
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

SERVICE = "maglev.v1.Maglev"
SECONDS = 30
# Requests of the methods whose request is not empty; each entry of a list is one call.
REQUESTS = {
    "GetFrontend": [{"name": "default/web"}, {"name": "default/no-such-object"}],
    "GetBackend": [{"name": "default/web-1"}, {"name": "default/no-such-object"}],
    "GetHealthCheck": [{"name": sys.argv[2]}, {"name": "default/no-such-object"}],
    "ProbePaths": [{"backend": "default/web-1"}],
    "WatchEvents": [{"logLevel": "LEVEL_DEBUG", "names": ["default/web-1"]}],
    "SyncVppLbState": [{}],
}


def message_class(descriptor):
    return message_factory.GetMessageClass(descriptor)


def codec(method):
    return {
        "request_serializer": lambda message: message.SerializeToString(),
        "response_deserializer": message_class(method.output_type).FromString,
    }


def call(channel, method, request):
    path = f"/{method.containing_service.full_name}/{method.name}"
    message = json_format.ParseDict(request, message_class(method.input_type)())
    try:
        if not method.server_streaming:
            answer = channel.unary_unary(path, **codec(method))(message, timeout=SECONDS)
            return {"answer": json_format.MessageToDict(answer)}
        # The first message carries the position of the stream's beginning, the second an event.
        stream = channel.unary_stream(path, **codec(method))(message, timeout=SECONDS)
        messages = [json_format.MessageToDict(next(stream)) for _ in range(2)]
        stream.cancel()
        return {"messages": messages}
    except grpc.RpcError as error:
        return {"code": error.code().name, "details": error.details()}


def open_channel():
    options = [("grpc.max_receive_message_length", 64 << 20)]
    if len(sys.argv) <= 3:
        return grpc.insecure_channel(sys.argv[1], options=options)
    name, authorities, token = sys.argv[3:]
    with open(authorities, "rb") as file:
        tls = grpc.ssl_channel_credentials(file.read())
    with open(token) as file:
        token = grpc.access_token_call_credentials(file.read().strip())
    options.append(("grpc.ssl_target_name_override", name))
    return grpc.secure_channel(sys.argv[1], grpc.composite_channel_credentials(tls, token), options=options)


def main():
    with open_channel() as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        pool = DescriptorPool(database)
        calls = []
        for method in pool.FindServiceByName(SERVICE).methods:
            for request in REQUESTS.get(method.name, [{}]):
                calls.append({"method": method.name, "request": request, **call(channel, method, request)})
        health = pool.FindServiceByName("grpc.health.v1.Health").FindMethodByName("Check")
        health = call(channel, health, {"service": SERVICE})
        print(json.dumps({"services": sorted(database.get_services()), "calls": calls, "health": health}))


if __name__ == "__main__":
    main()
