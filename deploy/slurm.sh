#!/bin/bash
# Training on several machines by Slurm: one launcher per machine, which starts a process for each of its GPUs.
#
#   sbatch deploy/slurm.sh configs/ImageNet/gMLP/gMLP_S16.yaml -o Global.output_dir=/shared/output/gmlp
#
# The folders of the data and of Global.output_dir must be shared by all machines. See docs/distributed.md.
#SBATCH --job-name=ppcls
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64
#SBATCH --time=48:00:00
# Ten minutes before the end: the processes save and stop, and the job is queued again. Not TERM, which scancel sends.
#SBATCH --signal=B:USR1@600
#SBATCH --requeue
#SBATCH --output=slurm-%j.log

set -u
if [ $# -eq 0 ]; then
    echo "usage: sbatch deploy/slurm.sh RECIPE [-o KEY=VALUE ...]" >&2
    exit 2
fi
recipe=$1
shift
master=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
port=$((20000 + SLURM_JOB_ID % 20000))
devices=$(seq -s, 0 $((${SLURM_GPUS_ON_NODE:-8} - 1)))

# SLURM_NODEID differs by machine, so the command is put together there.
# Global.checkpoints=auto: the same command starts and continues.
export master port devices recipe SLURM_JOB_NUM_NODES
srun --kill-on-bad-exit=1 bash -c '
    exec python -m paddle.distributed.launch \
        --master "$master:$port" --nnodes "$SLURM_JOB_NUM_NODES" --rank "$SLURM_NODEID" \
        --devices "$devices" --log_dir "logs/$SLURM_JOB_ID/$SLURM_NODEID" \
        tools/train.py -c "$recipe" -o Global.checkpoints=auto "$@"' train "$@" &
job=$!

# srun, told to end, would kill the processes; so they are told themselves, as the first step of the job.
stop() {
    scancel --signal=TERM "$SLURM_JOB_ID.0"
    wait "$job"
    scontrol requeue "$SLURM_JOB_ID"
    exit 0
}
trap stop USR1
wait "$job"
