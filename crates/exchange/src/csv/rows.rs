//! The rows of a CSV (RFC 4180, leniently): any line end, quoted cells over several lines, and a quote without end
//! that costs no more than its own line.

use std::collections::VecDeque;
use std::io;

use tocsin_record::marking::words::{self, Handling};

use crate::pieces::{Pieces, line_of};

/// How many lines one quoted cell may span: a paragraph of a description. A quote without end costs no more.
const SPAN_LINES: u64 = 40;
/// The same in bytes.
const SPAN_BYTES: usize = 32 << 10;

/// The cells of a row.
type Row = Vec<Vec<u8>>;

/// The rows that are neither blank nor comments.
pub(super) struct Rows<'p, 'f> {
    pieces: &'p mut Pieces<'f>,
    delimiter: u8,
    /// How many lines were read.
    lines: u64,
    /// Those of one chunk that are still to be given.
    ready: VecDeque<(u64, Row)>,
    /// Comments that say something of handling, and their lines, since they were last taken. Each is a line of the file.
    pub(super) comments: Vec<(u64, String)>,
}

impl<'p, 'f> Rows<'p, 'f> {
    pub(super) fn of(pieces: &'p mut Pieces<'f>, delimiter: u8) -> Self {
        Self { pieces, delimiter, lines: 0, ready: VecDeque::new(), comments: Vec::new() }
    }

    /// The next row and the line it begins in; without cells where that line is too long. A row of no cell at all stands for
    /// one in [`Self::comments`].
    pub(super) fn next(&mut self) -> io::Result<Option<(u64, Option<Row>)>> {
        loop {
            if let Some((line, row)) = self.ready.pop_front() {
                return Ok(Some((line, Some(row))));
            }
            let ahead = self.pieces.ahead()?;
            if ahead.is_empty() {
                return Ok(None);
            }
            let first = self.lines + 1;
            let Some((chunk, length, count)) = chunk(ahead) else {
                self.lines += 1;
                self.pieces.pass_line()?;
                return Ok(Some((first, None)));
            };
            if let Some(comment) = comment_of(chunk) {
                self.comments.push((first, comment));
                // One after the other: a file that is all comments is not held in memory.
                self.lines += count;
                self.pieces.pass(length);
                return Ok(Some((first, Some(Row::new()))));
            }
            self.ready.extend(rows_of(chunk, first, self.delimiter));
            self.lines += count;
            self.pieces.pass(length);
        }
    }
}

/// The rows of what is in memory.
pub(super) fn rows(bytes: &[u8], delimiter: u8) -> impl Iterator<Item = (u64, Row)> {
    let (mut rest, mut lines) = (bytes, 0);
    std::iter::from_fn(move || {
        let (chunk, length, count) = chunk(rest)?;
        let first = lines + 1;
        (rest, lines) = (&rest[length..], lines + count);
        Some(rows_of(chunk, first, delimiter))
    })
    .flatten()
}

/// One line, or as many as its quotes hold together: its text, its length with the end, and how many lines it is.
/// `None` if there is none, or it is too long.
fn chunk(ahead: &[u8]) -> Option<(&[u8], usize, u64)> {
    let (first, whole) = line_of(ahead).filter(|_| !ahead.is_empty())?;
    let (mut text, mut end, mut open) = (first, whole, false);
    let mut from = 0;
    for number in 1..=SPAN_LINES {
        let quotes = ahead[from..text].iter().filter(|b| **b == b'"').count();
        open ^= quotes % 2 == 1;
        if !open {
            return Some((&ahead[..text], end, number));
        }
        from = end;
        let Some((next, whole)) = line_of(&ahead[from..]).filter(|_| from < ahead.len()) else { break };
        (text, end) = (from + next, from + whole);
        if end > SPAN_BYTES {
            break;
        }
    }
    Some((&ahead[..first], whole, 1))
}

/// The text of a comment that says something of handling.
fn comment_of(chunk: &[u8]) -> Option<String> {
    let text = chunk.trim_ascii_start().strip_prefix(b"#")?;
    let text = String::from_utf8_lossy(text).into_owned();
    (words::comment(&text) != Handling::default()).then_some(text)
}

/// The rows of a chunk, none if it is blank or a comment.
fn rows_of(chunk: &[u8], first: u64, delimiter: u8) -> Vec<(u64, Row)> {
    if chunk.iter().all(u8::is_ascii_whitespace) || chunk.trim_ascii_start().starts_with(b"#") {
        Vec::new()
    } else if chunk.contains(&b'"') {
        quoted(chunk, delimiter).into_iter().map(|(offset, row)| (first + offset, row)).collect()
    } else {
        vec![(first, chunk.split(|b| *b == delimiter).map(|cell| cell.trim_ascii().to_vec()).collect())]
    }
}

/// The rows of a chunk with quotes. Blanks beside a quote are none of its cell: `"a", "b"` is two of them.
fn quoted(chunk: &[u8], delimiter: u8) -> Vec<(u64, Row)> {
    let (mut rows, mut row, mut cell) = (Vec::new(), Row::new(), Vec::new());
    let (mut line, mut first) = (0, 0);
    let mut rest = chunk;
    while !rest.is_empty() {
        let blanks = rest.iter().take_while(|b| is_blank(**b, delimiter)).count();
        rest = &rest[blanks..];
        let in_quotes = rest.first() == Some(&b'"');
        if in_quotes {
            rest = &rest[1..];
            while let Some((sign, after)) = rest.split_first() {
                rest = after;
                match (sign, after.first()) {
                    (b'"', Some(b'"')) => {
                        cell.push(b'"');
                        rest = &after[1..];
                    }
                    (b'"', _) => break,
                    _ => {
                        line += u64::from(*sign == b'\n' || *sign == b'\r' && after.first() != Some(&b'\n'));
                        cell.push(*sign);
                    }
                }
            }
        }
        let end =
            rest.iter().position(|b| *b == delimiter || matches!(b, b'\n' | b'\r')).unwrap_or(rest.len());
        let tail = rest[..end].trim_ascii_end();
        // What stands behind a closing quote belongs to the cell, as in `"a" (old)`.
        cell.extend_from_slice(tail);
        row.push(cell.trim_ascii().to_vec());
        cell.clear();
        let ended = rest.get(end) != Some(&delimiter);
        rest = rest.get(end + 1..).unwrap_or_default();
        if ended || rest.is_empty() {
            if !ended {
                row.push(Vec::new());
            }
            rest = rest.strip_prefix(b"\n").filter(|_| ended).unwrap_or(rest);
            if row.iter().any(|cell| !cell.is_empty()) {
                rows.push((first, std::mem::take(&mut row)));
            }
            row.clear();
            line += 1;
            first = line;
        }
    }
    rows
}

fn is_blank(b: u8, delimiter: u8) -> bool {
    b != delimiter && matches!(b, b' ' | b'\t')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<String> {
        let shown: Vec<(u64, Row)> = rows(text.as_bytes(), b',').collect();
        let mut source = io::Cursor::new(text);
        let mut pieces = Pieces::of(&mut source).unwrap();
        let mut streamed = Rows::of(&mut pieces, b',');
        for row in &shown {
            assert_eq!(streamed.next().unwrap().map(|(line, row)| (line, row.unwrap())).as_ref(), Some(row));
        }
        assert!(streamed.next().unwrap().is_none());
        let shown = shown.into_iter().map(|(line, row)| {
            let cells: Vec<_> = row.iter().map(|cell| String::from_utf8_lossy(cell)).collect();
            format!("{line}:{}", cells.join("|"))
        });
        shown.collect()
    }

    #[test]
    fn rows_keep_their_lines() {
        assert_eq!(
            shown("a,b\n# note\n\n\"c, c\",\"d\ne\"\r\nf,g\rh,\"i\"\"j\""),
            ["1:a|b", "4:c, c|d\ne", "6:f|g", "7:h|i\"j"]
        );
    }

    #[test]
    fn blanks_beside_quotes_are_of_no_cell() {
        assert_eq!(
            shown("\"a\", \"b, c\" ,d\n \"e\",\"\", \"f \"\"g\"\"\"\n"),
            ["1:a|b, c|d", "2:e||f \"g\""]
        );
        assert_eq!(shown("\"a\" (old),b,\n"), ["1:a (old)|b|"]);
        let tabs: Vec<(u64, Row)> = rows(b"\"a\"\t\"\"\tb\"c\"\n", b'\t').collect();
        assert_eq!(tabs, [(1, vec![b"a".to_vec(), Vec::new(), b"b\"c\"".to_vec()])]);
    }

    #[test]
    fn a_quote_without_end_costs_its_line() {
        let text = format!("a,b\n\"broken,row\n{}", "x,y\n".repeat(100));
        let rows = shown(&text);
        assert_eq!((rows.len(), rows[101].as_str()), (102, "102:x|y"));
        // Two such quotes far apart hold nothing together.
        let text = format!("a,b\n\"broken,row\n{}\"broken,too\nc,d\n", "x,y\n".repeat(100));
        let rows = self::shown(&text);
        assert_eq!((rows.len(), rows[103].as_str()), (104, "104:c|d"));
        assert_eq!(shown("a,5\" disk\nb,c\n"), ["1:a|5\" disk", "2:b|c"]);
    }
}
