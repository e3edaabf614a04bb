#!/usr/bin/env bash
"$DEPTHKV" --version
