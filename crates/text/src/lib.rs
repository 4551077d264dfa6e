//! Text for people: what came from outside made safe to show, cut to a width, quoted for a shell; numbers with what they
//! count. What it is shown on is not known here.

use std::borrow::Cow;

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Makes text that came from outside safe to show: control characters, and the marks that turn the direction of
/// writing, are shown as escapes, so that no name can move the cursor or hide what stands before it.
#[must_use]
pub fn escape(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_unsafe(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// As [`escape`], for text of several lines that this program laid out.
#[must_use]
pub fn escape_lines(text: &str) -> String {
    text.lines().map(escape).collect::<Vec<_>>().join("\n")
}

/// A value as the JSON that is printed. JSON leaves the controls beyond ASCII and the marks of direction as they are,
/// and people print it on terminals, too: these are written as its escapes, which say the same to a program.
///
/// # Errors
/// When the value is none that JSON can say.
pub fn json<T: serde::Serialize>(value: &T) -> serde_json::Result<String> {
    serde_json::to_string(value).map(|text| escape_json(&text).into_owned())
}

/// As [`json`], for text that is JSON already. What it replaces can only stand within the strings of it.
#[must_use]
pub fn escape_json(text: &str) -> Cow<'_, str> {
    // ASCII controls are escaped in strings already, and between values they are its blanks.
    let is_bare = |c: char| c >= '\u{7f}' && is_unsafe(c);
    if !text.chars().any(is_bare) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_bare(c) {
            let mut units = [0; 2];
            out.extend(c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")));
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
        // What has no form of its own (Unicode's Default_Ignorable_Code_Point, but for the selectors that emoji have): with
        // it two names look alike, and a text says to a program what no person sees.
        || matches!(
            c,
            '\u{ad}' | '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{3164}'
                | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

/// The columns that a text takes on a terminal, where wide characters take two and marks that stand on others none
/// (UAX #11).
#[must_use]
pub fn width(text: &str) -> usize {
    text.width()
}

/// Text cut to `most` columns, with a mark where something is missing; escaped.
#[must_use]
pub fn cut(text: &str, most: usize) -> String {
    let text = escape(text);
    if width(&text) <= most {
        return text.into_owned();
    }
    let mut room = most.saturating_sub(1);
    let fits = |c: &char| {
        let wide = c.width().unwrap_or(0);
        let fits = wide <= room;
        room = room.saturating_sub(wide);
        fits
    };
    text.chars().take_while(fits).chain(['…']).collect()
}

/// Text laid out in lines of at most `most` columns, parted between words; a word that is longer than a line is parted
/// within. As it is, not escaped. At least one line, which may be empty.
#[must_use]
pub fn wrap(text: &str, most: usize) -> Vec<String> {
    // The widest character has two columns: it fits a line of any length that is asked for.
    let most = most.max(2);
    let mut lines = vec![String::new()];
    let mut taken = 0;
    for (at, word) in text.split(' ').enumerate() {
        let wide = width(word);
        if at > 0 && taken + 1 + wide <= most {
            lines.last_mut().into_iter().for_each(|line| line.push(' '));
            taken += 1;
        } else if at > 0 {
            lines.push(String::new());
            taken = 0;
        }
        for c in word.chars() {
            let wide = c.width().unwrap_or(0);
            if taken + wide > most {
                lines.push(String::new());
                taken = 0;
            }
            lines.last_mut().into_iter().for_each(|line| line.push(c));
            taken += wide;
        }
    }
    lines
}

/// A word as a POSIX shell reads it back, quoted where it must be. Control characters stay shown and not obeyed, so that
/// what has any does not read back: it has to be named another way.
#[must_use]
pub fn shell(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./_-".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", escape(word).replace('\'', "'\\''"))
}

/// A number and what it counts: `1 file`, `2 files`.
#[must_use]
pub fn count(number: u64, one: &str) -> String {
    format!("{number} {one}{}", if number == 1 { "" } else { "s" })
}

/// Bytes as people read them: `1.4 MiB`.
#[must_use]
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    #[expect(clippy::cast_precision_loss, reason = "shown with one digit after the point")]
    let mut value = count as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown_not_obeyed() {
        assert_eq!(escape("plain ünï"), "plain ünï");
        assert_eq!(escape("a\x1b[2Jb\r\n"), "a\\u{1b}[2Jb\\r\\n");
        assert_eq!(escape("evil\u{202e}gpj.exe"), "evil\\u{202e}gpj.exe");
        assert_eq!(escape("\u{61c}a"), "\\u{61c}a");
        // What nobody sees: a soft hyphen, a filler of Hangul, tags that spell ASCII.
        assert_eq!(escape("pay\u{ad}pal"), "pay\\u{ad}pal");
        assert_eq!(escape("\u{3164}\u{e0041}"), "\\u{3164}\\u{e0041}");
        assert_eq!(escape("e\u{301} ⚠\u{fe0f} 東京"), "e\u{301} ⚠\u{fe0f} 東京");
    }

    #[test]
    fn printed_json_obeys_nothing_and_says_the_same() {
        let title = "\u{9b}2Jevil\u{202e}gpj\u{61c}\u{7f}\u{feff}\x1b ünï 🦀";
        let text = json(&serde_json::json!({ "title": title })).unwrap();
        assert_eq!(text, r#"{"title":"\u009b2Jevil\u202egpj\u061c\u007f\ufeff\u001b ünï 🦀"}"#);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap()["title"], title);
        assert_eq!(escape_json("{\n \"a\":\t1}"), "{\n \"a\":\t1}");
    }

    #[test]
    fn words_for_a_shell_are_quoted() {
        for (word, quoted) in [
            ("a/b-c.csv", "a/b-c.csv"),
            ("a b", "'a b'"),
            ("it's", r"'it'\''s'"),
            ("$(id)", "'$(id)'"),
            ("", "''"),
            ("~", "'~'"),
        ] {
            assert_eq!(shell(word), quoted, "{word}");
        }
    }

    #[test]
    fn long_text_is_cut() {
        assert_eq!(cut("abcdef", 4), "abc…");
        assert_eq!(cut("abc", 4), "abc");
        assert_eq!(
            (cut("日本語", 6), cut("日本語", 5), cut("日本語", 4)),
            ("日本語".into(), "日本…".into(), "日…".into())
        );
        assert_eq!(bytes(1536), "1.5 KiB");
    }

    #[test]
    fn text_is_laid_out_in_lines_that_fit() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("one two three", 13), ["one two three"]);
        assert_eq!(wrap("a 0123456789 b", 4), ["a", "0123", "4567", "89 b"]);
        assert_eq!(wrap("日本 語", 4), ["日本", "語"]);
        assert_eq!(wrap("", 4), [""]);
        assert!(wrap("日本", 0).iter().all(|line| width(line) <= 2));
    }
}
