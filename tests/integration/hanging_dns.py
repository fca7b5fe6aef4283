#!/usr/bin/python3
"""hanging_dns.py RESOLV_CONF QUESTIONS COMMAND...   (in network and mount namespaces of its own)

Runs the command where the only DNS server answers that many questions (every name is 127.0.0.1) and then none; each
that it leaves open is a line in RESOLV_CONF.log."""
import fcntl
import os
import socket
import struct
import subprocess
import sys


def bring_loopback_up():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh14x", b"lo", 0x41))  # SIOCSIFFLAGS: up, running


def answer(query):
    end = query.index(b"\0", 12) + 5
    is_a = query[end - 4:end - 2] == b"\0\1"
    head = query[:2] + b"\x81\x80\0\1" + (b"\0\1" if is_a else b"\0\0") + b"\0\0\0\0"
    record = b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4" + socket.inet_aton("127.0.0.1") if is_a else b""
    return head + query[12:end] + record


def serve(server, questions, log):
    parent = os.getppid()
    server.settimeout(0.5)
    while os.getppid() == parent:
        try:
            query, sender = server.recvfrom(512)
        except TimeoutError:
            continue
        if questions > 0:
            server.sendto(answer(query), sender)
        else:
            print("left open", file=log, flush=True)
        questions -= 1


def main():
    resolv_conf, questions, *command = sys.argv[1:]
    with open(resolv_conf, "w", encoding="utf-8") as file:
        file.write("nameserver 127.0.0.1\noptions timeout:30 attempts:5\n")
    bring_loopback_up()
    subprocess.run(["mount", "--bind", resolv_conf, "/etc/resolv.conf"], check=True)
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 53))
    if os.fork() == 0:
        with open(f"{resolv_conf}.log", "w", encoding="utf-8") as log:
            serve(server, int(questions), log)
        os._exit(0)
    os.execv(command[0], command)


main()
