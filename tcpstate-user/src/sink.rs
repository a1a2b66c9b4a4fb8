//! Sinks: one transition, one line. Each format is a small file; all write into the same [`Output`].
pub mod csv;
mod file;
pub mod hdr;
pub mod journal;
pub mod json;
pub mod output;
pub(crate) mod piece;
pub mod text;
mod time;

pub(crate) use self::file::folder_of;
pub use self::{file::NewFile, output::Output, time::WallClock};
use crate::tcp::Transition;

/// A format for lines of transitions.
pub trait Format {
    /// Appends what stands before the first line.
    fn header(&mut self, line: &mut Vec<u8>);
    /// Appends the line of `transition`, the `seq`th of this run, with its newline.
    fn transition(&mut self, line: &mut Vec<u8>, seq: u64, transition: &Transition);
}

/// Text of a name that other people chose, safe for a terminal and for CSV: control characters and bytes that are no
/// UTF-8 become `\xNN`.
#[must_use]
pub fn printable(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    // Nearly every name.
    if bytes.iter().all(|byte| matches!(byte, b' '..=b'~')) {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if is_unseen(c) {
                let mut buffer = [0; 4];
                for byte in c.encode_utf8(&mut buffer).bytes() {
                    let _ = write!(text, "\\x{byte:02x}"); // writing to a String cannot fail
                }
            } else {
                text.push(c);
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// Whether a terminal may obey it, or nobody see it.
fn is_unseen(c: char) -> bool {
    !c.is_ascii_graphic() && (c.is_control() || is_invisible(c))
}

/// Characters that change the look of the text around them without being seen: directional marks, separators, fillers,
/// tags.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_drive_the_terminal() {
        assert_eq!(printable(b"nginx: worker"), "nginx: worker");
        assert_eq!(printable(b"\x1b[31mred\n"), "\\x1b[31mred\\x0a");
        assert_eq!(printable(b"caf\xc3\xa9 \xff"), "caf\u{e9} \\xff");
        assert_eq!(printable("\u{9b}2J".as_bytes()), "\\xc2\\x9b2J");
        assert_eq!(printable("a\u{202e}b".as_bytes()), "a\\xe2\\x80\\xaeb");
        for unseen in [
            '\u{7f}',
            '\u{ad}',
            '\u{61c}',
            '\u{200d}',
            '\u{3164}',
            '\u{e0041}',
        ] {
            let text = printable(format!("a{unseen}b").as_bytes());
            assert!(text.is_ascii() && text.starts_with("a\\x"), "{text}");
        }
    }
}
