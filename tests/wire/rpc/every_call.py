"""Calls everything that an agent's gRPC has, knowing nothing of it but what reflection tells.

usage: every_call.py ADDRESS:PORT HEALTH-CHECK

Prints one JSON object: the services, and of each method of maglev.v1.Maglev what it was asked and what came, or the code
and message that it refused with.
"""

import json
import sys

import grpc
from google.protobuf import json_format, message_factory
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

SERVICE = "maglev.v1.Maglev"
SECONDS = 30
# What a call is asked where that is not nothing; a list is several calls.
REQUESTS = {
    "GetFrontend": [{"name": "default/web"}, {"name": "default/nobody"}],
    "GetBackend": [{"name": "default/web-1"}, {"name": "default/nobody"}],
    "GetHealthCheck": [{"name": sys.argv[2]}, {"name": "default/nobody"}],
    "WatchEvents": [{"logLevel": "LEVEL_DEBUG", "names": ["default/web-1"]}],
    "SyncVppLbState": [{}, {"acceptRemovals": "no-such-hold"}],
}


def of(descriptor):
    return message_factory.GetMessageClass(descriptor)


def codec(method):
    return {
        "request_serializer": lambda message: message.SerializeToString(),
        "response_deserializer": of(method.output_type).FromString,
    }


def call(channel, method, request):
    path = f"/{method.containing_service.full_name}/{method.name}"
    message = json_format.ParseDict(request, of(method.input_type)())
    try:
        if not method.server_streaming:
            answer = channel.unary_unary(path, **codec(method))(message, timeout=SECONDS)
            return {"answer": json_format.MessageToDict(answer)}
        # The first message says where the stream begins, then something happens.
        stream = channel.unary_stream(path, **codec(method))(message, timeout=SECONDS)
        messages = [json_format.MessageToDict(next(stream)) for _ in range(2)]
        stream.cancel()
        return {"messages": messages}
    except grpc.RpcError as error:
        return {"code": error.code().name, "details": error.details()}


def main():
    options = [("grpc.max_receive_message_length", 64 << 20)]
    with grpc.insecure_channel(sys.argv[1], options=options) as channel:
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
