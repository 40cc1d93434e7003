# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# How QEMU is run here. Sourced after lib.sh by scripts/vm and scripts/boot-system.

# make_run_folder: sets RUN, the folder of everything that belongs to this run alone. Runs
# that were killed leave theirs behind, without its lock.
make_run_folder() {
    local old guard
    mkdir -p "$CACHE/run" "$CACHE/locks"
    # A folder that has only just been made has no lock yet, and must not be taken for an
    # old one.
    exec {guard}>>"$CACHE/locks/run"
    flock "$guard"
    for old in "$CACHE"/run/*/; do
        [ -e "$old/lock" ] || continue
        (flock -n 9 && rm -rf --one-file-system "$old") 9>>"$old/lock" || true
    done
    RUN=$(mktemp -d "$CACHE/run/XXXXXX")
    exec {fd}>>"$RUN/lock"
    flock "$fd"
    exec {guard}>&-
}

# What each kernel is told. An emulated CPU may stand still for long while the host does
# something else. And what QEMU has translated of a program it can use again only where that
# lies at the same address (before its version 8.0): without norandmaps that is half of its work.
# shellcheck disable=SC2034 # for those who source it
APPEND_ALWAYS="console=ttyS0 panic=-1 oops=panic mitigations=off norandmaps random.trust_cpu=on tsc=reliable loglevel=5 \
watchdog_thresh=60 rcupdate.rcu_cpu_stall_timeout=120 workqueue.watchdog_thresh=120 \
sysctl.kernel.hung_task_timeout_secs=300"

# machine MEM CPUS: begins QEMU, the command with its arguments.
machine() {
    QEMU=(
        qemu-system-x86_64 -name dm-loop -M q35 -m "$1" -smp "$2"
        -nodefaults -no-user-config -display none -no-reboot
        -serial "file:$RUN/console" -device virtio-rng-pci
    )
}

# accelerate kvm|tcg: adds to QEMU how its CPUs are run.
accelerate() {
    if [ "$1" = kvm ]; then
        QEMU+=(-accel kvm -cpu host)
    else
        # Both would be chosen for speed, and are slow here: copying byte by byte, and vectors
        # that QEMU does by calling functions.
        QEMU+=(-accel "tcg,thread=multi" -cpu "max,la57=off,erms=off,avx=off,avx2=off")
    fi
}

# share FOLDER: adds to QEMU a folder that guests may write to, by the tag "share".
share() { QEMU+=(-virtfs "local,path=${1//,/,,},mount_tag=share,security_model=none,multidevs=remap"); }

kernel_log() { tr -d '\r' <"$RUN/console" | sed -n '/^\[ *[0-9.]*\]/,$p'; }
