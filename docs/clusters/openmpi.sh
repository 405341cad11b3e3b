#!/bin/bash
# What mpirun starts on two hosts of four GPUs, one process for each GPU:
#   mpirun --hostfile HOSTS --map-by ppr:4:node --bind-to none \
#       -x JAX_COORDINATOR_ADDRESS=FIRST_HOST:29500 docs/clusters/openmpi.sh \
#       --config=configs/cars_b0.py --workdir=runs/cars_b0 --config.data.directory=DIRECTORY
set -eu
: "${JAX_COORDINATOR_ADDRESS:?set it to HOST:PORT of the first host}"
export JAX_NUM_PROCESSES=$OMPI_COMM_WORLD_SIZE
export JAX_PROCESS_ID=$OMPI_COMM_WORLD_RANK
export JAX_LOCAL_DEVICE_IDS=$OMPI_COMM_WORLD_LOCAL_RANK
exec .venv/bin/python train.py "$@"
