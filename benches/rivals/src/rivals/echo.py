"""Echoes on a free port of the loopback, which it prints: echo.py LOOP SERVER BUFFER PROCESSOR."""

import asyncio
import os
import socket
import sys


class Stream(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)


class Datagrams(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, peer):
        self.transport.sendto(data, peer)


class Fan(asyncio.Protocol):
    """What the first connection sends, all others get, once they were greeted."""

    publisher = None
    subscribers = []

    def connection_made(self, transport):
        if Fan.publisher is None:
            Fan.publisher = self
        else:
            Fan.subscribers.append(transport)
            transport.write(b"\xff" * 64)

    def data_received(self, data):
        for transport in Fan.subscribers:
            transport.write(data)


async def serve(server):
    loop = asyncio.get_running_loop()
    if server == "udp":
        transport, _ = await loop.create_datagram_endpoint(Datagrams, ("127.0.0.1", 0))
        address = transport.get_extra_info("sockname")
    else:
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        protocol = Fan if server == "fan" else Stream
        server = await loop.create_server(protocol, sock=listener, backlog=4096)
        address = server.sockets[0].getsockname()
    print("%s:%d" % address, flush=True)
    await asyncio.Event().wait()


def main():
    kind, server, _, processor = sys.argv[1:]
    os.sched_setaffinity(0, {int(processor)})
    if kind == "uvloop":
        import uvloop

        uvloop.run(serve(server))
    else:
        asyncio.run(serve(server))


main()
