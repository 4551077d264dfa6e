//! The terminal: colour only where someone looks, rows in columns.

use std::io::{IsTerminal as _, Write as _};

use tocsin_text::{escape, width};

/// How something is emphasised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Good news.
    Good,
    /// Look here.
    Warn,
    /// Bad news.
    Bad,
    /// A heading.
    Bold,
    /// Of less weight.
    Dim,
}

/// Whether to colour what goes to standard output: only a terminal, and `NO_COLOR` is kept (no-color.org).
#[must_use]
pub fn colour() -> bool {
    std::io::stdout().is_terminal() && wants_colour()
}

/// Whether progress can be shown: standard error is a terminal.
#[must_use]
pub(crate) fn shows_progress() -> bool {
    std::io::stderr().is_terminal()
}

/// Emphasises on standard output, where colours are shown.
#[must_use]
pub fn paint(style: Style, text: &str) -> String {
    paint_if(colour(), style, text)
}

/// Emphasises on standard error, where colours are shown.
#[must_use]
pub(crate) fn paint_err(style: Style, text: &str) -> String {
    paint_if(shows_progress() && wants_colour(), style, text)
}

/// Tells people on standard error. Where nobody reads that any more, there is nobody to tell.
pub fn tell(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// As [`tell`], with no end of the line: what is asked is answered beside it.
pub(crate) fn tell_unended(text: &str) {
    let mut out = std::io::stderr().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn wants_colour() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn paint_if(colour: bool, style: Style, text: &str) -> String {
    if !colour {
        return text.to_owned();
    }
    let code = match style {
        Style::Good => 32,
        Style::Warn => 33,
        Style::Bad => 31,
        Style::Bold => 1,
        Style::Dim => 2,
    };
    format!("\x1b[{code}m{text}\x1b[0m")
}

/// Columns of the terminal that standard output is; `None` where it is none, or does not say.
#[must_use]
pub fn columns() -> Option<usize> {
    let stdout = std::io::stdout();
    if !stdout.is_terminal() {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(stdout).ok()?;
    (size.ws_col > 0).then_some(usize::from(size.ws_col))
}

/// Whether rows under headings have room on the terminal, each in a line of its own.
#[must_use]
pub fn has_room(headings: &[&str], rows: &[Vec<String>]) -> bool {
    columns()
        .is_none_or(|most| table_within(usize::MAX, headings, rows).lines().all(|line| shown(line) <= most))
}

/// Text whose lines fit the terminal, where standard output is one: what is too long goes on below, parted between words.
#[must_use]
pub(crate) fn fitted(text: &str) -> String {
    columns().map_or_else(|| text.to_owned(), |most| fitted_to(most, text))
}

/// Farthest that the value of a line begins behind its name, in columns.
const VALUE_FARTHEST: usize = 16;

/// As [`fitted`], for a terminal of `most` columns. What goes on stands below the value of its line, where that is `  name
/// value`, else two columns further in than the line.
fn fitted_to(most: usize, text: &str) -> String {
    let mut out = Vec::new();
    for line in text.lines() {
        if shown(line) <= most {
            out.push(line.to_owned());
            continue;
        }
        let indent = line.len() - line.trim_start_matches(' ').len();
        let value = line[indent..].find("  ").map(|at| {
            let gap = line[indent + at..].len() - line[indent + at..].trim_start_matches(' ').len();
            indent + at + gap
        });
        let value = value.filter(|at| indent > 0 && *at <= VALUE_FARTHEST && line.is_char_boundary(*at));
        let hanging = value.unwrap_or(indent + 2).min(most / 2);
        let (head, rest) = line.split_at(value.unwrap_or(indent));
        let mut now = head.to_owned();
        let mut is_new = true;
        for word in rest.split(' ') {
            if !is_new && shown(&now) + 1 + shown(word) > most {
                out.push(std::mem::replace(&mut now, " ".repeat(hanging)));
                is_new = true;
            }
            if !is_new {
                now.push(' ');
            }
            // A word that has room in no line is parted by the terminal's edge, as it would be without this.
            now.push_str(word);
            is_new = false;
        }
        out.push(now);
    }
    out.join("\n")
}

/// The columns that a line takes which is painted.
fn shown(line: &str) -> usize {
    let mut parts = line.split("\x1b[");
    let plain = parts.next().map_or(0, width);
    plain + parts.map(|part| part.split_once('m').map_or(0, |(_, rest)| width(rest))).sum::<usize>()
}

/// Columns by which the rest of a row stands in, where the terminal is too narrow for all of it.
const INDENT: usize = 4;

/// Rows under headings, each column as wide as its widest cell. Cells are escaped; the last column is not padded. On a
/// terminal that is too narrow each row goes on in a line of its own below, so that columns stay columns.
#[must_use]
pub fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    table_within(columns().unwrap_or(usize::MAX), headings, rows)
}

/// The same, as if for a terminal of `most` columns.
#[must_use]
pub fn table_within(most: usize, headings: &[&str], rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| escape(cell).into_owned()).collect()).collect();
    let widest = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| width(cell))
            .chain([width(headings[column])])
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..headings.len()).map(widest).collect();
    // The first column of each line.
    let mut starts = Vec::new();
    let mut taken = 0;
    for (column, wide) in widths.iter().enumerate() {
        taken += 2 + wide;
        if column == 0 {
            taken = *wide;
        } else if taken > most {
            starts.push(column);
            taken = INDENT + wide;
        }
    }
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut out = String::new();
        for (column, cell) in cells.enumerate().take(widths.len()) {
            if starts.contains(&column) {
                out.truncate(out.trim_end_matches(' ').len());
                out.push('\n');
                out.extend(std::iter::repeat_n(' ', INDENT));
            } else if column > 0 {
                out.push_str("  ");
            }
            out.push_str(cell);
            if column + 1 < widths.len() {
                let missing = widths[column].saturating_sub(width(cell));
                out.extend(std::iter::repeat_n(' ', missing));
            }
        }
        out.truncate(out.trim_end().len());
        out
    };
    let mut out = paint(Style::Dim, &line(&mut headings.iter().copied()));
    for row in &rows {
        out.push('\n');
        out.push_str(&line(&mut row.iter().map(String::as_str)));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_line_up() {
        let rows = vec![vec!["a".to_owned(), "1".to_owned()], vec!["long".to_owned(), "22".to_owned()]];
        assert_eq!(table(&["x", "n"], &rows), "x     n\na     1\nlong  22");
    }

    #[test]
    fn long_lines_go_on_below_their_value() {
        let fitted = |text| fitted_to(20, text);
        assert_eq!(fitted("short\nlines  stay"), "short\nlines  stay");
        assert_eq!(fitted("store: one two three four"), "store: one two three\n  four");
        assert_eq!(
            fitted_to(24, "  origin    a feed of others"),
            "  origin    a feed of\n            others"
        );
        assert_eq!(fitted("  some prose that goes on"), "  some prose that\n    goes on");
        assert_eq!(fitted("\x1b[31malarm:\x1b[0m disk is full"), "\x1b[31malarm:\x1b[0m disk is full");
        assert_eq!(
            fitted("\x1b[31malarm:\x1b[0m the disk is full"),
            "\x1b[31malarm:\x1b[0m the disk is\n  full"
        );
        assert_eq!(fitted("a 0123456789012345678901234 b"), "a\n  0123456789012345678901234\n  b");
    }

    #[test]
    fn wide_characters_and_marks_take_their_columns() {
        let rows = vec![
            vec!["東京".to_owned(), "1".to_owned()],
            vec!["e\u{301}te".to_owned(), "2".to_owned()],
            vec!["abcd".to_owned(), "3".to_owned()],
        ];
        assert_eq!(table(&["x", "n"], &rows), "x     n\n東京  1\ne\u{301}te   2\nabcd  3");
    }

    #[test]
    fn a_row_goes_on_below_where_the_terminal_is_narrow() {
        let cell = |text: &str| text.to_owned();
        let rows = vec![
            vec![cell("aaaa"), cell("bbbb"), cell("a title"), cell("1")],
            vec![cell("a"), cell("b"), cell(""), cell("")],
        ];
        let headings = ["x", "y", "title", "n"];
        let table = |most| table_within(most, &headings, &rows);
        assert_eq!(table(22), "x     y     title    n\naaaa  bbbb  a title  1\na     b");
        assert_eq!(table(21), "x     y     title\n    n\naaaa  bbbb  a title\n    1\na     b");
        assert_eq!(table(14), "x     y\n    title    n\naaaa  bbbb\n    a title  1\na     b");
        // What fits nowhere has a line of its own, whole.
        assert_eq!(table(3).lines().count(), 4 + 4 + 2);
    }
}
