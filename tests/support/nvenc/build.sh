#!/bin/sh
# Builds the double of NVIDIA's driver into the folder $1. Debian: gcc, libc6-dev,
# libffmpeg-nvenc-dev, libx264-dev, libx265-dev.
set -eu

HERE=$(cd "$(dirname "$0")" && pwd)
FOLDER=$1
HEADERS=${NVENC_HEADERS:-/usr/include/ffnvcodec}

# Whatever else FFmpeg looks up in libcuda.so.1 is there, and succeeds; what cuda.c has takes its place.
sed -n 's/^ *LOAD_SYMBOL[A-Z_]*([^"]*"\(cu[A-Z][A-Za-z0-9_]*\)").*/__attribute__((weak)) int \1(void) { return 0; }/p' \
    "$HEADERS/dynlink_loader.h" | sort -u >"$FOLDER/cuda_rest.c"

build() { gcc -O2 -Wall -Werror -shared -fPIC -I "$HEADERS/.." -o "$@"; }
build "$FOLDER/libcuda.so.1" "$HERE/cuda.c" "$FOLDER/cuda_rest.c"
build "$FOLDER/libnvidia-encode.so.1" "$HERE/nvenc.c" "$HERE/inside.c" -lx264 -lx265
