//! The rows of a CSV (RFC 4180, leniently): any line end, quoted cells over several lines, and a quote without end
//! that costs no more than its own line.

use crate::list::lines;

/// How many lines one quoted cell may span, and how many bytes.
const SPAN_LINES: usize = 40;
const SPAN_BYTES: usize = 32 << 10;

/// The rows that are neither blank nor comments.
pub(super) fn rows(bytes: &[u8], delimiter: u8) -> impl Iterator<Item = (u64, Vec<Vec<u8>>)> {
    let mut rest = bytes;
    let mut line = 0;
    let mut ready: std::collections::VecDeque<(u64, Vec<Vec<u8>>)> = std::collections::VecDeque::new();
    std::iter::from_fn(move || {
        loop {
            if let Some(row) = ready.pop_front() {
                return Some(row);
            }
            let (chunk, after, count) = chunk(rest)?;
            let first = line + 1;
            line += count;
            rest = after;
            if chunk.iter().all(u8::is_ascii_whitespace) || chunk.trim_ascii_start().starts_with(b"#") {
                continue;
            }
            if chunk.contains(&b'"') {
                ready.extend(quoted(chunk, delimiter).map(|(offset, row)| (first + offset, row)));
            } else {
                let row = chunk.split(|b| *b == delimiter).map(|cell| cell.trim_ascii().to_vec()).collect();
                return Some((first, row));
            }
        }
    })
}

/// One line, or as many as its quotes hold together: the bytes, what follows, and how many lines they are.
fn chunk(bytes: &[u8]) -> Option<(&[u8], &[u8], u64)> {
    let mut open = false;
    let mut end = 0;
    let mut first = None;
    for (number, line) in lines(bytes).take(SPAN_LINES) {
        let quotes = line.iter().filter(|b| **b == b'"').count();
        open ^= quotes % 2 == 1;
        end += line.len();
        let text_end = end;
        if bytes[end..].starts_with(b"\r\n") {
            end += 2;
        } else if end < bytes.len() {
            end += 1;
        }
        first = first.or(Some((text_end, end)));
        if !open {
            return Some((&bytes[..text_end], &bytes[end..], number));
        }
        if end > SPAN_BYTES {
            break;
        }
    }
    first.map(|(text_end, end)| (&bytes[..text_end], &bytes[end..], 1))
}

fn quoted(chunk: &[u8], delimiter: u8) -> impl Iterator<Item = (u64, Vec<Vec<u8>>)> {
    let reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(delimiter)
        .trim(csv::Trim::All)
        .from_reader(chunk);
    // Reading from memory without a fixed row length has no error; were there one, the rest of the chunk is lost.
    reader.into_byte_records().map_while(Result::ok).map(|record| {
        let offset = record.position().map_or(0, |at| at.line().saturating_sub(1));
        (offset, record.iter().map(<[u8]>::to_vec).collect())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<String> {
        rows(text.as_bytes(), b',')
            .map(|(line, row)| {
                let cells: Vec<_> = row.iter().map(|cell| String::from_utf8_lossy(cell)).collect();
                format!("{line}:{}", cells.join("|"))
            })
            .collect()
    }

    #[test]
    fn rows_keep_their_lines() {
        assert_eq!(
            shown("a,b\n# note\n\n\"c, c\",\"d\ne\"\r\nf,g\rh,\"i\"\"j\""),
            ["1:a|b", "4:c, c|d\ne", "6:f|g", "7:h|i\"j"]
        );
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
