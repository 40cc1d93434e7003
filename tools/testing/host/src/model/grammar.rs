// SPDX-License-Identifier: GPL-2.0

//! What a table line means, from the words of the admin guide rather than by parsing.

/// The features that a line may have, in the order in which they are printed.
pub const FEATURES: [&str; 5] = [
    "block_mapped",
    "file_mapped",
    "buffered_io",
    "direct_io",
    "no_discard",
];

/// Features that cannot be had together.
pub const CONTRADICTIONS: [[&str; 2]; 4] = [
    ["block_mapped", "file_mapped"],
    ["block_mapped", "buffered_io"],
    ["block_mapped", "direct_io"],
    ["buffered_io", "direct_io"],
];

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// The number of arguments, or the count of features.
    Count,
    /// The offset.
    Offset,
    /// A feature.
    Feature,
}

/// A line that means something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The backing file.
    pub path: Vec<u8>,
    /// Where in the file the device begins, in bytes.
    pub offset: u64,
    /// The features, in the order of [`FEATURES`].
    pub features: Vec<&'static str>,
}

/// What `args` mean.
pub fn read(args: &[Vec<u8>]) -> Result<Line, Wrong> {
    let [path, offset, rest @ ..] = args else {
        return Err(Wrong::Count);
    };
    let offset = number(offset)
        .filter(|&offset| offset < 1 << 63)
        .ok_or(Wrong::Offset)?;
    let given = match rest {
        [] => &[],
        [count, given @ ..] => {
            // CAST: `usize` is never wider than `u128`.
            if number(count) != Some(given.len() as u128) {
                return Err(Wrong::Count);
            }
            given
        }
    };

    let has = |name: &str| given.iter().filter(|arg| *arg == name.as_bytes()).count();
    let features: Vec<_> = FEATURES.into_iter().filter(|name| has(name) > 0).collect();
    // As many different known ones as were given: none is unknown, none stands twice.
    let contradiction = CONTRADICTIONS
        .iter()
        .any(|pair| pair.iter().all(|name| has(name) > 0));
    if features.len() != given.len() || contradiction {
        return Err(Wrong::Feature);
    }
    Ok(Line {
        path: path.clone(),
        offset: u64::try_from(offset).map_err(|_| Wrong::Offset)?,
        features,
    })
}

/// The path that `text` means: `\` and the three octal digits of a byte are that byte,
/// unless it is NUL; all else is itself.
pub fn meant(mut text: &[u8]) -> Vec<u8> {
    let mut path = Vec::new();
    while let Some((&first, rest)) = text.split_first() {
        let is_written = |byte: &u8| text.starts_with(format!("\\{byte:03o}").as_bytes());
        let octal = (1..=u8::MAX).filter(|_| first == b'\\').find(is_written);
        path.push(octal.unwrap_or(first));
        text = if octal.is_some() { &text[4..] } else { rest };
    }
    path
}

/// The number that `text` is, if it is digits and at most as large as a `u64`.
fn number(text: &[u8]) -> Option<u128> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digits: Vec<u8> = text
        .iter()
        .copied()
        .skip_while(|&digit| digit == b'0')
        .collect();
    // 20 digits are enough for any `u64`, and few enough for a `u128`.
    if digits.len() > 20 {
        return None;
    }
    digits
        .iter()
        .try_fold(0_u128, |number, digit| {
            Some(number * 10 + u128::from(digit - b'0'))
        })
        .filter(|&number| number <= u128::from(u64::MAX))
}
