# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# An NFS version 4.2 server of this very machine, and mounts of what it exports. Needs
# nothing of the other files here; sets an EXIT trap of nobody: call nfs_end.

NFS_EXPORT=''

# nfs_serve FOLDER: exports FOLDER to this machine, as the root of the server.
nfs_serve() {
    NFS_EXPORT=$1
    modprobe -a sunrpc nfsd nfsv4
    mkdir -p /run/rpc_pipefs /var/lib/nfs/nfsdcld
    mountpoint -q /run/rpc_pipefs || mount -t rpc_pipefs rpc_pipefs /run/rpc_pipefs
    mountpoint -q /proc/fs/nfsd || mount -t nfsd nfsd /proc/fs/nfsd
    # Remembers the clients, so that they get their open files back after a restart.
    pidof -q nfsdcld || nfsdcld
    # Answers what the kernel asks about exports.
    pidof -q rpc.mountd || rpc.mountd --no-nfs-version 3
    nfs_start
    exportfs -o rw,sync,fsid=0,no_root_squash,no_subtree_check,insecure "localhost:$NFS_EXPORT"
}

# nfs_start, nfs_stop: the server's threads. A client has nobody to talk to in between.
nfs_start() {
    # Times in which clients may reclaim what they had: only this machine is one.
    echo 10 >/proc/fs/nfsd/nfsv4leasetime
    echo 10 >/proc/fs/nfsd/nfsv4gracetime
    rpc.nfsd --no-nfs-version 3 --no-udp 4
}
nfs_stop() { rpc.nfsd 0; }
nfs_running() { [ "$(cat /proc/fs/nfsd/threads 2>/dev/null)" -gt 0 ]; }

# nfs_mount FOLDER [OPTION,…]: mounts what nfs_serve exports.
nfs_mount() {
    mkdir -p "$1"
    mount -t nfs4 -o "vers=4.2,proto=tcp,${2:-hard}" localhost:/ "$1"
}

# nfs_end: takes the server away. Its clients must be unmounted.
nfs_end() {
    local name
    [ -n "$NFS_EXPORT" ] || return 0
    exportfs -u "localhost:$NFS_EXPORT"
    nfs_stop
    exportfs -f
    for name in rpc.mountd nfsdcld; do
        pkill -x "$name" && while pidof -q "$name"; do sleep 0.1; done
    done
    NFS_EXPORT=''
    umount /proc/fs/nfsd /run/rpc_pipefs
}
