#!/usr/bin/env bash
# What is no model is refused with a message, and leaves no output and no temporary file.
. "$ROOT/tests/cli/lib/model.sh"
failed=0
t() { # SOURCE EXPRESSION
  local before status
  before=$(find . | sort)
  "$DEPTHKV" import "$1" -o o.h5 >out 2>err
  status=$?
  if [ $status -lt 1 ] || [ $status -gt 2 ] || ! grep -qE "$2" err || [ "$(find . | sort)" != "$before" ]; then
    echo "import $1: status $status, stderr: $(head -c 300 err)"
    failed=1
  fi
}
touch out err
head -c 100000 /dev/zero >zeros.gguf
{ printf GGUF; head -c 100000 hf/tokenizer.json; } >text.gguf
mkdir empty
cp -r hf cut && head -c 9000 hf/model.safetensors >cut/model.safetensors
cp -r hf wide && sed -i 's/"hidden_size": 16/"hidden_size": 32/' wide/config.json
cp -r hf bert && sed -i 's/LlamaForCausalLM/BertModel/; s/"llama"/"bert"/' bert/config.json
cp -r hf nojson && echo '{' >nojson/config.json
cp -r hf badtok && echo '{"model": 1}' >badtok/tokenizer.json
t nosuch nosuch
t zeros.gguf zeros.gguf
t text.gguf text.gguf
t /dev/null /dev/null
t empty empty
t cut model.safetensors
t wide 'shape|expected'
t bert bert
t nojson config.json
t badtok tokenizer.json
exit $failed
