"""A Llama in NumPy, float64 throughout, written from the formulas of models/README.md: the arithmetic that float32 results
are measured against. (Hugging Face models in float64 still round their rotations, norms and eager softmax to float32.)

Weights are a dict of arrays under the names of the model file (`embedding`, `layers/0/wq`, ...). Needs numpy.
"""
import numpy as np


def hashed(name, shape, scale, middle):
    """Weights that a test makes without a file: a hash of the tensor's name and the element's index.

    h = FNV-1a 64 of the name;  u = splitmix64 finaliser of (h + i) / 2^64 in [0, 1);  w = middle + scale (2 u - 1)
    with u rounded down to 24 bits, so that w is exact in float32 up to the product. Returns float32.
    """
    h = 0xCBF29CE484222325
    for byte in name.encode():
        h = (h ^ byte) * 0x100000001B3 % 2**64
    with np.errstate(over="ignore"):
        z = np.uint64(h) + np.arange(int(np.prod(shape)), dtype=np.uint64)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    u = (z >> np.uint64(40)).astype(np.float32) / np.float32(2**24)
    return (np.float32(middle) + np.float32(scale) * (np.float32(2) * u - np.float32(1))).reshape(shape)


class Llama:
    def __init__(self, weights, n_layer, n_head, n_kv_head, head_dim, norm_eps, rope_base):
        self.w = {k: np.asarray(v, np.float64) for k, v in weights.items()}
        self.n_layer, self.n_head, self.n_kv, self.d, self.eps = n_layer, n_head, n_kv_head, head_dim, norm_eps
        self.freq = rope_base ** (-2 * np.arange(head_dim // 2) / head_dim)

    def norm(self, x, name):
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + self.eps) * self.w[name]

    def heads(self, x, name):
        y = x @ self.w[name].T
        return y.reshape(len(x), -1, self.d).transpose(1, 0, 2)

    def rotate(self, x, positions):
        angle = np.asarray(positions)[:, None] * self.freq
        a, b = x[..., :self.d // 2], x[..., self.d // 2:]
        return np.concatenate([a * np.cos(angle) - b * np.sin(angle), b * np.cos(angle) + a * np.sin(angle)], -1)

    def forward(self, tokens, first=0, past=None, attention=False, rows=None):
        """Logits [len(rows)][vocabulary] of tokens at positions first, first + 1, ...; rows None: all of them.

        past: per layer (keys, values), [n_kv_head][entries][head_dim] each, of which every token sees all.
        Returns logits, [(keys, values)] of these tokens per layer, and [softmax rows] per layer when asked for.
        """
        n = len(tokens)
        group = self.n_head // self.n_kv
        causal = np.triu(np.ones((n, n), bool), 1)
        x = self.w["embedding"][np.asarray(tokens)]
        kv, seen = [], []
        for layer in range(self.n_layer):
            name = f"layers/{layer}/"
            a = self.norm(x, name + "attn_norm")
            positions = np.arange(first, first + n)
            q = self.rotate(self.heads(a, name + "wq"), positions)
            k = self.rotate(self.heads(a, name + "wk"), positions)
            v = self.heads(a, name + "wv")
            kv.append((k, v))
            out = np.empty((self.n_head, n, self.d))
            weights = []
            for h in range(self.n_head):
                keys, values = k[h // group], v[h // group]
                s = np.where(causal, -np.inf, q[h] @ keys.T / np.sqrt(self.d))
                if past:
                    s = np.concatenate([q[h] @ past[layer][0][h // group].T / np.sqrt(self.d), s], -1)
                    values = np.concatenate([past[layer][1][h // group], values])
                p = np.exp(s - s.max(-1, keepdims=True))
                p /= p.sum(-1, keepdims=True)
                out[h] = p @ values
                if attention:
                    weights.append(p)
            if attention:
                seen.append(np.stack(weights))
            x = x + out.transpose(1, 0, 2).reshape(n, -1) @ self.w[name + "wo"].T
            b = self.norm(x, name + "ffn_norm")
            gate = b @ self.w[name + "gate"].T
            x = x + (gate / (1 + np.exp(-gate)) * (b @ self.w[name + "up"].T)) @ self.w[name + "down"].T
        x = x if rows is None else x[rows]
        return self.norm(x, "output_norm") @ self.w.get("output", self.w["embedding"]).T, kv, seen


def nll(logits, targets):
    """Mean of -ln p(target) in nats; logits [n][vocabulary] predict targets [n]."""
    x = np.asarray(logits, np.float64)
    top = x.max(-1, keepdims=True)
    log_sum = np.log(np.exp(x - top).sum(-1)) + top[:, 0]
    return float((log_sum - x[np.arange(len(targets)), targets]).mean())
