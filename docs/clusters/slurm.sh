#!/bin/bash
# Two nodes of four GPUs. From the checkout: sbatch docs/clusters/slurm.sh
#SBATCH --job-name=cars
#SBATCH --nodes=2
# One task for each GPU, which sees all of its node: with --gpus-per-task it would see one.
#SBATCH --ntasks-per-node=4
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=8
#SBATCH --time=08:00:00
# Two minutes before the time is up, the run is told to save; then the job is queued again.
#SBATCH --signal=TERM@120
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x-%j.log

export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK  # srun doesn't take it over by itself
# A task that has saved and ended must not take the others along.
srun --kill-on-bad-exit=0 .venv/bin/python train.py --coordinator=auto \
    --config=configs/cars_b0.py --workdir=runs/cars_b0 \
    --config.data.directory=DIRECTORY
status=$?
if [ $status -eq 75 ]; then  # saved and stopped: the same command resumes
    scontrol requeue "$SLURM_JOB_ID"
fi
exit $status
