#!/bin/bash
# What every host runs as root at each boot: it installs what is missing, and starts the training.
# Fill in your bucket and the repository.
export HOME=/root BUCKET=gs://YOUR-BUCKET REPOSITORY=https://YOUR-HOST/efficientnet.git
cd /opt || exit 1
if [ ! -e ready ]; then
    rm -rf efficientnet && git clone $REPOSITORY efficientnet &&
    python3 -m pip install uv && python3 -m uv venv --seed --python 3.11 efficientnet/.venv &&
    (cd efficientnet &&
        .venv/bin/python -m pip install --constraint constraints.txt --editable '.[tpu,bucket]') &&
    gcloud storage cp --recursive $BUCKET/stanford_cars /opt/ && touch ready
fi
cat > /etc/systemd/system/train.service <<UNIT
[Unit]
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=1h
StartLimitBurst=10

[Service]
WorkingDirectory=/opt/efficientnet
Environment=HOME=/root JAX_COMPILATION_CACHE_DIR=$BUCKET/xla
ExecStart=/opt/efficientnet/.venv/bin/python train.py --coordinator=auto \
    --config=configs/cars_b0.py --workdir=$BUCKET/runs/cars_b0 \
    --config.data.directory=/opt/stanford_cars
Restart=on-failure
RestartSec=30
TimeoutStopSec=30
UNIT
systemctl daemon-reload
systemctl start --no-block train
