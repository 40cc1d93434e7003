// SPDX-License-Identifier: GPL-2.0

//! What `dmloop report --redact` hides: names of files, folders, devices and machines.

use crate::{
    control::Control,
    device::Device,
    mounts::{self, Mount},
    redact::Names,
};
use rustix::system::uname;
use std::path::Path;

/// File systems of the kernel's own, which are mounted at the same places everywhere.
const KERNELS: &[&str] = &[
    "autofs",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "efivarfs",
    "fusectl",
    "hugetlbfs",
    "mqueue",
    "proc",
    "pstore",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "sysfs",
    "tracefs",
];
/// Options of file systems whose values name machines and people.
const NAMING: &[&str] = &[
    "addr",
    "clientaddr",
    "mountaddr",
    "ip",
    "srcaddr",
    "username",
    "user",
    "domain",
    "unc",
    "name",
    "mon_addr",
];

/// What is known of the machine and of the devices.
pub(crate) fn all(control: &Control, devices: &[Device]) -> Names {
    let mut names = Names::default();
    add_host(&uname().nodename().to_string_lossy(), &mut names);
    // Those of others, too: some stand on ours, or the other way round.
    for (name, _) in control.names().unwrap_or_default() {
        names.add(&name, "device");
        let uuid = control.info(&name).map(|header| header.uuid);
        if uuid.is_ok_and(|uuid| uuid.starts_with("LVM-")) {
            add_volume(&name, &mut names);
        }
    }
    for device in devices {
        for target in &device.targets {
            names.add_path(&target.table.path);
        }
    }
    for mount in mounts::all() {
        add_mount(&mount, &mut names);
    }
    names
}

/// What only a text of the report tells.
pub(crate) fn told(text: &str, names: &mut Names) {
    for line in text.lines() {
        if let Some(path) = refused_path(line) {
            names.add_path(path);
        }
        // BTRFS: device label NAME devid 1 transid 8 /dev/dm-0 (253:0) scanned by mount (12)
        if let Some((_, rest)) = line.split_once(" device label ") {
            if let Some((label, rest)) = rest.rsplit_once(" devid ") {
                names.add(label, "label");
                let source = rest.split(' ').find(|word| word.starts_with("/dev/"));
                source
                    .into_iter()
                    .for_each(|source| add_source(source, names));
            }
        }
        // Linux version 6.1.0 (NAME@HOST) (gcc …
        if let Some((_, rest)) = line.split_once("Linux version ") {
            let mut words = rest.split(['(', ')']);
            if let Some(builder) = words.find(|word| word.contains('@')) {
                add_at(builder, "builder", names);
            }
        }
    }
}

/// The file that a log line of the module is about: of one that was refused no device tells
/// the name.
fn refused_path(line: &str) -> Option<&str> {
    let (_, said) = line.split_once("dm_loop: ")?;
    let end = said
        .rfind(": refused with errno ")
        .or_else(|| said.rfind(": offset "))?;
    said.get(..end).filter(|path| path.starts_with('/'))
}

/// The name of a machine, with its domain and without.
fn add_host(host: &str, names: &mut Names) {
    names.add(host, "host");
    if let Some((first, domain)) = host.split_once('.') {
        if !host
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.')
        {
            names.add(first, "host");
            names.add(domain, "domain");
        }
    }
}

/// `NAME@HOST`, or one of them.
fn add_at(text: &str, kind: &str, names: &mut Names) {
    names.add(text, kind);
    match text.rsplit_once('@') {
        Some((name, host)) => {
            names.add(name, "user");
            add_host(host, names);
        }
        None => add_host(text, names),
    }
}

/// The names of the volume group and the volume of which LVM has made that of a device.
fn add_volume(name: &str, names: &mut Names) {
    // A - in either is doubled.
    let single = name.replace("--", "\0");
    for part in single.split('-') {
        names.add(part.replace('\0', "-"), "device");
    }
}

fn add_mount(mount: &Mount, names: &mut Names) {
    if KERNELS.contains(&mount.fs_type.as_str()) {
        return;
    }
    names.add_path(&mount.point);
    add_source(&mount.source.to_string_lossy(), names);
    for options in [&mount.options, &mount.super_options] {
        add_options(options, names);
    }
}

/// `/dev/mapper/NAME`, `/dev/NAME/NAME`, `NAME@HOST:/PATH`, `//HOST/NAME`, or a mere word.
fn add_source(source: &str, names: &mut Names) {
    let is_kernels = |name: &str| Path::new("/sys/class/block").join(name).exists();
    match source.strip_prefix("/dev/") {
        Some(name) if is_kernels(name) => {}
        Some(path) => match path.strip_prefix("mapper/") {
            Some(name) => names.add(name, "device"),
            None => names.add_path(path),
        },
        None => match source.split_once(":/") {
            Some((host, path)) => {
                add_at(host, "host", names);
                names.add_path(path);
            }
            None => match source
                .strip_prefix("//")
                .and_then(|rest| rest.split_once('/'))
            {
                Some((host, path)) => {
                    add_at(host, "host", names);
                    names.add_path(path);
                }
                // Such as "tmpfs": it says nothing.
                None if !source.contains(['/', ':', '@']) => {}
                None => names.add_path(source),
            },
        },
    }
}

/// Paths and names among options: `lowerdir=/a:/b`, `subvol=/x`, `addr=10.0.0.1`.
fn add_options(options: &str, names: &mut Names) {
    let mut is_path = false;
    for option in options.split(',') {
        let (key, value) = match option.split_once('=') {
            Some((key, value)) => (key, value),
            // A comma within a path.
            None if is_path && option.contains('/') => ("", option),
            None => continue,
        };
        is_path = value.contains('/');
        if NAMING.contains(&key) {
            add_at(value, "address", names);
            names.add_path(value.replace('\\', "/"));
        } else if is_path {
            for path in value.split(':') {
                // Overlayfs writes \: for a colon.
                names.add_path(path.trim_end_matches('\\'));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(add: impl FnOnce(&mut Names), text: &str) -> String {
        let mut names = Names::default();
        add(&mut names);
        names.hide(text)
    }

    #[test]
    fn files_that_were_refused() {
        let log = "[ 1.0] dm_loop: /home/alice/a: b.img: refused with errno -16\n\
                   dm_loop: /x/y: offset 3 and 8 sectors in a file of 512 bytes\n\
                   dm_loop: loading out-of-tree module taints kernel.\n";
        let paths: Vec<&str> = log.lines().filter_map(refused_path).collect();
        assert_eq!(paths, ["/home/alice/a: b.img", "/x/y"]);
    }

    #[test]
    fn what_the_log_tells() {
        for (text, wanted) in [
            (
                "BTRFS: device label my own devid 1 transid 8 /dev/mapper/private (253:0) scanned by mount (12)",
                "BTRFS: device label label-1 devid 1 transid 8 /dev/mapper/device-2 (253:0) scanned by mount (12)",
            ),
            (
                "Linux version 7.3.4 (alice@box.example.org) (gcc 14)",
                "Linux version 7.3.4 (builder-1) (gcc 14)",
            ),
        ] {
            assert_eq!(hidden(|names| told(text, names), text), wanted);
        }
        let text = "Linux version 1 (alice@box.example.org)\nbox: alice example.org";
        let said = hidden(|names| told(text, names), text);
        assert!(!said.contains("alice") && !said.contains("box") && !said.contains("example"));
    }

    #[test]
    fn sources() {
        for (source, secrets) in [
            ("/dev/mapper/crypt_home", vec!["crypt_home"]),
            ("/dev/mapper/my--group-volume", vec!["my--group-volume"]),
            ("/dev/group/volume", vec!["group", "volume"]),
            ("/dev/disk/by-label/PRIVATE", vec!["PRIVATE"]),
            (
                "server.example.org:/export/alice",
                vec!["server", "example.org", "export", "alice"],
            ),
            ("bob@server:/home/bob", vec!["bob", "server"]),
            ("//server/share", vec!["server", "share"]),
        ] {
            for secret in secrets {
                let said = hidden(
                    |names| add_source(source, names),
                    &format!("x {secret} {source}"),
                );
                let word = |char: char| !(char.is_alphanumeric() || "-_.".contains(char));
                assert!(
                    !said.split(word).any(|word| word == secret),
                    "{secret}: {said}"
                );
            }
        }
        // The kernel's own words stay.
        for source in ["tmpfs", "overlay", "none"] {
            assert_eq!(hidden(|names| add_source(source, names), source), source);
        }
    }

    #[test]
    fn volumes() {
        let text = "my-group volume my--group-volume dmloop";
        let volume = |names: &mut Names| add_volume("my--group-volume", names);
        assert_eq!(
            hidden(volume, text),
            "device-1 device-2 my--group-device-2 dmloop"
        );
    }

    #[test]
    fn options() {
        let overlay = "rw,lowerdir=/srv/one:/srv/two,upperdir=/srv/up,workdir=/srv/work,uuid=on";
        assert_eq!(
            hidden(|names| add_options(overlay, names), overlay),
            "rw,lowerdir=/srv/name-1:/srv/name-2,upperdir=/srv/name-3,workdir=/srv/name-4,uuid=on"
        );
        let nfs = "rw,vers=4.2,proto=tcp,clientaddr=10.1.2.3,addr=fd00::17";
        assert_eq!(
            hidden(|names| add_options(nfs, names), nfs),
            "rw,vers=4.2,proto=tcp,clientaddr=address-1,addr=address-2"
        );
        let btrfs = "rw,ssd,subvolid=256,subvol=/@alice";
        assert_eq!(
            hidden(|names| add_options(btrfs, names), btrfs),
            "rw,ssd,subvolid=256,subvol=/name-1"
        );
        let ext4 = "rw,errors=remount-ro,data=ordered";
        assert_eq!(hidden(|names| add_options(ext4, names), ext4), ext4);
    }

    #[test]
    fn mounts_of_any_kind() {
        let mount = |fs_type: &str, source: &str, point: &str| Mount {
            number: (0, 40),
            point: point.into(),
            options: "rw".to_owned(),
            fs_type: fs_type.to_owned(),
            source: source.into(),
            super_options: "rw".to_owned(),
        };
        let secret = mount("overlay", "overlay", "/srv/merged");
        assert_eq!(
            hidden(|names| add_mount(&secret, names), "/srv/merged"),
            "/srv/name-1"
        );
        let kernels = mount("cgroup2", "cgroup2", "/sys/fs/cgroup");
        assert_eq!(
            hidden(|names| add_mount(&kernels, names), "cgroup"),
            "cgroup"
        );
    }
}
