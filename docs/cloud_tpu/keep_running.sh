#!/bin/bash
# Requests a Spot TPU, and another one when it is gone, until the run in the bucket is finished.
# In tmux on a machine that stays up, with startup.sh beside this file:
#   BUCKET=gs://YOUR-BUCKET ZONE=us-west4-a docs/cloud_tpu/keep_running.sh
: "${BUCKET:?set it to gs://YOUR-BUCKET}" "${ZONE:?set it to the zone of the TPU}"

requests() {
    gcloud compute tpus queued-resources "$@" --zone="$ZONE"
}
state() {  # nothing if there is no request; it fails if that can't be found out
    requests list --filter='name ~ /cars$' --format='value(state.state)'
}

until gcloud storage ls "$BUCKET/runs/cars_b0/summary.json"; do
    if found=$(state); then
        case $found in
            "")
                requests create cars --node-id=cars --spot --accelerator-type=v5litepod-8 \
                    --runtime-version=v2-alpha-tpuv5-lite \
                    --metadata-from-file="startup-script=$(dirname "$0")/startup.sh"
                ;;
            FAILED | SUSPENDED) requests delete cars --force --quiet ;;
        esac
    fi
    sleep 60
done
until found=$(state) && [ -z "$found" ]; do
    requests delete cars --force --quiet
    sleep 60
done
