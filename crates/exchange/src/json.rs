//! The top level of JSON files: one document, or one document a line, each kept as it was given.

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::{Found, ImportError, names};

/// How far into a file the formats look to recognise it, in bytes.
const HEAD: usize = 64 << 10;
/// Most bytes of the parser's words that are kept, of what it read and of what it expected.
const SAID_MAX: usize = 100;
/// How many lines tell whether a file has one document a line; half of them must look so, and more would tell no more.
const LINES_SEEN: usize = 20;

/// Whether bytes are meant to be JSON.
pub(crate) fn is_json(bytes: &[u8]) -> bool {
    let mut signs = bytes.iter().filter(|b| !b.is_ascii_whitespace());
    match signs.next() {
        Some(b'{') => true,
        Some(b'[') => matches!(signs.next(), None | Some(b'{' | b'[' | b'"' | b']')),
        _ => false,
    }
}

/// Whether an object in the beginning of the bytes, at most so many brackets deep, has a field of which this is true: its
/// name, and its value where that is a text. For sniffing: texts that quote another format do not count, and what is
/// broken or cut is read as far as it goes, so that the right format tells what is wrong with it.
pub(crate) fn has_field(bytes: &[u8], depth_max: usize, tells: impl Fn(&[u8], &[u8]) -> bool) -> bool {
    let head = &bytes[..bytes.len().min(HEAD)];
    let one_a_line = has_one_a_line(head);
    let (mut rest, mut depth) = (head, 0_usize);
    while let Some((sign, after)) = rest.split_first() {
        rest = after;
        match sign {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'\n' if one_a_line => depth = 0,
            b'"' => {
                let (name, after) = quoted(rest);
                rest = after;
                if depth <= depth_max
                    && let Some(value) = rest.trim_ascii_start().strip_prefix(b":")
                {
                    let text = value.trim_ascii_start().strip_prefix(b"\"");
                    if tells(name, text.map_or(b"", |text| quoted(text).0)) {
                        return true;
                    }
                }
            }
            _ => {}
        }
    }
    false
}

/// What stands before the closing quote, and what behind it. A line break closes too: JSON has none in a text, so that
/// a quote that is missing spoils one line only.
fn quoted(bytes: &[u8]) -> (&[u8], &[u8]) {
    let mut escaped = false;
    let end = bytes.iter().position(|byte| {
        let closes = *byte == b'\n' || *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        closes
    });
    let (text, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
    (text, rest.strip_prefix(b"\"").unwrap_or(rest))
}

/// The documents of a file, with their lines if there is one a line. A line that is no JSON is skipped; a file that is
/// one broken document is an error.
pub(crate) fn documents<'a>(
    bytes: &'a [u8],
    found: &mut Found,
) -> Result<Vec<(Option<u64>, &'a RawValue)>, ImportError> {
    match serde_json::from_slice(bytes) {
        Ok(document) => return Ok(vec![(None, document)]),
        Err(error) if !has_one_a_line(bytes) => return Err(broken(&error)),
        Err(_) => {}
    }
    let mut documents = Vec::new();
    for (line, text) in (1..).zip(bytes.split(|b| *b == b'\n')) {
        let text = text.trim_ascii();
        if text.is_empty() {
            continue;
        }
        match serde_json::from_slice(text) {
            Ok(document) => documents.push((Some(line), document)),
            Err(error) => {
                found.counts.seen += 1;
                found.skip(Some(line), "", said(&error));
            }
        }
    }
    Ok(documents)
}

fn has_one_a_line(bytes: &[u8]) -> bool {
    let (mut whole, mut seen) = (0, 0);
    for line in bytes.split(|b| *b == b'\n') {
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        seen += 1;
        whole += usize::from(line.starts_with(b"{") && line.ends_with(b"}"));
        if seen == LINES_SEEN {
            break;
        }
    }
    seen >= 2 && whole >= 1 && whole * 2 >= seen
}

fn broken(error: &serde_json::Error) -> ImportError {
    ImportError::Json { line: error.line(), column: error.column(), why: said(error) }
}

/// What the parser says, without the place that the message tells by itself. It quotes what it read, be it a text of
/// megabytes: only the beginning is kept, and the end, which says what was expected.
fn said(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text.rfind(" at line ").map_or(&*text, |at| &text[..at]);
    let Some((head, expected)) = text.rsplit_once(", expected ") else {
        return names::one_line(text, SAID_MAX);
    };
    format!("{}, expected {}", names::one_line(head, SAID_MAX), names::one_line(expected, SAID_MAX))
}

/// The value of a raw one, with nesting bounded (128).
pub(crate) fn value(raw: &RawValue) -> Result<Value, String> {
    serde_json::from_str(raw.get()).map_err(|error| said(&error))
}

/// The object of a raw value.
pub(crate) fn object(raw: &RawValue) -> Result<Map<String, Value>, String> {
    serde_json::from_str(raw.get()).map_err(|error| said(&error))
}

/// The elements of a raw array.
pub(crate) fn array(raw: &RawValue) -> Result<Vec<&RawValue>, String> {
    serde_json::from_str(raw.get()).map_err(|error| said(&error))
}

/// The fields of a raw object, each as it was given.
pub(crate) fn fields(raw: &RawValue) -> Result<std::collections::BTreeMap<String, &RawValue>, String> {
    serde_json::from_str(raw.get()).map_err(|error| said(&error))
}

/// A field that is a text; an empty one is none.
pub(crate) fn text<'a>(map: &'a Map<String, Value>, field: &str) -> Option<&'a str> {
    map.get(field)?.as_str().filter(|text| !text.is_empty())
}

/// A field that is a text or a number, as text.
pub(crate) fn scalar(map: &Map<String, Value>, field: &str) -> Option<String> {
    match map.get(field)? {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The texts of a field that is a list.
pub(crate) fn texts<'a>(map: &'a Map<String, Value>, field: &str) -> impl Iterator<Item = &'a str> {
    map.get(field).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

/// The texts of a field that is a list, or the one that it is against the standard.
pub(crate) fn texts_or_text<'a>(map: &'a Map<String, Value>, field: &str) -> Vec<&'a str> {
    match map.get(field) {
        Some(Value::String(text)) => vec![text],
        _ => texts(map, field).collect(),
    }
}

/// A field that is true, `"1"` or 1.
pub(crate) fn flag(map: &Map<String, Value>, field: &str) -> Option<bool> {
    match map.get(field)? {
        Value::Bool(flag) => Some(*flag),
        Value::String(text) => Some(text == "1" || text == "true"),
        Value::Number(number) => Some(number.as_u64() == Some(1)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_line_is_skipped_and_a_broken_document_is_an_error() {
        let mut found = Found::default();
        let lines = b"{\"a\":1}\n\n{\"a\":\n{\"a\":3}\n";
        let documents = documents(lines, &mut found).unwrap();
        assert_eq!(documents.len(), 2);
        assert_eq!(documents[1].0, Some(4));
        assert_eq!(found.skipped[0].line, Some(3));
        let error = super::documents(b"{\n  \"a\": [1,\n", &mut found).unwrap_err();
        assert!(matches!(error, ImportError::Json { line: 3, .. }), "{error:?}");
    }

    #[test]
    fn pretty_printed_documents_are_one() {
        for text in ["{\n\"a\": {\"b\": 1}\n}", "[\n{\"a\":1},\n{\"a\":2}\n]", "{\"a\":1}"] {
            let documents = documents(text.as_bytes(), &mut Found::default()).unwrap();
            assert_eq!(documents.len(), 1, "{text}");
        }
    }

    #[test]
    fn a_long_text_is_not_quoted_whole() {
        let long = format!("[\"{}\"]", "a".repeat(1 << 20));
        let mut found = Found::default();
        let lines = format!("{{\"a\":1}}\n\"{}\u{1b}\"\n", "a".repeat(1 << 20));
        documents(lines.as_bytes(), &mut found).unwrap();
        assert!(found.skipped.iter().all(|skipped| skipped.why.len() < 300));
        let raw: &RawValue = serde_json::from_str(&long).unwrap();
        let why = object(raw).unwrap_err();
        assert!(why.len() < 300 && why.contains("expected a map"), "{why}");
        let text: &RawValue = serde_json::from_str(&long[1..long.len() - 1]).unwrap();
        let why = object(text).unwrap_err();
        assert!(why.len() < 300 && why.ends_with("expected a map"), "{why}");
    }

    #[test]
    fn fields_are_told_from_texts() {
        let has = |text: &str, depth| {
            has_field(text.as_bytes(), depth, |name, value| (name, value) == (b"a", b"b"))
        };
        for text in [
            r#"{"a":"b"}"#,
            r#"[{"x":[],"y":"\\","a" : "b""#,
            "{\"x\":\"\n\"a\":\"b\"}",
            "{\"x\":[[{\"\n{\"a\":\"b\"}",
        ] {
            assert!(has(text, 2), "{text}");
        }
        for text in [
            r#"{"x":"\"a\":\"b\""}"#,
            r#"["a","b"]"#,
            r#"{"a":["b"]}"#,
            r#"{"b":"a"}"#,
            r#"[[{"a":"b"}]]"#,
            "",
        ] {
            assert!(!has(text, 2), "{text}");
        }
    }

    #[test]
    fn json_is_told_from_lists() {
        assert!(is_json(b" [ {"));
        assert!(is_json(b"\n{"));
        assert!(!is_json(b"[2001:db8::1]:443"));
        assert!(!is_json(b"evil.example"));
    }
}
