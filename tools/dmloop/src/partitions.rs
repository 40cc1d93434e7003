// SPDX-License-Identifier: GPL-2.0

//! Partition tables: MBR with logical partitions, and GPT.
//!
//! Pure but for the reader that is handed in.

/// A partition, in sectors of 512 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Partition {
    /// Its number, as the kernel counts.
    pub(crate) number: u32,
    /// First sector.
    pub(crate) start: u64,
    /// Sectors.
    pub(crate) len: u64,
}

/// Reads `len` bytes from byte `offset` of the disk.
pub(crate) trait Disk {
    /// [`None`] beyond the end, or if it cannot be read.
    fn read(&self, offset: u64, len: usize) -> Option<Vec<u8>>;
}

/// Logical partitions are a list that could lead in a circle.
const MOST: usize = 256;

/// The partitions of a disk with logical blocks of `block` bytes. Those that do not fit in
/// `sectors` are left out.
pub(crate) fn find(disk: &dyn Disk, block: u64, sectors: u64) -> Vec<Partition> {
    let mut found = mbr(disk, block).unwrap_or_default();
    found.retain(|part| {
        let end = part.start.checked_add(part.len);
        part.start != 0 && part.len != 0 && end.is_some_and(|end| end <= sectors)
    });
    found
}

fn mbr(disk: &dyn Disk, block: u64) -> Option<Vec<Partition>> {
    let sector = disk.read(0, 512)?;
    if sector.get(510..512)? != [0x55, 0xaa] {
        return None;
    }
    let entries = entries(&sector)?;
    if entries.iter().any(|entry| entry.kind == 0xee) {
        return gpt(disk, block);
    }
    let unit = block / 512;
    let mut found = Vec::new();
    for (number, entry) in (1..).zip(&entries) {
        if is_extended(entry.kind) {
            logical(disk, block, u64::from(entry.start), &mut found);
        } else if entry.kind != 0 {
            found.push(Partition {
                number,
                start: u64::from(entry.start) * unit,
                len: u64::from(entry.len) * unit,
            });
        }
    }
    found.sort_by_key(|part| part.number);
    Some(found)
}

/// An entry of an MBR, in logical blocks.
struct Entry {
    kind: u8,
    start: u32,
    len: u32,
}

fn entries(sector: &[u8]) -> Option<Vec<Entry>> {
    let entry = |bytes: &[u8]| {
        Some(Entry {
            kind: *bytes.get(4)?,
            start: u32::from_le_bytes(bytes.get(8..12)?.try_into().ok()?),
            len: u32::from_le_bytes(bytes.get(12..16)?.try_into().ok()?),
        })
    };
    sector.get(446..510)?.chunks_exact(16).map(entry).collect()
}

fn is_extended(kind: u8) -> bool {
    matches!(kind, 0x05 | 0x0f | 0x85)
}

/// Follows the list of logical partitions, which are numbered from 5 on.
fn logical(disk: &dyn Disk, block: u64, first: u64, found: &mut Vec<Partition>) -> Option<()> {
    let unit = block / 512;
    let mut at = first;
    let mut number = 5;
    for _ in 0..MOST {
        let sector = disk.read(at.checked_mul(block)?, 512)?;
        if sector.get(510..512)? != [0x55, 0xaa] {
            break;
        }
        let mut next = None;
        for entry in entries(&sector)?
            .iter()
            .take(2)
            .filter(|entry| entry.kind != 0)
        {
            if is_extended(entry.kind) {
                next = Some(first.checked_add(u64::from(entry.start))?);
            } else {
                found.push(Partition {
                    number,
                    start: at.checked_add(u64::from(entry.start))?.checked_mul(unit)?,
                    len: u64::from(entry.len) * unit,
                });
                number += 1;
            }
        }
        match next {
            Some(next) if next != at => at = next,
            _ => break,
        }
    }
    Some(())
}

fn gpt(disk: &dyn Disk, block: u64) -> Option<Vec<Partition>> {
    let unit = block / 512;
    let header = disk.read(block, 512)?;
    let size = usize::try_from(u32_at(&header, 12)?)
        .ok()
        .filter(|size| (92..=512).contains(size))?;
    if header.get(..8)? != b"EFI PART" {
        return None;
    }
    let mut blank = header.get(..size)?.to_vec();
    blank.get_mut(16..20)?.fill(0);
    if crc32(&blank) != u32_at(&header, 16)? {
        return None;
    }
    let count = usize::try_from(u32_at(&header, 80)?)
        .ok()
        .filter(|&count| count <= 4096)?;
    let width = usize::try_from(u32_at(&header, 84)?)
        .ok()
        .filter(|width| (128..=4096).contains(width))?;
    let table = disk.read(u64_at(&header, 72)?.checked_mul(block)?, count * width)?;
    if crc32(&table) != u32_at(&header, 88)? {
        return None;
    }
    let mut found = Vec::new();
    for (number, entry) in (1..).zip(table.chunks_exact(width)) {
        // An unused entry has no type.
        if entry.get(..16)?.iter().all(|&byte| byte == 0) {
            continue;
        }
        let (first, last) = (u64_at(entry, 32)?, u64_at(entry, 40)?);
        let blocks = last
            .checked_sub(first)
            .and_then(|blocks| blocks.checked_add(1));
        let scaled = first
            .checked_mul(unit)
            .zip(blocks.and_then(|blocks| blocks.checked_mul(unit)));
        if let Some((start, len)) = scaled {
            found.push(Partition { number, start, len });
        }
    }
    Some(found)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    impl Disk for Vec<u8> {
        fn read(&self, offset: u64, len: usize) -> Option<Vec<u8>> {
            let start = usize::try_from(offset).ok()?;
            Some(self.get(start..start.checked_add(len)?)?.to_vec())
        }
    }

    fn put(disk: &mut [u8], at: usize, bytes: &[u8]) {
        disk[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn entry(disk: &mut [u8], sector: usize, index: usize, kind: u8, start: u32, len: u32) {
        let at = sector * 512 + 446 + 16 * index;
        disk[at + 4] = kind;
        put(disk, at + 8, &start.to_le_bytes());
        put(disk, at + 12, &len.to_le_bytes());
        put(disk, sector * 512 + 510, &[0x55, 0xaa]);
    }

    fn parts(found: &[Partition]) -> Vec<(u32, u64, u64)> {
        found
            .iter()
            .map(|part| (part.number, part.start, part.len))
            .collect()
    }

    #[test]
    fn primary_and_logical() {
        let mut disk = vec![0; 200 * 512];
        entry(&mut disk, 0, 0, 0x83, 10, 20);
        entry(&mut disk, 0, 1, 0x05, 50, 100);
        entry(&mut disk, 0, 3, 0x83, 190, 10);
        entry(&mut disk, 50, 0, 0x83, 1, 5);
        entry(&mut disk, 50, 1, 0x05, 40, 20);
        entry(&mut disk, 90, 0, 0x82, 2, 7);
        assert_eq!(
            parts(&find(&disk, 512, 200)),
            [(1, 10, 20), (4, 190, 10), (5, 51, 5), (6, 92, 7)]
        );
        // One that does not fit is left out.
        assert_eq!(parts(&find(&disk, 512, 199)).len(), 3);
    }

    #[test]
    fn a_circle_ends() {
        let mut disk = vec![0; 200 * 512];
        entry(&mut disk, 0, 0, 0x05, 50, 100);
        entry(&mut disk, 50, 0, 0x83, 1, 5);
        entry(&mut disk, 50, 1, 0x05, 40, 20);
        entry(&mut disk, 90, 0, 0x83, 1, 5);
        entry(&mut disk, 90, 1, 0x05, 0, 20);
        assert!(find(&disk, 512, 200).len() <= 2 * MOST);
    }

    fn gpt_disk(block: usize) -> Vec<u8> {
        let mut disk = vec![0; 64 * block];
        entry(&mut disk, 0, 0, 0xee, 1, 63);
        let mut table = vec![0; 128 * 128];
        table[0] = 1;
        put(&mut table, 32, &34_u64.to_le_bytes());
        put(&mut table, 40, &40_u64.to_le_bytes());
        table[256] = 1;
        put(&mut table, 256 + 32, &50_u64.to_le_bytes());
        put(&mut table, 256 + 40, &50_u64.to_le_bytes());
        put(&mut disk, 2 * block, &table);
        let header = &mut disk[block..block + 512];
        put(header, 0, b"EFI PART");
        put(header, 12, &92_u32.to_le_bytes());
        put(header, 72, &2_u64.to_le_bytes());
        put(header, 80, &128_u32.to_le_bytes());
        put(header, 84, &128_u32.to_le_bytes());
        put(header, 88, &crc32(&table).to_le_bytes());
        let crc = crc32(&header[..92]);
        put(header, 16, &crc.to_le_bytes());
        disk
    }

    #[test]
    fn guid_partitions() {
        assert_eq!(
            parts(&find(&gpt_disk(512), 512, 64)),
            [(1, 34, 7), (3, 50, 1)]
        );
        assert_eq!(
            parts(&find(&gpt_disk(4096), 4096, 512)),
            [(1, 272, 56), (3, 400, 8)]
        );
        let mut disk = gpt_disk(512);
        disk[2 * 512 + 40] ^= 1;
        assert_eq!(find(&disk, 512, 64), []);
    }

    #[test]
    fn no_table() {
        assert_eq!(find(&vec![0; 512], 512, 1), []);
        assert_eq!(find(&vec![0; 5], 512, 1), []);
    }

    proptest! {
        #[test]
        fn never_panics(mut disk in proptest::collection::vec(any::<u8>(), 1024..4096), gpt: bool) {
            put(&mut disk, 510, &[0x55, 0xaa]);
            if gpt {
                put(&mut disk, 450, &[0xee]);
                put(&mut disk, 512, b"EFI PART");
            }
            let sectors = (disk.len() / 512) as u64;
            for part in find(&disk, 512, sectors) {
                prop_assert!(part.start + part.len <= sectors);
            }
        }
    }
}
