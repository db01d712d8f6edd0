#!/bin/sh
# Run by test_image.py in a mount namespace of its own: a root file system, read-only but for /tmp,
# and in it the emulator with the function as an unprivileged user.
# run_image.sh ROOT EMULATOR ADDRESS RUNTIME_ADDRESS HANDLER
set -eu
root=$1 emulator=$2 address=$3 runtime=$4 handler=$5
mount --make-rprivate /
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --bind /dev "$root/dev"
mount -t tmpfs -o mode=1777,size=512m tmpfs "$root/tmp"
cp "$emulator" "$root/tmp/rie"
mount -o remount,bind,ro "$root"
exec chroot --userspec=65532:65532 "$root" /usr/bin/env -i \
  PATH=/usr/bin:/bin HOME=/tmp LAMBDA_TASK_ROOT=/var/task PYTHONPATH=/var/task \
  PYTHONDONTWRITEBYTECODE=1 AWS_EXECUTION_ENV=AWS_Lambda_python3.12 \
  AWS_LAMBDA_FUNCTION_NAME=embellama AWS_LAMBDA_FUNCTION_MEMORY_SIZE=1769 \
  AWS_LAMBDA_FUNCTION_TIMEOUT=60 'AWS_LAMBDA_FUNCTION_VERSION=$LATEST' \
  /tmp/rie --runtime-interface-emulator-address "$address" --runtime-api-address "$runtime" \
  python3 -m awslambdaric "$handler"
