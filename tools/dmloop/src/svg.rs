// SPDX-License-Identifier: GPL-2.0

//! A file's fragmentation as a drawing: the file above, the disk below, and a band from
//! each extent to its place.

use crate::{
    extents::{Extent, Kind, Layout},
    size::human,
};
use std::fmt::Write;

const WIDTH: u64 = 960;
const LEFT: u64 = 20;
/// Thousandths of a unit, so that no fractions are needed.
const FINE: u64 = 1000;
const FILE_TOP: u64 = 50;
const DISK_TOP: u64 = 200;
const BAR: u64 = 24;
/// Bands that are thinner than this would only hide each other.
const MOST_BANDS: usize = 5000;

/// The drawing. `title` may hold anything.
pub(crate) fn draw(layout: &Layout, title: &str, start: u64, end: u64) -> String {
    let placed = || layout.0.iter().filter(|extent| extent.is_placed());
    let first = placed().map(|extent| extent.physical).min().unwrap_or(0);
    let last = placed().map(Extent::physical_end).max().unwrap_or(1);
    let on_file = |place: u64| scale(place.saturating_sub(start), end.saturating_sub(start));
    let on_disk = |place: u64| scale(place.saturating_sub(first), last.saturating_sub(first));

    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let mut line = |text: String| {
        out.push_str(&text);
        out.push('\n');
    };
    line("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 1000 270\" font-family=\"sans-serif\" font-size=\"12\">".to_owned());
    line("<rect width=\"1000\" height=\"270\" fill=\"white\"/>".to_owned());
    line(format!(
        "<text x=\"{LEFT}\" y=\"20\" font-size=\"14\">{}</text>",
        escape(title)
    ));
    line(format!(
        "<text x=\"{LEFT}\" y=\"42\">the file, {}, in {} extents</text>",
        human(end.saturating_sub(start)),
        layout.0.len()
    ));
    line(bar(FILE_TOP));
    line(bar(DISK_TOP));
    let bands = layout.0.len() <= MOST_BANDS;
    for (index, extent) in layout.0.iter().enumerate() {
        let color = color(extent.kind, index);
        let (a, b) = (on_file(extent.logical), on_file(extent.logical_end()));
        line(piece(a, b, FILE_TOP, color));
        if !extent.is_placed() {
            continue;
        }
        let (c, d) = (on_disk(extent.physical), on_disk(extent.physical_end()));
        line(piece(c, d, DISK_TOP, color));
        if bands {
            let points = [
                (a, FILE_TOP + BAR),
                (b, FILE_TOP + BAR),
                (d, DISK_TOP),
                (c, DISK_TOP),
            ];
            let points: Vec<String> = points
                .iter()
                .map(|(x, y)| format!("{},{y}", fine(*x)))
                .collect();
            line(format!(
                "<polygon points=\"{}\" fill=\"{color}\" fill-opacity=\"0.25\"/>",
                points.join(" ")
            ));
        }
    }
    line(format!(
        "<text x=\"{LEFT}\" y=\"242\">its file system's disk, from {} to {}</text>",
        human(first),
        human(last)
    ));
    line(legend(layout));
    line("</svg>".to_owned());
    out
}

/// A place between 0 and `whole`, in thousandths of the width.
fn scale(place: u64, whole: u64) -> u64 {
    let wide = u128::from(place) * u128::from(WIDTH * FINE) / u128::from(whole.max(1));
    u64::try_from(wide)
        .unwrap_or(WIDTH * FINE)
        .min(WIDTH * FINE)
        + LEFT * FINE
}

fn fine(x: u64) -> String {
    format!("{}.{:03}", x / FINE, x % FINE)
}

fn bar(top: u64) -> String {
    format!("<rect x=\"{LEFT}\" y=\"{top}\" width=\"{WIDTH}\" height=\"{BAR}\" fill=\"none\" stroke=\"black\" stroke-width=\"0.5\"/>")
}

fn piece(from: u64, to: u64, top: u64, color: &str) -> String {
    format!(
        "<rect x=\"{}\" y=\"{top}\" width=\"{}\" height=\"{BAR}\" fill=\"{color}\"/>",
        fine(from),
        fine(to.saturating_sub(from).max(1))
    )
}

fn color(kind: Kind, index: usize) -> &'static str {
    match kind {
        Kind::Written if index % 2 == 0 => "#2c6fbb",
        Kind::Written => "#7fb2e5",
        Kind::Unwritten => "#c0c0c0",
        Kind::Shared => "#d98c21",
        Kind::Encoded | Kind::Inline | Kind::Unknown => "#b5443c",
    }
}

/// The kinds that occur, and their colors.
fn legend(layout: &Layout) -> String {
    let mut kinds: Vec<Kind> = layout.0.iter().map(|extent| extent.kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let mut out = String::new();
    let mut x = LEFT;
    for kind in kinds {
        let _ = write!(
            out,
            "<rect x=\"{x}\" y=\"252\" width=\"10\" height=\"10\" fill=\"{}\"/><text x=\"{}\" y=\"261\">{}</text>",
            color(kind, 0),
            x + 14,
            kind.name()
        );
        x += 110;
    }
    out
}

/// For XML, which has no place for control characters.
fn escape(text: &str) -> String {
    let mut out = String::new();
    for char in text.chars() {
        match char {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            char if char.is_control() => out.push('\u{fffd}'),
            char => out.push(char),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drawing() {
        let layout = Layout(vec![
            Extent {
                logical: 0,
                physical: 4096,
                len: 4096,
                kind: Kind::Written,
            },
            Extent {
                logical: 4096,
                physical: 1 << 40,
                len: 8192,
                kind: Kind::Unwritten,
            },
        ]);
        let svg = draw(&layout, "<a & \"b\">\u{1b}", 0, 12288);
        assert!(svg.contains("&lt;a &amp; &quot;b&quot;&gt;\u{fffd}"));
        assert_eq!(svg.matches("<polygon").count(), 2);
        assert!(svg.contains("unwritten") && svg.ends_with("</svg>\n"));
    }

    #[test]
    fn scales() {
        assert_eq!(scale(0, 100), LEFT * FINE);
        assert_eq!(scale(100, 100), (LEFT + WIDTH) * FINE);
        assert_eq!(scale(u64::MAX, u64::MAX), (LEFT + WIDTH) * FINE);
        assert_eq!(scale(5, 0), (LEFT + WIDTH) * FINE);
    }

    #[test]
    fn nothing_to_draw() {
        assert!(draw(&Layout::default(), "x", 0, 0).contains("0 extents"));
    }
}
