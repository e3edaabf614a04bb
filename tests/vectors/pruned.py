"""Transformers with a pruned cache: attention that leaves removed entries out, layer by layer and KV head by KV head.

transformers' masks are the same for all layers of a kind and all heads, so the attention itself is registered under the name
`pruned`: what its eager attention does (scale, soft cap, mask, softmax), in the model's own precision, with the entries of
`cut` hidden from the tokens behind the prompt. Tokens of the prompt see all, as in a prefill whose cache is cut afterwards. One
pass over prompt and continuation is then the same as feeding the continuation to the pruned cache.

    model = AutoModelForCausalLM.from_config(config, attn_implementation=pruned.NAME)
    with pruned.cut(keep):                      keep[layer]: bool [KV heads][n], or None where nothing is removed
        model(prompt and continuation)
    with pruned.cut(keep, packed=pruned.frequencies(model)): the same with kept entries at their ranks

Packed: in every layer and KV head a kept entry stands at its rank and token n + i at the length of the list it joins. The
rotation is relative, so queries and keys that transformers has rotated are turned back by what they move.
"""
import contextlib

import torch
from transformers import AttentionInterface
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, AttentionMaskInterface

NAME = "pruned"
state = {"keep": None, "packed": None}


def back(x, by, frequency):
    """x [..., tokens][head_dim] turned back by `by` [..., tokens] positions; dimensions beyond the rotated ones stay."""
    half = len(frequency)
    angle = by.double()[..., None] * frequency.double()
    c, s = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    a, b = x[..., :half], x[..., half:2 * half]
    return torch.cat([a * c + b * s, b * c - a * s, x[..., 2 * half:]], -1)


def weights(scores, mask, softcap):
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    return torch.softmax(scores if mask is None else scores + mask[..., :scores.shape[-1]], -1)


def attend(module, query, key, value, mask, scaling, dropout=0.0, softcap=None, **_):
    group = query.shape[1] // key.shape[1]
    keep = state["keep"][module.layer_idx] if state["keep"] is not None else None
    everyone = key.repeat_interleave(group, 1)
    value = value.repeat_interleave(group, 1)
    p = weights(query @ everyone.transpose(-1, -2) * scaling, mask, softcap)
    if keep is not None:
        n, total = keep.shape[1], key.shape[2]
        if state["packed"] is not None and state["packed"][module.layer_idx] is not None:
            rank = torch.cat([keep.cumsum(1) - 1, keep.sum(1, keepdim=True) + torch.arange(total - n)], 1)
            by = torch.arange(total) - rank.clamp(min=0)
            key = back(key, by[None], state["packed"][module.layer_idx])
            query = back(query, by.repeat_interleave(group, 0)[None], state["packed"][module.layer_idx])
            everyone = key.repeat_interleave(group, 1)
        scores = query[..., n:, :] @ everyone.transpose(-1, -2) * scaling
        hidden = torch.zeros(keep.shape[0], 1, total, dtype=scores.dtype)
        hidden[:, 0, :n].masked_fill_(~keep, float("-inf"))
        p = torch.cat([p[..., :n, :], weights(scores, mask[..., n:, :] + hidden.repeat_interleave(group, 0)[None], softcap)], -2)
    return (p @ value).transpose(1, 2).contiguous(), p


def frequencies(model):
    """Of every layer, radians per position and pair; None where a layer does not rotate."""
    rope, out = model.model.rotary_emb, []
    for layer in model.model.layers:
        kind = getattr(layer.self_attn, "layer_type", None) or getattr(layer, "attention_type", None)
        own = getattr(rope, f"{kind}_inv_freq", None)
        rotates = getattr(layer.self_attn, "use_rope", True)
        out.append((rope.inv_freq if own is None else own) if rotates else None)
    return out


@contextlib.contextmanager
def cut(keep, packed=None):
    state.update(keep=keep, packed=packed)
    try:
        yield
    finally:
        state.update(keep=None, packed=None)


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, ALL_MASK_ATTENTION_FUNCTIONS["eager"])
