// SPDX-License-Identifier: GPL-2.0

//! How device-mapper splits a table line: `dm_split_args()` of `drivers/md/dm-table.c`
//! and the characters that `lib/ctype.c` marks as space, told again.

/// The kernel's `isspace()`: bytes are Latin-1, so that the no-break space is one.
pub fn is_space(byte: u8) -> bool {
    [b'\t', b'\n', 0x0b, 0x0c, b'\r', b' ', 0xa0].contains(&byte)
}

/// What libdevmapper makes of the arguments of a target: `_add_target()` of
/// `libdm/ioctl/libdm-iface.c` doubles each backslash.
pub fn double_backslashes(line: &[u8]) -> Vec<u8> {
    line.iter()
        .flat_map(|&byte| std::iter::repeat_n(byte, if byte == b'\\' { 2 } else { 1 }))
        .collect()
}

/// The arguments in `line`, a C string: it ends at its first NUL, if there is one.
pub fn split(line: &[u8]) -> Vec<Vec<u8>> {
    let line = line.split(|&byte| byte == 0).next().unwrap_or(&[]);
    let mut bytes = line.iter().copied().peekable();
    let mut args = Vec::new();
    loop {
        while bytes.next_if(|&byte| is_space(byte)).is_some() {}
        if bytes.peek().is_none() {
            return args;
        }
        let mut arg = Vec::new();
        while let Some(byte) = bytes.next() {
            if byte == b'\\' {
                // A backslash that ends the line stands for itself.
                arg.push(bytes.next().unwrap_or(byte));
            } else if is_space(byte) {
                break;
            } else {
                arg.push(byte);
            }
        }
        args.push(arg);
    }
}
