#!/usr/bin/env bash
# describe MODEL.h5 says what a model file holds; its figures are those of the shape, by hand. It reads no weight.
. "$ROOT/tests/cli/lib/model.sh"
has() { # LINE: exactly this line is there
  grep -qxF -- "$1" out || fail "no line '$1': $(cat out)"
}
"$DEPTHKV" describe tiny.h5 >out 2>err && [ ! -s err ] || fail "describe: $(cat err)"
has 'architecture: llama'
has 'layers: 2, all with full attention'
has 'heads: 2 of queries, 1 of keys and values, of 8 dimensions'
has 'width: 16, feed-forward 24'
has 'vocabulary: 257'
has 'context: 4096 tokens'
has 'positions: rotated with base 10000'
has 'tokenizer: bytes; 257 tokens, BOS not added'
has 'template: none'
# 257 x 16, and 16, and of each layer 2 x 16, 16 x 16 twice, 8 x 16 twice, 24 x 16 three times
has 'parameters: 8,032 (embedding 4,112, which is the output matrix as well)'
has 'cache: 128 bytes a token (2 layers x 1 KV head x 2 x 8 x 4)'
has '  1024 tokens: 0.12 MiB'
has '  4096 tokens: 0.50 MiB'
grep -qE '^source: hf, sha256 [0-9a-f]{12}\.\.\.$' out || fail "no source: $(cat out)"
"$DEPTHKV" describe tiny.h5 --json >out 2>err && [ "$(wc -l <out)" -eq 1 ] || fail "--json: $(cat err)"
for part in '"kind":"model"' '"n_layer":2,' '"layer_kinds":"ff","window":null' '"parameters":8032,' '"embedding_parameters":4112,' \
  '"output_parameters":0,' '"cache_bytes_per_token":128,' '"window_cache_bytes":0,' '"cache_bytes":{"1024":131072,"4096":524288}'; do
  grep -qF -- "$part" out || fail "--json lacks $part: $(cat out)"
done

# other kinds of layers
cp hf/config.json llama.json
sed 's/"model_type": "llama"/"model_type": "smollm3", "no_rope_layers": [1, 0]/' llama.json >hf/config.json
"$DEPTHKV" import hf -o other.h5 -q --dtype bf16 || fail "import"
"$DEPTHKV" describe other.h5 >out || fail "describe"
has 'layers: 2'
has '  1 with full attention: 0'
has '  1 with full attention, without positions: 1'
grep -qE '^file: .*, matrices bfloat16$' out || fail "type of the file: $(cat out)"
sed 's/"model_type": "llama"/"model_type": "mistral", "sliding_window": 9/' llama.json >hf/config.json
"$DEPTHKV" import hf -o other.h5 -q || fail "import"
"$DEPTHKV" describe other.h5 >out || fail "describe"
has '  2 with a window of 9 tokens: 0-1'
has 'cache: 0 bytes a token (0 layers x 1 KV head x 2 x 8 x 4), and at most 1152 bytes of the 2 layers with a window'
"$DEPTHKV" describe other.h5 --json >out && grep -qF '"layer_kinds":"ww","window":9,' out &&
  grep -qF '"cache_bytes_per_token":0,"window_cache_bytes":1152,"cache_bytes":{"1024":1152,"4096":1152}' out || fail "windows: $(cat out)"

# real models, where they have been fetched: their parameters as their makers count them
told() { # FILE LINE...
  local file=$ROOT/models/cache/$1 line
  shift
  [ -f "$file" ] || return 0
  "$DEPTHKV" describe "$file" >out || fail "describe $file"
  for line; do has "$line"; done
}
told smollm2-135m-instruct.h5 'parameters: 134,515,008 (embedding 28,311,552, which is the output matrix as well)' \
  'cache: 46080 bytes a token (30 layers x 3 KV heads x 2 x 64 x 4)'
told qwen2.5-coder-0.5b-instruct.h5 'parameters: 630,167,424 (embedding 136,134,656, output 136,134,656)' \
  'further: queries, keys and values with bias'
told gemma-3-270m.h5 '  3 with full attention: 5, 11, 17' '  15 with a window of 512 tokens: 0-4, 6-10, 12-16' \
  'parameters: 268,098,176 (embedding 167,772,160, which is the output matrix as well)' '  32768 tokens: 207.00 MiB' \
  'positions: rotated with base 1000000; in layers with a window with base 10000' \
  'cache: 6144 bytes a token (3 layers x 1 KV head x 2 x 256 x 4), and at most 15.00 MiB of the 15 layers with a window'

refuses() { # REGEX NAME: exit status 2 and a message that matches, which names the file
  "$DEPTHKV" describe "$2" >out 2>err
  [ $? -eq 2 ] && [ ! -s out ] && grep -qE -- "^depthkv: $2: .*$1" err || fail "describe $2: $(cat out err)"
}
refuses 'No such file or directory' none.h5
refuses 'folder.*depthkv import hf -o model\.h5' hf
refuses 'not an HDF5 file' hf/config.json
refuses 'not a model file' "$ROOT/results/published/smoke/profile.h5"
head -c 9000 tiny.h5 >short.h5
refuses '.' short.h5
