"""Redis' wire protocol with nothing hidden: a reply is a tuple of its type's character and its content."""

import socket


class Connection:
    """A connection that shows replies as they are on the wire: ("+", "OK"), ("-", "ERR ..."), ("*", [...]), ("$", None)."""

    def __init__(self, port, timeout=30):
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self._stream = self._socket.makefile("rb")

    def send(self, *args):
        self.send_raw(encode(*args))

    def send_raw(self, data):
        self._socket.sendall(data)

    def call(self, *args):
        self.send(*args)
        return self.read()

    def read(self):
        line = self._stream.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("the server closed the connection")
        kind, rest = chr(line[0]), line[1:-2]
        if kind in "+-,(":
            return kind, rest.decode("latin-1")
        if kind == ":":
            return kind, int(rest)
        if kind in "$=":
            return kind, None if rest == b"-1" else self._stream.read(int(rest) + 2)[:-2].decode("latin-1")
        if kind in "*~>":
            return kind, None if rest == b"-1" else [self.read() for _ in range(int(rest))]
        if kind == "%":
            return kind, [(self.read(), self.read()) for _ in range(int(rest))]
        if kind in "_#":
            return kind, rest.decode()
        raise AssertionError(f"not a reply: {line!r}")

    def close(self):
        self._stream.close()
        self._socket.close()


def encode(*args):
    parts = [arg if isinstance(arg, bytes) else str(arg).encode("latin-1") for arg in args]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)
