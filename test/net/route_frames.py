#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""route_frames.py: frames for the stories of routing, and what became of them.

    route_frames.py send IFACE DST-MAC SRC DST COUNT SEED [TAG]     random frames, the same for a
                                    seed; DST: one or several with commas; TAG: the 16 bits
                                    behind 0x8100, in hex
    route_frames.py catch IFACE     print frames that arrive, in hex; ends on SIGTERM
    route_frames.py hex ADDRESS
    route_frames.py datagrams ADDRESS PORT COUNT
    route_frames.py serve NAME ADDRESS PORT    TCP: NAME, then an answer to each byte
    route_frames.py hold ADDRESS PORT          connections; reads commands, see hold()
"""

import ipaddress
import random
import select
import signal
import socket
import struct
import sys

TCP, UDP, ICMP = 6, 17, 1
SO_RCVBUFFORCE = 33  # not bounded by a sysctl of the host
SYN, ACK = 2, 16


def checksum(data):
    data += b"\0" * (len(data) & 1)
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


class Maker:
    """Random packets of some flows; each TCP flow begins with a SYN."""

    def __init__(self, source, destinations, seed):
        self.random = random.Random(seed)
        self.source = ipaddress.ip_address(source).packed
        self.destinations = [ipaddress.ip_address(d).packed for d in destinations.split(",")]
        self.v6 = len(self.source) == 16
        self.begun = set()

    def flags_of(self, flow):
        if flow not in self.begun:
            self.begun.add(flow)
            return SYN
        return self.random.choice([ACK, ACK | 8, ACK | 1, SYN | ACK, 4, ACK, ACK])

    def transport(self, proto, payload):
        r = self.random
        sport, dport = r.randrange(20000, 20040), r.choice([7, 9, 80])
        self.destination = self.destinations[sport % len(self.destinations)]
        if proto == UDP:
            head = struct.pack("!HHHH", sport, dport, 8 + len(payload), 0)
        else:
            head = struct.pack("!HHIIBBHHH", sport, dport, r.getrandbits(32), r.getrandbits(32),
                               5 << 4, self.flags_of((sport, dport)), 1000, 0, 0)
        pseudo = (self.source + self.destination +
                  struct.pack("!IxxxB", len(head) + len(payload), proto))
        at = 6 if proto == UDP else 16
        total = checksum(pseudo + head + payload) or 0xFFFF
        return head[:at] + struct.pack("!H", total) + head[at + 2:] + payload

    def ipv4(self, proto, body, ttl, tos):
        r = self.random
        options = b"\x01" * 4 if r.random() < 0.05 else b""
        fragment = r.choice([0, 0x4000, 0x4000])
        if r.random() < 0.05:
            fragment = r.choice([0x2000, 0x2010, 0x0020])
            body = body[:len(body) & ~7] or body
        head = struct.pack("!BBHHHBBH", 0x45 + len(options) // 4, tos,
                           20 + len(options) + len(body), r.getrandbits(16), fragment, ttl,
                           proto, 0) + self.source + self.destination + options
        total = checksum(head)
        if r.random() < 0.03:
            total ^= 1 << r.randrange(16)
        return head[:10] + struct.pack("!H", total) + head[12:] + body

    def ipv6(self, proto, body, ttl, tos):
        r = self.random
        extra = b""
        if r.random() < 0.05:
            extra, proto = bytes([proto, 0, 1, 4, 0, 0, 0, 0]), 60
        elif r.random() < 0.05:
            extra = struct.pack("!BxHI", proto, r.choice([0x0001, 0x0101, 0x0100]),
                                r.getrandbits(32))
            proto, body = 44, body[:len(body) & ~7] or body
        return struct.pack("!IHBB", 6 << 28 | tos << 20 | r.getrandbits(20),
                           len(extra) + len(body), proto, ttl) + self.source + self.destination \
            + extra + body

    def packet(self):
        r = self.random
        proto = r.choice([TCP, TCP, UDP, UDP, UDP])
        ttl = r.choice([0, 1, 2, 3, 64, 64, 64, 64, 128, 255])
        body = self.transport(proto, r.randbytes(r.choice([0, 1, 18, 100, 1000, 1300, 1400])))
        return (self.ipv6 if self.v6 else self.ipv4)(proto, body, ttl, r.randrange(256))


    def end(self, ttl):
        """After all others: who waits for END has seen them; at this end, if the ttl is 1."""
        self.random.random = lambda: 1.0  # no options, no fragment, no damage
        del self.destinations[1:]
        return (self.ipv6 if self.v6 else self.ipv4)(UDP, self.transport(UDP, END), ttl, 0)


END = b"that is all"


def open_packets(interface, kind):
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(kind))
    s.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
    s.bind((interface, kind))
    return s


def send(interface, mac, source, destination, count, seed, tag=""):
    out = open_packets(interface, 0)
    maker = Maker(source, destination, int(seed))
    ether = bytes.fromhex(mac.replace(":", "")) + out.getsockname()[4] + \
        bytes.fromhex(tag and "8100" + tag) + struct.pack("!H", 0x86DD if maker.v6 else 0x0800)
    for _ in range(int(count)):
        out.send(ether + maker.packet())
    out.send(ether + maker.end(1))
    out.send(ether + maker.end(64))


SOL_PACKET, PACKET_AUXDATA, TP_STATUS_VLAN_VALID = 263, 8, 1 << 4


def with_tag(frame, more):
    """The frame as it was on the wire: the kernel takes the tag off and says so beside it."""
    for level, kind, data in more:
        if (level, kind) == (SOL_PACKET, PACKET_AUXDATA):
            status, _, _, _, _, tci, tpid = struct.unpack("=IIIHHHH", data[:20])
            if status & TP_STATUS_VLAN_VALID:
                return frame[:12] + struct.pack("!HH", tpid, tci) + frame[12:]
    return frame


def catch(interface):
    s = open_packets(interface, 3)
    s.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    end, on_signal = socket.socketpair()
    on_signal.setblocking(False)
    signal.signal(signal.SIGTERM, lambda *_: None)
    signal.set_wakeup_fd(on_signal.fileno())
    print("ready", file=sys.stderr, flush=True)
    while True:
        ready, _, _ = select.select([s, end], [], [])
        if s not in ready:  # told to end, and nothing is left
            break
        frame, more, _, where = s.recvmsg(65536, 256)
        if where[2] != 4:  # PACKET_OUTGOING
            print(with_tag(frame, more).hex(), flush=True)


def datagrams(address, port, count):
    s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    for _ in range(int(count)):
        s.sendto(b"x", (address, int(port)))


def serve(name, address, port):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, int(port)))
    listener.listen(512)
    poll, connections = select.poll(), {}
    poll.register(listener, select.POLLIN)
    print("ready", file=sys.stderr, flush=True)
    while True:
        for fd, _ in poll.poll():
            if fd == listener.fileno():
                c, _ = listener.accept()
                connections[c.fileno()] = c
                poll.register(c, select.POLLIN)
                c.sendall(name.encode() + b"\n")
                continue
            c = connections[fd]
            try:
                data = c.recv(4096)
            except OSError:
                data = b""
            if data:
                c.sendall(data)
            else:
                poll.unregister(fd)
                del connections[fd]
                c.close()


def connect(address, port):
    """The server's name and the connection. A SYN that waited for a next hop to be resolved while
    its repetition went by another one has two servers answer, and one of them resets."""
    for _ in range(3):
        try:
            c = socket.create_connection((address, port), timeout=60)
            c.settimeout(60)
            name = c.makefile("rb").readline().decode().strip()
            if name:
                return name, c
        except ConnectionResetError:
            pass
    raise ConnectionResetError


def hold(address, port):
    """Commands: `open N` connects to N more, prints their servers' names; `ask NAME` sends a
    byte on each connection to NAME and prints how many answered; `names` prints names and
    numbers."""
    connections = []
    for line in sys.stdin:
        words = line.split()
        if words[0] == "open":
            for _ in range(int(words[1])):
                connections.append(connect(address, int(port)))
        if words[0] in ("open", "names"):
            names = [n for n, _ in connections]
            print(" ".join("%s=%d" % (n, names.count(n)) for n in sorted(set(names))), flush=True)
        if words[0] == "ask":
            answered = 0
            for name, c in connections:
                if name == words[1]:
                    c.settimeout(20)
                    try:
                        c.sendall(b"x")
                        answered += c.recv(1) == b"x"
                    except OSError:
                        pass
            print(answered, flush=True)


def print_hex(address):
    print(ipaddress.ip_address(address).packed.hex())


if __name__ == "__main__":
    {"hex": print_hex, "send": send, "catch": catch, "serve": serve, "hold": hold,
     "datagrams": datagrams}[sys.argv[1]](*sys.argv[2:])
