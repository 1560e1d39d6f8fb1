#!/bin/sh
# Two machines with eight GPUs each, without any scheduler. The same on both, with the name or address of one of them:
#   FIRST=gpu01 sh docs/scale/train.sh
torchrun --nnodes 2 --nproc-per-node 8 --rdzv-backend c10d --rdzv-endpoint "$FIRST:29400" \
    -m selftaught pretrain data/photos.zip --recipe recipes/simclr_paper.yaml --epochs 100 --batch-size 4096 \
    --workers 12 --checkpoint-every 30m --out runs/photos --resume
