"""A clock: a service in Python that answers whoever asks it, from whichever runtime.

    clock.py serve ADDRESS   answer until interrupted; ADDRESS is registered
    clock.py ask ADDRESS     ask once, and print the body of the response

--bus HOST:PORT is the bus to attach to. The modules in peerbus.v1 are generated from
the protos; PYTHONPATH says where they are.
"""

import argparse
import json
import queue
import sys
import time
import uuid

try:
    import grpc

    from peerbus.v1 import bus_pb2, bus_pb2_grpc, message_pb2
except ModuleNotFoundError as error:
    sys.exit(
        f"{error}: grpc and google.protobuf are in Debian's python3-grpcio and python3-protobuf, or grpcio and protobuf"
        " elsewhere; peerbus.v1 is generated as docs/grpc.md says, and PYTHONPATH has its directory"
    )

ATTACH_TIME = 10  # seconds that the bus may take to answer at first


class Attachment:
    """One stream to the bus: listeners and posts go up, outcomes and messages come."""

    def __init__(self, channel, name):
        self._up = queue.Queue()
        self._sequence = 0
        # Posts with an origin are numbered, and taken once however often they come.
        hello = bus_pb2.Hello(name=name, component=bus_pb2.COMPONENT_APPLICATION, origin=uuid.uuid4().bytes)
        self._up.put(bus_pb2.AttachRequest(hello=hello))
        self._down = bus_pb2_grpc.MessageBusStub(channel).Attach(iter(self._up.get, None), wait_for_ready=True)
        self.runtime_url = next(self._down).welcome.runtime_url

    def listen(self, address):
        """Adds a listener. Its outcome comes down the stream."""
        self._sequence += 1
        change = bus_pb2.ListenerChange(sequence=self._sequence, address=address)
        self._up.put(bus_pb2.AttachRequest(listeners=[change]))

    def post(self, message, wait=bus_pb2.WAIT_ACCEPTED):
        """Posts a message. Its outcome comes down the stream."""
        self._sequence += 1
        post = bus_pb2.Post(sequence=self._sequence, number=self._sequence, message=message, wait=wait)
        self._up.put(bus_pb2.AttachRequest(posts=[post]))

    def settle(self, delivery):
        """Says that a message is dealt with: its sender is told, and there is room for more."""
        credit = bus_pb2.Credit(listener=delivery.listener, bytes=delivery.message.ByteSize())
        self._up.put(bus_pb2.AttachRequest(credits=[credit]))

    def __iter__(self):
        """Yields what comes: outcomes and deliveries, until the stream ends."""
        for batch in self._down:
            yield from batch.outcomes
            yield from batch.deliveries


def answer(request, body):
    """Is the response to a request: its id, and its addresses the other way round."""
    return message_pb2.Message(
        id=request.id, type="response", to=getattr(request, "from"), body=json.dumps(body).encode(), **{"from": request.to}
    )


def serve(channel, address):
    bus = Attachment(channel, "clock")
    bus.listen(address)
    for event in bus:
        if isinstance(event, bus_pb2.Outcome):
            if event.code >= 400:
                sys.exit(f"{event.code} {event.description}")
            if event.sequence == 1:
                print("listening to", address, "of", bus.runtime_url, flush=True)
            continue
        print(event.message.type, "from", getattr(event.message, "from"), flush=True)
        bus.post(answer(event.message, {"code": 200, "value": time.strftime("%H:%M", time.gmtime())}))
        bus.settle(event)


def ask(channel, address):
    bus = Attachment(channel, "clock")
    bus.post(message_pb2.Message(id=json.dumps(str(uuid.uuid4())), type="read", to=address), bus_pb2.WAIT_RESPONSE)
    outcome = next(iter(bus))
    if outcome.code >= 400:
        sys.exit(f"{outcome.code} {outcome.description}")  # it could not be asked
    body = json.loads(outcome.response.body or "{}")
    print(json.dumps(body))
    if body.get("code", 200) >= 400:
        sys.exit(1)  # it was asked, and refused


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["serve", "ask"])
    parser.add_argument("address")
    parser.add_argument("--bus", default="127.0.0.1:7402")
    args = parser.parse_args()
    with grpc.insecure_channel(args.bus) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=ATTACH_TIME)
            {"serve": serve, "ask": ask}[args.command](channel, args.address)
        except KeyboardInterrupt:
            sys.exit(130)
        except grpc.FutureTimeoutError:
            sys.exit(f"no bus answers at {args.bus} within {ATTACH_TIME} s")
        except grpc.RpcError as error:
            sys.exit(f"{error.code().name}: {error.details()}")


if __name__ == "__main__":
    main()
