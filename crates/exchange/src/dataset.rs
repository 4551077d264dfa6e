//! Lists of which each line is base64, as the datasets of strings of Suricata are: what the line encodes is meant.

use data_encoding::BASE64;

use crate::pieces::line_of;

/// How many lines tell whether all are base64.
const LINES_SEEN: usize = 200;
/// How many bytes they encode at least: a word of four letters may be base64 by chance.
const LEAST: usize = 12;

/// Whether a list is such: each of its first lines encodes text that can be shown. Comments are looked over.
pub(crate) fn is_encoded(head: &[u8]) -> bool {
    let (mut rest, mut seen, mut length) = (head, 0, 0);
    while seen < LINES_SEEN && !rest.is_empty() {
        let Some((text, whole)) = line_of(rest) else { break };
        let line = rest[..text].trim_ascii();
        // The last line at hand may go on behind it.
        let is_cut = whole == rest.len() && whole == text && rest.len() > (1 << 20);
        rest = &rest[whole..];
        if line.is_empty() || line.starts_with(b"#") || is_cut {
            continue;
        }
        let Some(decoded) = std::str::from_utf8(line).ok().and_then(decoded) else { return false };
        seen += 1;
        length += decoded.len();
    }
    length >= LEAST
}

/// What a line encodes, if it is base64 of text that can be shown; a reputation behind it (`value,3`), encoded with it or not,
/// is no part of it.
pub(crate) fn decoded(line: &str) -> Option<String> {
    let bytes = BASE64.decode(without_reputation(line).trim().as_bytes()).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let text = without_reputation(text.trim());
    let is_shown = !text.is_empty() && !text.chars().any(char::is_control);
    is_shown.then(|| text.to_owned())
}

fn without_reputation(text: &str) -> &str {
    text.rsplit_once(',').filter(|(_, end)| is_number(end)).map_or(text, |(value, _)| value)
}

fn is_number(text: &str) -> bool {
    let text = text.trim();
    !text.is_empty() && text.len() <= 5 && text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoded_lines_are_told_from_words() {
        for text in ["ZXZpbC5leGFtcGxl\n", "# a set\nZXZpbC5leGFtcGxl,5\r\nYS5leGFtcGxl,12\n"] {
            assert!(is_encoded(text.as_bytes()), "{text}");
        }
        for text in [
            "",
            "word\nlist\n",
            "a.example\n",
            "ZXZpbC5leGFtcGxl\na.example\n",
            "d41d8cd98f00b204e9800998ecf8427e\n",
            "ZXZpbC5leGFtcGxl,\n",
            "YS5leGFtcGx\n",
            "brstaged\nbundpwrd\n",
        ] {
            assert!(!is_encoded(text.as_bytes()), "{text}");
        }
        // The second encodes the reputation, and the end of its line.
        for text in ["YS5leGFtcGxl,12", "YS5leGFtcGxlLDEwMAo="] {
            assert_eq!(decoded(text).as_deref(), Some("a.example"));
        }
    }
}
