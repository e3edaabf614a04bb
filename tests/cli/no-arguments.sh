#!/usr/bin/env bash
"$DEPTHKV"
