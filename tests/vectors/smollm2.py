"""SmolLM2-135M-Instruct for the scripts beside: weights, tokenizer and pieces of books. Needs h5py, numpy, tokenizers;
hugging_face() needs torch and transformers 5.2 as well.

The weights are those of the file that `make smollm2` imports (dequantised to float32 once, then the same for everybody).
check_gguf() compares them with what transformers' own GGUF loader makes of the source file.
"""
import os

import h5py
import numpy as np
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

BOOKS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../datasets/books")
NAMES = {"attn_norm": "input_layernorm", "wq": "self_attn.q_proj", "wk": "self_attn.k_proj", "wv": "self_attn.v_proj",
         "wo": "self_attn.o_proj", "ffn_norm": "post_attention_layernorm", "gate": "mlp.gate_proj", "up": "mlp.up_proj",
         "down": "mlp.down_proj"}


def texts(at):
    """A list of strings of a model file: bytes and their ends, or (format version 1) a dataset of variable-length text."""
    if isinstance(at, h5py.Dataset):
        return [t.decode() for t in at[()]]
    raw, ends = at["bytes"][()].tobytes(), at["end"][()]
    return [raw[a:b].decode() for a, b in zip([0, *ends[:-1]], ends)]


class Model:
    def __init__(self, path):
        with h5py.File(path) as f:
            self.hp = {k: v.decode() if isinstance(v, bytes) else v.item() for k, v in f.attrs.items()}
            self.weights = {"embedding": f["embedding"][()], "output_norm": f["output_norm"][()]}
            for i in range(self.hp["n_layer"]):
                for name in NAMES:
                    self.weights[f"layers/{i}/{name}"] = f[f"layers/{i}/{name}"][()]
            token = texts(f["tokenizer/token"])
            merge = [tuple(m.split(" ")) for m in texts(f["tokenizer/merge"])]
            kind = f["tokenizer/type"][()]
            self.eos = int(f["tokenizer"].attrs["eos"])
        assert all(w.dtype == np.float32 for w in self.weights.values()) and self.hp["tied"] and not self.hp["qkv_bias"]
        self.tokenizer = Tokenizer(models.BPE({t: i for i, t in enumerate(token)}, merge))
        self.tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
            pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
        self.tokenizer.decoder = decoders.ByteLevel()
        self.tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t, k in zip(token, kind) if k == 1])

    def encode(self, text):
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def exact(self):
        """The model in float64 arithmetic."""
        from llama64 import Llama
        return Llama(self.weights, *(self.hp[k] for k in ("n_layer", "n_head", "n_kv_head", "head_dim", "norm_eps", "rope_base")))

    def state_dict(self):
        import torch
        state = {"model.embed_tokens.weight": "embedding", "model.norm.weight": "output_norm", "lm_head.weight": "embedding"}
        for i in range(self.hp["n_layer"]):
            for ours, theirs in NAMES.items():
                state[f"model.layers.{i}.{theirs}.weight"] = f"layers/{i}/{ours}"
        return {k: torch.from_numpy(self.weights[v]) for k, v in state.items()}

    def hugging_face(self, attention="sdpa"):
        """transformers' LlamaForCausalLM in float32 with these weights."""
        import transformers
        from transformers.initialization import no_init_weights
        hp = self.hp
        config = transformers.LlamaConfig(
            hidden_size=hp["d_model"], intermediate_size=hp["d_ff"], num_hidden_layers=hp["n_layer"],
            num_attention_heads=hp["n_head"], num_key_value_heads=hp["n_kv_head"], head_dim=hp["head_dim"],
            vocab_size=hp["n_vocab"], max_position_embeddings=hp["context_length"], rms_norm_eps=hp["norm_eps"],
            rope_parameters={"rope_type": "default", "rope_theta": hp["rope_base"]}, tie_word_embeddings=True,
            attn_implementation=attention, bos_token_id=None, eos_token_id=None, pad_token_id=None)
        with no_init_weights():  # random ones would take seconds
            model = transformers.LlamaForCausalLM(config).float().eval()
        model.tie_weights()
        model.load_state_dict(self.state_dict())
        assert model.lm_head.weight is model.model.embed_tokens.weight
        return model

    def check_gguf(self, path):
        """Every weight equals the one that transformers reads from the GGUF file, bit for bit."""
        import torch
        import transformers
        folder, name = os.path.split(os.path.abspath(path))
        theirs = transformers.LlamaForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32)
        for key, ours in self.state_dict().items():
            assert torch.equal(theirs.state_dict()[key], ours), key
        c = theirs.config
        rope = getattr(c, "rope_parameters", None) or {"rope_theta": c.rope_theta}
        assert abs(rope["rope_theta"] - self.hp["rope_base"]) < 1e-3 and abs(c.rms_norm_eps - self.hp["norm_eps"]) < 1e-12


def book(name):
    """A book's bytes without carriage returns; the ranges in the vectors count these."""
    with open(os.path.join(BOOKS, name), "rb") as f:
        return f.read().replace(b"\r", b"")


def pieces(model, name, after, *lengths):
    """Stretches of a book, one behind the other, of just so many tokens each when encoded apart.

    They start at the first paragraph behind byte `after` from which such cuts exist. Returns [(begin, end, ids)].
    """
    text = book(name)
    start = after
    while True:
        start = text.index(b"\n\n", start) + 2
        found, at = [], start
        for n in lengths:
            window = text[at:at + 12 * n].decode("utf-8", "ignore")
            coded = model.tokenizer.encode(window, add_special_tokens=False)
            end = at + len(window[:coded.offsets[n - 1][1]].encode())
            ids = model.encode(text[at:end].decode("utf-8", "replace"))
            if ids != coded.ids[:n]:
                break
            found.append((at, end, ids))
            at = end
        if len(found) == len(lengths) and text[start:start + 1] not in b"\n ":
            return found
