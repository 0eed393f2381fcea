"""Redis' wire protocol with nothing hidden: a reply is a tuple of its type's character and its content."""

import select
import socket


class Connection:
    """A connection that shows replies as they are on the wire: ("+", "OK"), ("-", "ERR ..."), ("*", [...]), ("$", None)."""

    def __init__(self, port, timeout=30, receive_buffer=None):
        self.socket = socket.socket()
        self.socket.settimeout(timeout)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.connect(("127.0.0.1", port))
        self._received = b""  # and not read yet

    def send(self, *args):
        self.send_raw(encode(*args))

    def send_raw(self, data):
        self.socket.sendall(data)

    def call(self, *args):
        self.send(*args)
        return self.read()

    def feed(self, data):
        """What somebody else has read from the socket."""
        self._received += data

    def peek(self):
        """All that has arrived and was not read."""
        while select.select([self.socket], [], [], 0)[0]:
            self._receive()
        return self._received

    def _receive(self):
        data = self.socket.recv(1 << 20)
        if not data:
            raise ConnectionError("the server closed the connection")
        self.feed(data)

    def _take(self, count):
        while len(self._received) < count:
            self._receive()
        taken, self._received = self._received[:count], self._received[count:]
        return taken

    def _take_line(self):
        while b"\r\n" not in self._received:
            self._receive()
        return self._take(self._received.index(b"\r\n") + 2)

    def read(self):
        line = self._take_line()
        kind, rest = chr(line[0]), line[1:-2]
        if kind in "+-,(":
            return kind, rest.decode("latin-1")
        if kind == ":":
            return kind, int(rest)
        if kind in "$=":
            return kind, None if rest == b"-1" else self._take(int(rest) + 2)[:-2].decode("latin-1")
        if kind in "*~>":
            return kind, None if rest == b"-1" else [self.read() for _ in range(int(rest))]
        if kind == "%":
            return kind, [(self.read(), self.read()) for _ in range(int(rest))]
        if kind in "_#":
            return kind, rest.decode()
        raise AssertionError(f"not a reply: {line!r}")

    def close(self):
        self.socket.close()


def encode(*args):
    parts = [arg if isinstance(arg, bytes) else str(arg).encode("latin-1") for arg in args]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)
