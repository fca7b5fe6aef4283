"""Joins standard input and output with a TCP port of this host. QEMU starts one for each connection of the guest."""

import os
import socket
import sys
import threading


def upward(connection: socket.socket) -> None:
    while data := os.read(0, 65536):
        connection.sendall(data)
    connection.shutdown(socket.SHUT_WR)


def main() -> None:
    try:
        connection = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    except ConnectionRefusedError:
        sys.exit(1)  # the guest sees its connection closed
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    threading.Thread(target=upward, args=(connection,), daemon=True).start()
    try:
        while data := connection.recv(65536):
            os.write(1, data)
    except ConnectionResetError:
        pass


main()
