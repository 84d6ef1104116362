"""A second decoder of codec 1, written from formats/overfit.md alone, up to the grids; in the document's words."""

import copy

import layers
import second_decoder as second
from second_decoder import clamp, limit, round_shift, table

PRESETS = [("vlop", 4, 2), ("lop", 7, 4), ("mop", 10, 9), ("hop", 12, 11)]
PARAMETERS = [
    (0, "hidden1"),
    (0, "hidden2"),
    (1, "step_bias"),
    (1, "level_bias"),
    (1, "band_bias"),
    (1, "hidden2_bias"),
    (2, "out"),
    (2, "direct"),
    (3, "offset"),
    (4, "mixing"),
    (5, "mean"),
    (None, "prediction"),
    (6, "refine1"),
    (6, "refine2"),
    (7, "refine1_bias"),
    (7, "refine2_bias"),
]
ONCE = ("offset", "mixing", "mean", "prediction")
PER_STEP = ("hidden1", "hidden2", "out", "direct")


def read_prefix(payload: bytes) -> dict:
    """Prefix."""
    first, at = payload[0], 1
    fields = {"preset": first >> 6, "changes": [(0, 0)] * 8, "foreign": first >> 4 & 1, "noise": first & 15}
    if first >> 5 & 1:
        bits = int.from_bytes(payload[1:11], "big")
        fields["changes"] = [(bits >> (80 - 10 * g - 6) & 63, bits >> (80 - 10 * g - 10) & 15) for g in range(8)]
        at = 11
    if fields["foreign"]:
        channels = payload[at] + 1
        fields |= {"channels": channels, "stride": 2 ** payload[at + 1]}
        at += 2 + 2 * channels
    return fields | {"rest": payload[at:]}


def affine(payload: bytes, x: list) -> list:
    """From grids to pixels: latents of a foreign autoencoder."""
    fields = read_prefix(payload)
    if not fields["foreign"]:
        return x
    channels = fields["channels"]
    described = payload[len(payload) - len(fields["rest"]) - 2 * channels :]
    means = [b - 256 if b > 127 else b for b in described[:channels]]
    scales = described[channels : 2 * channels]
    pairs = zip(x, means, scales, strict=True)
    return [[[v * 2 ** ((s - 128) / 8) + m / 16 for v in row] for row in component] for component, m, s in pairs]


def nested(shape, function, *index):
    """Array of a shape, as nested lists."""
    if not shape:
        return function(*index)
    return [nested(shape[1:], function, *index, i) for i in range(shape[0])]


def shapes(h, s, c, n):
    """Parameters: shape."""
    return {
        "hidden1": (n, h, 9),
        "hidden2": (n, h, h),
        "step_bias": (4, h),
        "level_bias": (6, h),
        "band_bias": (3, h),
        "hidden2_bias": (h,),
        "out": (n, h),
        "direct": (n, 9),
        "offset": (6, 3, c),
        "mixing": (6, 3, c, c),
        "mean": (c,),
        "prediction": (0, c, c),
        "refine1": (s, c, 3, 3),
        "refine2": (c, s),
        "refine1_bias": (s,),
        "refine2_bias": (c,),
    }


def complete(arrays: dict) -> dict:
    """Parameters: what older reference files leave out."""
    found = {"lifted": [1] * len(arrays["mean"]), "first_table": [0], "steps_per_unit": [40], "prediction": []} | arrays
    for name, _, _ in PRESETS:
        if not isinstance(arrays[f"{name}.out"][0], list):
            found |= {f"{name}.{p}": [arrays[f"{name}.{p}"]] for p in ("hidden1", "hidden2", "out", "direct")}
    return found


def reference_for(arrays: dict, number: int, foreign: bool, channels: int) -> dict:
    """Parameters before the file's changes."""
    name, h, s = PRESETS[number]
    if not foreign:
        more = {p: arrays[p] for p in ("lifted", "first_table", "steps_per_unit")}
        return more | {p: arrays[p if p in ONCE else f"{name}.{p}"] for _, p in PARAMETERS}
    zeros = {
        p: nested(shape, lambda *index: 0) for p, shape in shapes(h, s, channels, len(arrays[f"{name}.out"])).items()
    }
    kept = {p: arrays[f"{name}.{p}"] for g, p in PARAMETERS[:8]}

    def offset(level, band, c):
        mean = sum(arrays["offset"][level][band]) / len(arrays["offset"][level][band])
        return round(mean)  # halves to even

    def refine1(unit, c, u, v):
        if (u, v) != (1, 1) or unit % channels != c:
            return 0
        return 4096 if unit // channels % 2 == 0 else -4096

    made = {
        "offset": nested((6, 3, channels), offset),
        "mixing": nested((6, 3, channels, channels), lambda level, band, i, c: 4096 if i == c else 0),
        "refine1": nested((s, channels, 3, 3), refine1),
    }
    rest = {p: arrays[p] for p in ("first_table", "steps_per_unit")}
    return zeros | kept | made | rest | {"lifted": [1] * channels}


def read_changes(decoder, changes, parameters, sizes):
    """Parameters: changes."""
    for group, name in PARAMETERS:
        if group is None:
            continue
        t, shift = changes[group]
        if not t:
            continue
        count = 1
        for size in sizes[name]:
            count *= size
        steps = len(parameters[name]) if name in PER_STEP else 1
        once = decoder.group([t] * (count // steps))
        symbols = iter(once * steps)

        def changed(*index, symbols=symbols, shift=shift, name=name):
            value = parameters[name]
            for i in index:
                value = value[i]
            return clamp(value + (next(symbols) << shift), -32767, 32767)

        parameters[name] = nested(sizes[name], changed)


def log(n: int) -> int:
    a, e = n + 1, (n + 1).bit_length() - 1
    return ((e - 1) << 8) + ((a << 8) >> e)


class Grids:
    """Grids and Context."""

    def __init__(self, parameters: dict, channels: int, rate: int, height: int, width: int):
        self.p, self.c, self.rate = parameters, channels, rate
        sizes = [(height, width)]
        for _ in range(5):
            sizes.append((-(-sizes[-1][0] // 2), -(-sizes[-1][1] // 2)))
        self.sizes = [*sizes[1:], sizes[5]]

    def decode(self, decoder) -> list:
        grids = [None] * 6
        for level in (5, 4, 3, 2, 1, 0):
            bands, (height, width) = (1 if level == 5 else 3), self.sizes[level]
            grid = nested((bands * self.c, height, width), lambda *index: 0)
            self.tables = {}
            for step in range(4):
                self.decode_step(decoder, level, step, grid, grids[level + 1] if level < 5 else None)
            grids[level] = grid
            self.tables_of_zeros = {place: t for place, t in self.tables.items() if not _at(grid, place)}
            if level:
                self.note_samples(level, grid)
        return grids

    def note_samples(self, level, grid):
        """low, for the level below."""
        height, width = self.sizes[level - 1]
        if level == 5:
            self.low = [[[abs(v) for v in row] for row in component] for component in grid]
            return

        def sample(c, r, j):
            odd = 2 * (r % 2) + j % 2  # 0: none; bands 0, 1, 2: odd column, odd row, both
            source = self.low[c] if odd == 0 else grid[(odd - 1) * self.c + c]
            return abs(source[r // 2][j // 2])

        self.low = nested((self.c, height, width), sample)

    def decode_step(self, decoder, level, step, grid, above):
        height, width = self.sizes[level]
        places = [
            (k, r, j)
            for phase in range(4)
            for k in range(second.QUARTERS[step][phase], len(grid), 4)
            for r in range(phase // 2, height, 2)
            for j in range(phase % 2, width, 2)
        ]
        if not places:
            return
        tables = [self.table(level, step, grid, above, *place) for place in places]
        self.tables |= dict(zip(places, tables, strict=True))
        for (k, r, j), symbol in zip(places, decoder.group(tables), strict=True):
            grid[k][r][j] = symbol

    def table(self, level, step, grid, above, k, r, j):
        f = self.features(level, grid, above, k, r, j)
        p, band, component = self.p, k // self.c, k % self.c
        hidden1, hidden2, out, direct = (
            p[name][step % len(p[name])] for name in ("hidden1", "hidden2", "out", "direct")
        )
        width = len(out)
        a = []
        for i in range(width):
            bias = p["step_bias"][step][i] + p["level_bias"][level][i] + (p["band_bias"][band][i] if level < 5 else 0)
            a.append(self.activation(sum(w * x for w, x in zip(hidden1[i], f, strict=True)) + (bias << 12)))
        b = []
        for i in range(width):
            total = sum(w * x for w, x in zip(hidden2[i], a, strict=True)) + (a[i] << 12)
            b.append(self.activation(total + (p["hidden2_bias"][i] << 12)))
        total = sum(w * x for w, x in zip(out, b, strict=True))
        total += sum(w * x for w, x in zip(direct, f, strict=True))
        return p["first_table"][0] + table(total + (p["offset"][level][band][component] << 12), 20)

    def activation(self, x):
        return max(limit(round_shift(x, 12)), 0)

    def features(self, level, grid, above, k, r, j):
        def m(grid, k, r, j):
            inside = 0 <= r < len(grid[0]) and 0 <= j < len(grid[0][0])
            return abs(grid[k][r][j]) if inside else 0

        def around(grid, r, j):
            return sum(m(grid, i, r + u, j + v) for i in range(len(grid)) for u in (-1, 0, 1) for v in (-1, 0, 1))

        own = [
            log(m(grid, k, r - 1, j) + m(grid, k, r + 1, j) + m(grid, k, r, j - 1) + m(grid, k, r, j + 1)),
            log(sum(m(grid, k, r + u, j + v) for u in (-1, 1) for v in (-1, 1))),
            log(sum(m(grid, i, r, j) for i in range(len(grid)))),
            log(around(grid, r, j)),
            log(sum(m(grid, i, r, j) for i in range(k % self.c, len(grid), self.c))),
        ]
        if level == 5:
            return [*own, 0, 0, 0, self.rate << 4]
        row, column = (r, j) if level == 4 else (r // 2, j // 2)
        lifted, split = ([c for c in range(self.c) if self.p["lifted"][c] == kind] for kind in (1, 0))
        up = [above[i] for i in range(len(above)) if i % self.c in lifted]
        low = [self.low[c] for c in split]
        component = k % self.c
        if component in lifted:
            nearest = m(above, component if level == 4 else k, row, column)
        else:
            places = (((0, 0), (0, 1)), ((0, 0), (1, 0)), ((0, 0), (0, 1), (1, 0), (1, 1)))[k // self.c]
            nearest = sum(m(self.low, component, r + u, j + v) for u, v in places)
        total = sum(m(up, i, row, column) for i in range(len(up))) + sum(m(low, i, r, j) for i in range(len(low)))
        wide = around(up, row, column) + around(low, r, j)
        return [*own, log(nearest), log(total), log(wide), self.rate << 4]


def _at(grid, place):
    k, r, j = place
    return grid[k][r][j]


def put_noise(noise, finest, tables_of_zeros):
    """From grids to pixels: noise in the place of zeros."""
    plane = layers.noise(len(finest), len(finest[0]), len(finest[0][0]), 1).tolist()
    for (k, r, j), number in tables_of_zeros.items():
        t = number % 64
        if noise and t >= 4:
            finest[k][r][j] = noise / 10 * min(0.1 * 640 ** (t / 63), 1 / 12**0.5) * plane[k][r][j]


def join(low, high, lifted=1):
    """From grids to pixels: two rows to one."""
    if not lifted:
        return [v for pair in zip(low, high, strict=True) for v in pair]
    k, lifting, n = 1.149604398, (-1.586134342, -0.052980118, 0.882911075, 0.443506852), len(low)
    even, odd = [v / k for v in low], [v * k for v in high]

    def before(i):
        return odd[max(i - 1, 0)] + odd[i]

    def after(i):
        return even[i] + even[min(i + 1, n - 1)]

    even = [even[i] - lifting[3] * before(i) for i in range(n)]
    odd = [odd[i] - lifting[2] * after(i) for i in range(n)]
    even = [even[i] - lifting[1] * before(i) for i in range(n)]
    odd = [odd[i] - lifting[0] * after(i) for i in range(n)]
    return [v for pair in zip(even, odd, strict=True) for v in pair]


def columns(x):
    return [list(column) for column in zip(*x, strict=True)]


def latents(parameters: dict, grids: list, channels: int, rate: int, height: int, width: int) -> list:
    """From grids to pixels, up to the latents of a file that is not foreign."""
    p, step = parameters, 2 ** (4 - 7 * rate / 255)
    sizes = [(height, width)]
    for _ in range(5):
        sizes.append((-(-sizes[-1][0] // 2), -(-sizes[-1][1] // 2)))

    def band(level, b, i):
        floor = 2 ** min(level + 1, 5) / p["steps_per_unit"][0]
        scales = [max(step, floor) if lifted else step for lifted in p["lifted"]]
        mixed = [m * scale / 4096 for m, scale in zip(p["mixing"][level][b][i], scales, strict=True)]
        chosen = grids[level][b * channels : (b + 1) * channels]
        return [
            [sum(m * g[r][j] for m, g in zip(mixed, chosen, strict=True)) for j in range(len(chosen[0][0]))]
            for r in range(len(chosen[0]))
        ]

    low = [band(5, 0, i) for i in range(channels)]
    for level in (4, 3, 2, 1, 0):
        details = [[band(level, b, i) for i in range(channels)] for b in (0, 1, 2)]
        if level == 0 and p["prediction"]:
            details = predicted(p["prediction"], low, details, height, width)
        for i in range(channels):
            lifted = p["lifted"][i]
            top = [join(a, b, lifted) for a, b in zip(low[i], details[0][i], strict=True)]
            bottom = [join(a, b, lifted) for a, b in zip(details[1][i], details[2][i], strict=True)]
            whole = columns([join(a, b, lifted) for a, b in zip(columns(top), columns(bottom), strict=True)])
            low[i] = [row[: sizes[level][1]] for row in whole[: sizes[level][0]]]
    x = [[[v + p["mean"][i] / 256 for v in row] for row in low[i]] for i in range(channels)]
    return [[[refined(p, x, i, r, j) for j in range(width)] for r in range(height)] for i in range(channels)]


def predicted(matrices, x, details, height, width):
    """d0, d1 and d2, from what prediction has left of them."""
    rows, cols = len(x[0]), len(x[0][0])
    d0, d1, d2 = details

    def times(n, source, r, j):
        vector = [component[min(r, rows - 1)][min(j, cols - 1)] for component in source]
        return [sum(m * v for m, v in zip(line, vector, strict=True)) / 4096 for line in matrices[n]]

    def add(target, r, j, *vectors):
        for i, component in enumerate(target):
            component[r][j] += sum(vector[i] for vector in vectors)

    places = [(r, j) for r in range(rows) for j in range(cols)]
    for r, j in places:
        if 2 * j + 1 < width:
            add(d0, r, j, times(0, x, r, j), times(1, x, r, j + 1))
        if 2 * r + 1 < height:
            add(d1, r, j, times(2, x, r, j), times(3, x, r + 1, j))
    for r, j in places:
        if 2 * r + 1 < height and 2 * j + 1 < width:
            corners = [times(4 + 2 * u + v, x, r + u, j + v) for u in (0, 1) for v in (0, 1)]
            first = [times(8, d0, r, j), times(9, d0, r + 1, j)]
            add(d2, r, j, *corners, *first, times(10, d1, r, j), times(11, d1, r, j + 1))
    return d0, d1, d2


def refined(p, x, i, r, j):
    total = x[i][r][j] + p["refine2_bias"][i] / 256
    for s in range(len(p["refine1"])):
        hidden = p["refine1_bias"][s] / 256
        for c in range(len(x)):
            for u in range(3):
                for v in range(3):
                    row, column = r + u - 1, j + v - 1
                    if 0 <= row < len(x[c]) and 0 <= column < len(x[c][0]):
                        hidden += p["refine1"][s][c][u][v] / 4096 * x[c][row][column]
        total += p["refine2"][i][s] / 4096 * max(hidden, 0)
    return total


def decode(payload: bytes, frequencies, arrays: dict, rate: int, height: int, width: int, channels: int, stride: int):
    """Payload -> parameters, grids, fine to coarse, and these with noise."""
    prefix = read_prefix(payload)
    channels, stride = prefix.get("channels", channels), prefix.get("stride", stride)
    decoder = second.Decoder(prefix["rest"], frequencies, 19, 2)
    parameters = dict(reference_for(complete(arrays), prefix["preset"], bool(prefix["foreign"]), channels))
    _, h, s = PRESETS[prefix["preset"]]
    read_changes(decoder, prefix["changes"], parameters, shapes(h, s, channels, len(parameters["out"])))
    made = Grids(parameters, channels, rate, -(-height // stride), -(-width // stride))
    grids = made.decode(decoder)
    noisy = copy.deepcopy(grids)
    put_noise(prefix["noise"], noisy[0], made.tables_of_zeros)
    return parameters, grids, noisy
