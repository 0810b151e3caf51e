#!/usr/bin/env python3
"""PyTorch at the shapes of GpuSpeed: one JSON object a line, as GpuSpeed prints them.

Medians of seven samples by CUDA events; a sample is as many runs as take a tenth of a second. Inputs of a run are others
than those of the run before, as many sets as pass the second-level cache twice. Floors are measured on the same card: a copy
between two buffers, and a large bf16 product.
"""
import itertools
import json
import statistics
import sys

import torch
import torch.nn.functional as F

DEVICE = "cuda"
SAMPLES = 7
CACHE_BYTES = 128 << 20
only = sys.argv[1] if len(sys.argv) > 1 else ""


def timed(work, shape, who, make, size):
    """make(i) gives the work over the i-th set of inputs; size: bytes of a set."""
    if not work.startswith(only):
        return
    try:
        sets = max(1, min(16, -(-CACHE_BYTES // max(size, 1))))
        runs = [make(i) for i in range(sets)]
        turn = itertools.cycle(runs)
        for _ in range(max(3, sets)):
            next(turn)()
        torch.cuda.synchronize()

        def sample(count):
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            for _ in range(count):
                next(turn)()
            end.record()
            end.synchronize()
            return start.elapsed_time(end)

        count = 1
        while sample(count) < 25 and count < 1 << 20:
            count *= 4
        count = max(1, round(count * 100 / sample(count)))
        samples = sorted(sample(count) / count for _ in range(SAMPLES))
        median = statistics.median(samples)
        print(json.dumps({"work": work, "shape": shape, "who": who, "milliseconds": median,
                          "spread": (samples[-1] - samples[0]) / median}), flush=True)
    except Exception as e:  # one shape that does not fit must not take the others along
        print(f"{work}, {shape}, {who}: {e!r}"[:500], file=sys.stderr, flush=True)
    finally:
        torch.cuda.empty_cache()


def normal(*shape, dtype=torch.bfloat16):
    return torch.randn(*shape, device=DEVICE, dtype=dtype)


def ceilings():
    n = 1 << 28
    a, b = torch.empty(n, device=DEVICE), torch.empty(n, device=DEVICE)
    timed("ceiling", "copy of 1 GiB", "torch", lambda _: lambda: b.copy_(a), 2 * CACHE_BYTES)
    x, w = normal(8192, 8192), normal(8192, 8192)
    timed("ceiling", "bf16 product 8192^3", "torch", lambda _: lambda: x @ w, 2 * CACHE_BYTES)


def encode(x, w, k):
    return torch.topk(F.relu(x @ w.t()), k, dim=-1)


def encodes():
    for d, f, b in itertools.product((64, 256, 768), (4096, 16384, 65536), (1, 256, 32768)):
        k = 64 if f == 65536 else 32
        shape = f"B {b}, D {d}, F {f}, K {k}"
        w = normal(f, d)
        torch._dynamo.reset()  # Or the shapes before would make it compile for any shape, and at last not at all.
        compiled = torch.compile(encode, dynamic=False)
        for who, call in (("torch eager bf16", encode), ("torch.compile bf16", compiled)):
            def make(i, call=call):
                x = normal(b, d)
                return lambda: call(x, w, k)
            timed("TopK encode", shape, who, make, 2 * b * d)


def sae_steps():
    b, f, k = 32768, 16384, 32
    for d in (64, 256):
        w_enc = torch.nn.Parameter(normal(f, d, dtype=torch.float32))
        w_dec = torch.nn.Parameter(F.normalize(normal(f, d, dtype=torch.float32)))
        b_enc = torch.nn.Parameter(torch.zeros(f, device=DEVICE))
        b_dec = torch.nn.Parameter(torch.zeros(d, device=DEVICE))
        adam = torch.optim.Adam([w_enc, w_dec, b_enc, b_dec], lr=1e-3, fused=True)

        def loss(x):
            with torch.autocast("cuda", torch.bfloat16):
                pre = (x - b_dec) @ w_enc.t() + b_enc
            values, indices = torch.topk(pre, k, dim=-1)
            y = F.embedding_bag(indices, w_dec, per_sample_weights=F.relu(values).float(), mode="sum")
            e = y + b_dec - x
            return e.square().sum() / (x - x.mean(0)).square().sum()

        compiled = torch.compile(loss)

        def step(x, call):
            adam.zero_grad(set_to_none=True)
            call(x).backward()
            with torch.no_grad():
                w_dec.grad -= (w_dec.grad * w_dec).sum(1, keepdim=True) * w_dec
                torch.nn.utils.clip_grad_norm_([w_enc, w_dec, b_enc, b_dec], 1.0)
                adam.step()
                w_dec.copy_(F.normalize(w_dec))

        for who, call in (("torch eager bf16", loss), ("torch.compile bf16", compiled)):
            def make(i, call=call):
                x = normal(b, d, dtype=torch.float32)
                return lambda: step(x, call)
            timed("SAE training step", f"B {b}, D {d}, F {f}, K {k}", who, make, 4 * b * d)


class Block(torch.nn.Module):
    def __init__(self, d):
        super().__init__()
        self.norm1, self.norm2 = torch.nn.LayerNorm(d, eps=1e-8), torch.nn.LayerNorm(d, eps=1e-8)
        self.q, self.kv, self.out = torch.nn.Linear(d, d), torch.nn.Linear(d, 2 * d), torch.nn.Linear(d, d)
        self.up, self.down = torch.nn.Linear(d, d), torch.nn.Linear(d, d)

    def forward(self, h):
        n = self.norm1(h)
        key, value = self.kv(h).chunk(2, -1)
        mixed = F.scaled_dot_product_attention(self.q(n)[:, None], key[:, None], value[:, None], dropout_p=0.1,
                                               is_causal=True)[:, 0]
        h = self.norm2(n + self.out(mixed))
        inner = F.relu(F.dropout(self.up(h), 0.1))
        return h + F.dropout(self.down(inner), 0.1)


class Sasrec(torch.nn.Module):
    def __init__(self, items, length, d, layers):
        super().__init__()
        self.scale = d ** 0.5
        self.items, self.positions = torch.nn.Embedding(items + 1, d), torch.nn.Embedding(length, d)
        self.blocks = torch.nn.ModuleList(Block(d) for _ in range(layers))
        self.norm = torch.nn.LayerNorm(d, eps=1e-8)

    def forward(self, x):
        h = F.dropout(self.items(x) * self.scale + self.positions.weight, 0.1)
        for block in self.blocks:
            h = block(h)
        return self.norm(h)


def transformer():
    b, t, d, items = 512, 200, 64, 3706
    model = Sasrec(items, t, d, 2).to(DEVICE)
    adam = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)

    def loss(x, y):
        with torch.autocast("cuda", torch.bfloat16):
            scores = model(x).flatten(0, 1) @ model.items.weight.t()
        return F.cross_entropy(scores, y.flatten())

    def step(x, y, call):
        adam.zero_grad(set_to_none=True)
        call(x, y).backward()
        adam.step()

    compiled = torch.compile(loss)
    shape = f"B {b}, T {t}, D {d}, V {items}"
    for who, call in (("torch eager bf16", loss), ("torch.compile bf16", compiled)):
        def make(i, call=call):
            x, y = (torch.randint(1, items + 1, (b, t), device=DEVICE) for _ in range(2))
            return lambda: step(x, y, call)
        timed("SASRec training step", shape, who, make, 8 * b * t)


print(json.dumps({"device": torch.cuda.get_device_name(), "torch": torch.__version__}), flush=True)
ceilings()
encodes()
sae_steps()
transformer()
