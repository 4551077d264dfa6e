//! Names that sources use for what a value indicates, and one line of a text.

use tocsin_record::body::report::{INDICATOR_KINDS, Indicator, OBSERVED, PATTERNS};
use tocsin_record::marking::Code;
use tocsin_record::observable::Observable;

/// Longest comment of an indicator, in bytes: enough for a line; originals keep the rest.
pub(crate) const COMMENT_MAX: usize = 300;

/// What is said of a line that is not read.
pub(crate) const NOT_TEXT: &str = "it is not UTF-8 text";
pub(crate) const LINE_TOO_LONG: &str = "the line has more than a MiB: break it up";

/// Other words for indicator kinds, in lower case, as tags of public feeds have them.
const KIND_WORDS: &[(&str, &str)] = &[
    ("c2", "command-and-control"),
    ("c2_server", "command-and-control"),
    ("botnet_cc", "command-and-control"),
    ("command_and_control", "command-and-control"),
    ("phish", "phishing"),
    ("payload", "malware"),
    ("malicious", "malicious-activity"),
    ("legitimate", "benign"),
    ("legit", "benign"),
    ("clean", "benign"),
    ("harmless", "benign"),
    ("good", "benign"),
    ("whitelisted", "benign"),
    ("false_positive", "benign"),
    ("compromised_host", "compromised"),
    ("scanning", "scanner"),
    ("bruteforce", "scanner"),
    ("tor", "anonymization"),
    ("proxy", "anonymization"),
    ("vpn", "anonymization"),
    ("botnet", "malware"),
    ("backdoor", "malware"),
    ("malware_download", "malware"),
    ("c&c", "command-and-control"),
    ("cnc", "command-and-control"),
    ("scam", "fraud"),
    ("cryptoscam", "fraud"),
    ("scan", "scanner"),
    ("ransomware", "malware"),
    ("stealer", "malware"),
    ("infostealer", "malware"),
    ("rat", "malware"),
    ("trojan", "malware"),
];

/// Kind 0: nothing is said.
pub(crate) fn unknown_kind() -> Code {
    Code { kind: 0, value: Vec::new() }
}

/// Of a value that was observed, and of which nobody says that it is bad.
pub(crate) fn observed_kind() -> Code {
    kind_numbered(OBSERVED)
}

/// A kind by its number in the table.
pub(crate) fn kind_numbered(number: u16) -> Code {
    Code { kind: number, value: Vec::new() }
}

/// The kind of a name or tag, if it is one.
pub(crate) fn kind_named(name: &str) -> Option<Code> {
    let name = name.trim().trim_start_matches('#').to_ascii_lowercase();
    let name = if name.contains([' ', '_']) { name.replace([' ', '-'], "_") } else { name };
    let name = KIND_WORDS.iter().find(|(word, _)| *word == name).map_or(&*name, |(_, kind)| kind);
    INDICATOR_KINDS
        .iter()
        .find(|(_, known)| *known == name || known.replace('-', "_") == name)
        .map(|(number, _)| kind_numbered(*number))
}

/// An indicator of a value about which nothing else is said.
pub(crate) fn plain_indicator(what: Observable) -> Indicator {
    Indicator {
        what,
        kind: unknown_kind(),
        confidence: None,
        valid_from: 0,
        valid_until: 0,
        id: None,
        comment: String::new(),
    }
}

/// What is wrong with a validity that ends before it begins: nobody can tell which of the two is meant.
pub(crate) fn odd_validity(from: u64, until: u64) -> Option<&'static str> {
    (until != 0 && until <= from)
        .then_some("its valid_until is not after its valid_from, but before it or the same: mend one of them at the source")
}

/// The number of a rule language by its STIX `pattern_type` or MISP attribute type.
pub(crate) fn pattern_language(name: &str) -> Option<u16> {
    let name = if name == "stix2-pattern" { "stix" } else { name };
    PATTERNS.iter().find(|(_, known)| *known == name).map(|(number, _)| *number)
}

/// The comment of an indicator: what the source says of it, then its tags.
pub(crate) fn comment<'a>(
    texts: impl IntoIterator<Item = &'a str>,
    tags: impl IntoIterator<Item = &'a str>,
) -> String {
    let texts: Vec<String> =
        texts.into_iter().map(|text| one_line(text, COMMENT_MAX)).filter(|text| !text.is_empty()).collect();
    let mut out = texts.join(": ");
    for tag in tags {
        let tag = one_line(tag.trim().trim_start_matches('#'), 80);
        if !tag.is_empty() {
            out.push_str(if out.is_empty() { "#" } else { " #" });
            out.push_str(&tag);
        }
        if out.len() > COMMENT_MAX {
            break;
        }
    }
    cut(out, COMMENT_MAX)
}

/// The kind that tags tell, where the source says no more than "malicious".
pub(crate) fn refined<'a>(said: Code, mut tags: impl Iterator<Item = &'a str>) -> Code {
    /// `malicious-activity`: what feeds say where they say nothing of their own.
    const MALICIOUS: u16 = 1;
    if said.kind != MALICIOUS {
        return said;
    }
    // The first six kinds say less than these.
    tags.find_map(|tag| kind_named(tag).filter(|kind| kind.kind > 6)).unwrap_or(said)
}

/// A text as one line without control characters, at most `most` bytes.
pub(crate) fn one_line(text: &str, most: usize) -> String {
    let mut out = String::new();
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()) {
        if word.is_empty() {
            continue;
        }
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
        if out.len() > most {
            break;
        }
    }
    cut(out, most)
}

/// A text without control characters but line breaks, at most `most` bytes.
pub(crate) fn paragraph(text: &str, most: usize) -> String {
    let mut out = String::new();
    for c in text.trim().chars() {
        if out.len() >= most {
            break;
        }
        match c {
            '\n' => out.push('\n'),
            '\t' => out.push(' '),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    cut(out, most)
}

fn cut(mut text: String, most: usize) -> String {
    const ELLIPSIS: &str = "...";
    if text.len() > most {
        let mut end = most.saturating_sub(ELLIPSIS.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push_str(ELLIPSIS);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_at_characters() {
        assert_eq!(one_line(" a\n\tb\u{1b}[0m  c ", 50), "a b [0m c");
        assert_eq!(one_line("ääääää", 8), "ää...");
        assert_eq!(paragraph("a\r\n\u{7}b", 50), "a\nb");
    }
}
