#!/bin/sh
#SBATCH --job-name=patchseg --output=patchseg_%A_%a.txt
#SBATCH --cpus-per-task=4 --mem=8G --time=01:00:00
# A task for each subject: sbatch --array=1-$(ls -d DATASET/sub-*/ | wc -l) slurm_array.sh DATASET OUT
# Then, also if some failed: sbatch --dependency=afterany:JOB --wrap "patchseg bids DATASET OUT group"
set -eu
dataset=$1 out=$2
subject=$(basename "$(ls -d "$dataset"/sub-*/ | sed -n "${SLURM_ARRAY_TASK_ID}p")")
exec patchseg bids "$dataset" "$out" participant --participant-label "$subject" \
    --threads "$SLURM_CPUS_PER_TASK"
