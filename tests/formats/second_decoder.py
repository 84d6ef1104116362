"""A second decoder, written from formats/*.md alone: slow, standard library only, in the documents' words.

It shares no code with the package. If it decodes what the package encodes, the documents are complete up to the
pixels. Sections carry the headings of the documents.
"""

import zlib

# --- container.md ---------------------------------------------------------------------------------------------------


def crc16(data: bytes) -> int:
    """Checksum."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = ((crc << 1) ^ 0x1021) & 0xFFFF if crc & 0x8000 else crc << 1
    return crc


def read_container(data: bytes) -> dict:
    """Header, Chunks, Payload."""
    bits = int.from_bytes(data[:12], "big")

    def field(offset, size):
        return bits >> (96 - offset - size) & ((1 << size) - 1)

    assert data[:2] == b"\x9c\xd1"
    assert field(80, 16) == crc16(data[:10] + b"\0\0" + data[12:])
    at, chunks = 12, {}
    while field(19, 1) and data[at]:
        tag, at, length, shift = data[at], at + 1, 0, 0
        while True:
            length |= (data[at] & 0x7F) << shift
            at, shift = at + 1, shift + 7
            if data[at - 1] < 0x80:
                break
        chunks[tag] = data[at : at + length]
        at += length
    at += field(19, 1)
    names = {"codec": (16, 3), "rate": (48, 8), "weights": (56, 16), "symbols": (72, 8)}
    sides = {"width": field(20, 14) + 1, "height": field(34, 14) + 1}
    return {name: field(*place) for name, place in names.items()} | sides | {"chunks": chunks, "payload": data[at:]}


# --- entropy.md -----------------------------------------------------------------------------------------------------


def tables(data: bytes) -> list[list[int]]:
    """Probability tables: frequencies of -255..255."""
    numbers = [int.from_bytes(data[4 * i : 4 * i + 4], "little") for i in range(64 * 256)]
    halves = [numbers[256 * k : 256 * k + 256] for k in range(64)]
    return [half[:0:-1] + half for half in halves]


class Decoder:
    """Range coder."""

    def __init__(self, payload: bytes, frequencies: list[list[int]], quads: int = 0, reach: int = 1, octets: int = 0):
        self.payload, self.frequencies = payload, frequencies
        self.quads, self.reach, self.octets = quads, reach, octets
        self.lower, self.width, self.point, self.position = 0, 2**64 - 1, 0, 0
        for _ in range(2):
            self.point = self.point << 32 | self.word()

    def word(self) -> int:
        word = self.payload[self.position : self.position + 4].ljust(4, b"\0")
        self.position += 4
        return int.from_bytes(word, "big")

    def symbol(self, k: int) -> int:
        return self.column(self.frequencies[k]) - 255

    def column(self, row: list[int]) -> int:
        scale = self.width >> 24
        quantile = (self.point - self.lower) % 2**64 // scale
        if quantile >= 2**24:
            raise ValueError("the payload is corrupt")
        s, below = 0, 0
        while quantile >= below + row[s]:
            below += row[s]
            s += 1
        self.lower = (self.lower + scale * below) % 2**64
        self.width = scale * row[s]
        if self.width < 2**32:
            self.lower = (self.lower << 32) % 2**64
            self.width <<= 32
            self.point = (self.point << 32) % 2**64 | self.word()
        return s

    def group(self, t: list[int]) -> list[int]:
        """Order of symbols."""
        symbols = [0] * len(t)
        for k in [*range(4, 64), *range(68, 128)]:  # logistic table k as 64 + k
            run = [i for i in range(len(t)) if t[i] == k]
            if run and k % 64 < max(self.quads, self.octets):
                w, r = (8, 1) if k % 64 < self.octets else (4, self.reach)
                row, b = packed(self.frequencies[k], w, r), 2 * r + 1
                codes = [self.column(row) for _ in range(len(run) // w)]
                for j, code in enumerate(codes):
                    if code < b**w:
                        for place, i in enumerate(reversed(run[w * j : w * j + w])):
                            symbols[i] = code // b**place % b - r
                escaped = [i for j, code in enumerate(codes) if code == b**w for i in run[w * j : w * j + w]]
                run = escaped + run[len(codes) * w :]
            for i in run:
                symbols[i] = self.symbol(k)
        return symbols


def packed(row: list[int], w: int, r: int) -> list[int]:
    """Frequencies of the codes of quads and octets."""
    b, g = 2 * r + 1, []
    for code in range(b**w):
        product = 1
        for place in range(w):
            product *= row[255 + code // b**place % b - r]
        g.append(max(1, product >> 24 * (w - 1)))
    g.append(4096)
    g[b**w // 2] += 2**24 - sum(g)
    return g


def encode(symbols: list[int], t: list[int], frequencies: list[list[int]]) -> bytes:
    """Encoder, for symbols in coding order."""
    lower, width, words = 0, 2**64 - 1, 2
    for s, k in zip(symbols, t, strict=True):
        scale = width >> 24
        lower += scale * sum(frequencies[k][: s + 255])
        width = scale * frequencies[k][s + 255]
        if width < 2**32:
            lower, width, words = lower << 32, width << 32, words + 1
    for n in range(4 * words + 1):
        unit = 2 ** (32 * words - 8 * n)
        value = unit * -(-lower // unit)
        if value < lower + width:
            return (value // unit).to_bytes(n, "big")
    raise AssertionError


def clamp(x, a, b):
    return min(max(x, a), b)


def round_shift(x, n):
    return (x + 2 ** (n - 1)) >> n


def limit(x):
    return clamp(x, -(2**20), 2**20)


def each(function, *grids):
    """Function of corresponding elements of [C][H][W]."""
    return [
        [[function(*v) for v in zip(*r, strict=True)] for r in zip(*c, strict=True)] for c in zip(*grids, strict=True)
    ]


def relu(x):
    return each(lambda v: max(v, 0), x)


def rescale(x):
    return each(lambda v: limit(round_shift(v, 12)), x)


def at_rate(knots, q):
    b, w = q >> 5, q & 31
    return [(low * (32 - w) + high * w) >> 5 for low, high in zip(knots[b], knots[b + 1], strict=True)]


def table(x, n):
    return clamp(round_shift(x, n), 0, 63)


def shuffle(x):
    height, width = 2 * len(x[0]), 2 * len(x[0][0])
    return [
        [[x[4 * c + 2 * (r % 2) + j % 2][r // 2][j // 2] for j in range(width)] for r in range(height)]
        for c in range(len(x) // 4)
    ]


# --- stablecodec.md -------------------------------------------------------------------------------------------------

QUARTERS = [[0, 1, 2, 3], [3, 2, 1, 0], [2, 3, 0, 1], [1, 0, 3, 2]]


class IntegerLayers:
    """entropy.md: Integer networks, with tensors as nested lists under their names without `integer.`."""

    def __init__(self, tensors: dict, q: int):
        self.tensors, self.q = tensors, q

    def sums(self, name, x):
        weight, bias = self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"]
        height, width, k = len(x[0]), len(x[0][0]), len(weight[0][0])

        def element(o, r, c):
            total = bias[o]
            for i in range(len(x)):
                for u in range(k):
                    for v in range(k):
                        row, column = r + u - k // 2, c + v - k // 2
                        if 0 <= row < height and 0 <= column < width:
                            total += weight[o][i][u][v] * x[i][row][column]
            return total

        return [[[element(o, r, c) for c in range(width)] for r in range(height)] for o in range(len(weight))]

    def modulate(self, name, x):
        scale = at_rate(self.tensors[f"{name}.scale"], self.q)
        shift = at_rate(self.tensors[f"{name}.shift"], self.q)
        return [
            [[limit(round_shift(v * scale[c], 12) + shift[c]) for v in row] for row in x[c]] for c in range(len(scale))
        ]

    def decode_z(self, decoder: Decoder, z_height: int, z_width: int):
        """z."""
        positions = [table(p, 8) for p in at_rate(self.tensors["prior"], self.q)]
        count = z_height * z_width
        flat = decoder.group([t for t in positions for _ in range(count)])
        return [
            [flat[c * count + r * z_width : c * count + (r + 1) * z_width] for r in range(z_height)]
            for c in range(len(positions))
        ]


class StableCodecLatents(IntegerLayers):
    """Payload -> z and y^."""

    def decode(self, decoder: Decoder, z_height: int, z_width: int):
        """Order of coding."""
        z = self.decode_z(decoder, z_height, z_width)
        a = relu(self.modulate("hyper", rescale(self.sums("hyper.conv1", each(lambda v: v << 8, z)))))
        base = shuffle(rescale(self.sums("hyper.conv3", relu(rescale(self.sums("hyper.conv2", a))))))
        channels = len(self.tensors["step0.out.weight"]) // 2
        y = [[[0] * (2 * z_width) for _ in range(2 * z_height)] for _ in range(channels)]
        for step in range(4):
            self.decode_step(decoder, step, base, y)
        return z, y

    def decode_step(self, decoder, step, base, y):
        first = self.sums(f"step{step}.base", base)
        if step:
            known = each(lambda v: v << 4, y)
            first = each(lambda v, w: v + w, first, self.sums(f"step{step}.known", known))
        a = relu(self.modulate(f"step{step}", rescale(first)))
        out = self.sums(f"step{step}.out", relu(rescale(self.sums(f"step{step}.hidden", a))))
        m, height, width = len(y), len(y[0]), len(y[0][0])
        places = [
            (channel, row, column)
            for phase in range(4)
            for channel in range(QUARTERS[step][phase] * m // 4, (QUARTERS[step][phase] + 1) * m // 4)
            for row in range(phase // 2, height, 2)
            for column in range(phase % 2, width, 2)
        ]
        offset = at_rate(self.tensors["offset"], self.q)
        symbols = decoder.group([table(out[m + c][r][j] + (offset[c] << 12), 20) for c, r, j in places])
        for (c, r, j), symbol in zip(places, symbols, strict=True):
            y[c][r][j] = 16 * symbol + clamp(round_shift(out[c][r][j], 16), -16384, 16384)


# --- sodec.md -------------------------------------------------------------------------------------------------------


class SodecLatents(IntegerLayers):
    """Payload -> z and y^."""

    def decode(self, decoder: Decoder, z_height: int, z_width: int):
        """Order of coding, Integer network."""
        z = self.decode_z(decoder, z_height, z_width)

        def net(name, x):
            return self.sums(f"probability.{name}", x)

        a = relu(self.modulate("probability", rescale(net("conv1", each(lambda v: v << 8, z)))))
        b = relu(shuffle(rescale(net("conv3", relu(rescale(net("conv2", a)))))))
        c = relu(shuffle(rescale(net("conv5", relu(rescale(net("conv4", b)))))))
        o = net("out", c)
        m, offset = len(o) // 2, at_rate(self.tensors["offset"], self.q)
        mean = each(lambda v: clamp(round_shift(v, 16), -16384, 16384), o[:m])
        index = [[[table(v + (offset[n] << 12), 20) for v in row] for row in o[m + n]] for n in range(m)]
        symbols = iter(decoder.group([t for channel in index for row in channel for t in row]))
        return z, each(lambda v: 16 * next(symbols) + v, mean)


def digest(*grids) -> int:
    """Digest."""
    flat = [value for grid in grids for channel in grid for row in channel for value in row]
    return zlib.crc32(b"".join(value.to_bytes(4, "little", signed=True) for value in flat)) & 0xFF
