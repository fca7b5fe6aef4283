"""A TCP proxy on loopback between one program and the broker, which does to the connection what a network does:

    honest       passes everything on
    reset        both sides see RST, those that come meanwhile too, once they have spoken
    loss         the connection ends somewhere within the next bytes, in the middle of a packet as a rule
    half_closed  the program sees the broker's FIN, and may go on writing
    half_open    the broker's side is closed, and the program's neither closed nor answered
    black_hole   everything is taken and nothing arrives, in both directions
    busy         the broker itself turns everybody away (MQTT 5)
    delay        500 ms for whatever comes, each way
    pieces       1 to 7 bytes at a time, each in a segment of its own

What a connection has swallowed is never passed on later: it stays as it is until its program gives it up. The proxy
runs in a thread of its own; all methods are for the test's threads.
"""
import asyncio
import socket
import struct
import threading
import time

SEVERING = ("reset", "loss", "half_closed", "half_open", "black_hole")  # these end a connection that there is
NOTICED_LATE = ("half_open", "black_hole")  # by the keep-alive alone
DELAY = 0.5
BUSY = b"\x20\x03\x00\x89\x00"  # CONNACK: server busy


class FaultProxy:
    def __init__(self, case, broker, random):
        self.port, self.random, self.fault = None, random, "honest"
        self.attempts = []  # when each connection came, and when it began to speak
        self.ended = 0  # connections that had spoken and are over for the program
        self._to, self._connections = broker.port, set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        case.addCleanup(self._stop)
        case.wait(lambda: self.port, "the proxy's port", 20)

    @property
    def url(self):
        return f"mqtt://127.0.0.1:{self.port}"

    def set(self, fault):
        """From now on, for the connections that there are and for those to come."""
        async def change():
            self.fault = fault
            for connection in list(self._connections):
                connection.suffer(fault)
        asyncio.run_coroutine_threadsafe(change(), self._loop).result(20)

    def _run(self):
        async def serve():
            server = await asyncio.start_server(self._accepted, "127.0.0.1", 0)
            self.port = server.sockets[0].getsockname()[1]
        self._loop.run_until_complete(serve())
        self._loop.run_forever()

    def _stop(self):
        async def end():
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            self._loop.stop()
        asyncio.run_coroutine_threadsafe(end(), self._loop)
        self._thread.join(20)

    async def _accepted(self, reader, writer):
        came = time.monotonic()
        first = await _read(reader)
        if not first:  # somebody only looked whether there is a port
            writer.close()
            return
        self.attempts.append((came, time.monotonic()))
        connection = Connection(self, writer)
        self._connections.add(connection)
        try:
            connection.suffer(self.fault)
            await connection.carry(first, reader)
        finally:
            self._connections.discard(connection)
            self.ended += 1
            writer.close()


class Connection:
    def __init__(self, proxy, program):
        self.random, self.to, self.program, self.broker = proxy.random, proxy._to, program, None
        self.fault, self.left = "honest", None  # bytes until it breaks

    def suffer(self, fault):
        if self.fault in NOTICED_LATE:
            return
        self.fault = fault
        self.left = self.random.randint(0, 700) if fault == "loss" else None
        if fault == "reset":
            self.cut(reset=True)
        elif fault == "half_closed":
            self._close_broker()
            self.program.write_eof()
        elif fault == "half_open":
            self._close_broker()
        elif fault == "busy" and not self.broker:
            self.program.write(BUSY)

    def cut(self, reset):
        for writer in filter(None, (self.program, self.broker)):
            if reset:
                linger = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.close()

    async def carry(self, first, reader):
        """Until the program's side is over."""
        back = None
        if self.fault in ("honest", "delay", "pieces", "loss"):
            try:
                from_broker, self.broker = await asyncio.open_connection("127.0.0.1", self.to)
            except OSError:  # the broker is not there: neither are we
                self.cut(reset=True)
                return
            back = asyncio.ensure_future(self._pump(from_broker, self.program))
        try:
            chunk = first
            while chunk:
                await self._pass(chunk, self.broker)
                chunk = await _read(reader)
        finally:
            if back:
                back.cancel()
            self._close_broker()

    async def _pump(self, reader, writer):
        while chunk := await _read(reader):
            await self._pass(chunk, writer)
        if self.fault not in NOTICED_LATE:
            self.cut(reset=False)  # the broker ended it

    async def _pass(self, chunk, writer):
        if self.fault == "delay":
            await asyncio.sleep(DELAY)
        while chunk and writer and self.fault not in NOTICED_LATE and not writer.is_closing():
            size = self.random.randint(1, 7) if self.fault == "pieces" else len(chunk)
            if self.left is not None:
                size = min(size, self.left)
                self.left -= size
            writer.write(chunk[:size])
            chunk = chunk[size:]
            if self.left == 0:
                self.cut(reset=False)
                return
            try:
                await writer.drain()
            except OSError:
                return
            if self.fault == "pieces":
                await asyncio.sleep(0.0005)

    def _close_broker(self):
        if self.broker:
            self.broker.close()


async def _read(reader):
    try:
        return await reader.read(65536)
    except OSError:
        return b""
