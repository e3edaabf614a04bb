#!/usr/bin/env bash
# The release and the commit, by either spelling.
"$DEPTHKV" --version && "$DEPTHKV" -V
