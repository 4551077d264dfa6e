//! Plain lists: a value a line, with comments; also hosts files and the trails of Maltrail.
//!
//! The type of each value is found by itself, or is the profile's `type`. A port is dropped, defanging undone. A handling
//! label in a comment before the first value or behind the last binds the whole file, one between values those that
//! follow, one on a value's line that value.

use std::borrow::Cow;
use std::collections::BTreeMap;

use tocsin_record::body::report::Indicator;
use tocsin_record::marking::words::{self, Handling};
use tocsin_record::observable::{Observable, detect};

use crate::fault::Fault;
use crate::gather::Draft;
use crate::marking::Sections;
use crate::packed::Packed;
use crate::pieces::Pieces;
use crate::{Format, ImportError, Input, PartialMarking, Reading, json, names};

/// The row of the table of formats; it takes any text that is no JSON.
pub const FORMAT: Format = Format { name: "list", sniff: |bytes| !json::is_json(bytes), parse };

/// Addresses to which a hosts file sends what it blocks.
const SINKS: &[&str] = &["0.0.0.0", "127.0.0.1", "::", "::1"];

fn parse(pieces: &mut Pieces<'_>, input: &Input<'_>, reading: &mut Reading<'_>) -> Result<(), ImportError> {
    let mut lists: BTreeMap<PartialMarking, Packed> = BTreeMap::new();
    let mut sections = Sections::default();
    let mut number = 0;
    while let Some(text) = pieces.line()? {
        number += 1;
        let line = Some(number);
        let text = match text.map(std::str::from_utf8) {
            Some(Ok(text)) => text,
            unread => {
                reading.counts.seen += 1;
                let why = if unread.is_none() { names::LINE_TOO_LONG } else { names::NOT_TEXT };
                reading.skip(line, "", why);
                continue;
            }
        };
        let (text, comment) = split_comment(text);
        if text.is_empty() {
            sections.comment(number, comment, input, reading);
            continue;
        }
        match value(input, text) {
            Ok((what, rest)) => {
                reading.counts.seen += 1;
                let mut marking = sections.value();
                for said in [rest, comment] {
                    marking.take(words::comment(said), said, (line, ""), input, reading);
                }
                lists.entry(marking).or_default().push(Indicator {
                    kind: input.profile.kind.clone().unwrap_or_else(names::unknown_kind),
                    confidence: input.profile.confidence,
                    comment: names::comment([rest, comment], []),
                    ..names::plain_indicator(what)
                })?;
            }
            // A label that stands without a sign of comments before it.
            Err(_) if words::comment(text) != Handling::default() => {
                sections.comment(number, text, input, reading);
            }
            Err(why) => {
                reading.counts.seen += 1;
                reading.skip(line, "", why);
            }
        }
    }
    sections.end(reading);
    for (marking, packed) in lists {
        let mut draft = Draft::list(input, &marking.name());
        draft.marking = marking;
        draft.finish_packed(packed, input, reading);
    }
    Ok(())
}

/// A line without its comment, and the comment. `#` begins one at the start of a line or beside a space, since
/// URLs hold it too.
fn split_comment(text: &str) -> (&str, &str) {
    let text = text.trim_start_matches('\u{feff}').trim();
    if text.starts_with(['#', ';', '!']) || text.starts_with("//") {
        return ("", text.trim_start_matches(['#', ';', '!', '/']).trim());
    }
    let cut = [" #", "\t#", "# ", " ;", " //"].iter().filter_map(|sign| text.find(sign)).min();
    match cut {
        Some(at) => (text[..at].trim(), text[at..].trim_start_matches([' ', '\t', '#', ';', '/']).trim()),
        None => (text, ""),
    }
}

/// The value of a line and what else stands in it.
fn value<'t>(input: &Input<'_>, text: &'t str) -> Result<(Observable, &'t str), Fault> {
    let mut words = text.splitn(2, char::is_whitespace);
    let (first, rest) = (words.next().unwrap_or_default(), words.next().unwrap_or_default().trim());
    let (text, rest) = if SINKS.contains(&first) && !rest.is_empty() {
        (Cow::Borrowed(rest), "")
    } else if !rest.is_empty() && (text.contains('\t') || rest.bytes().all(|b| b.is_ascii_digit())) {
        // A value and a count, or a value and a column: the value stands first.
        (Cow::Borrowed(first), rest)
    } else if let Some(name) = text.strip_prefix("||") {
        (Cow::Borrowed(name.trim_end_matches('^')), "")
    } else {
        (Cow::Borrowed(text), "")
    };
    match input.profile.value_type {
        Some(row) => row.parse(&text).map_err(Fault::from),
        None => detect(&text).map(|found| found.observable).map_err(|error| {
            let hint = "where all values of a list are of one type, say it as `type` in the source's profile";
            Fault::of(error.value(), format!("{}; {hint}", error.reason()))
        }),
    }
    .map(|what| (what, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Found, Profile};
    use tocsin_record::OrgId;
    use tocsin_record::marking::Tlp;

    pub(crate) fn import(bytes: &[u8], profile: &Profile) -> Found {
        let input = Input { name: "list.txt", source: "feed", org: OrgId([7; 32]), profile };
        crate::import(bytes, &input).unwrap_or_else(|error| panic!("{error}"))
    }

    fn shown(found: &Found) -> Vec<String> {
        let all = found.reports.iter().flat_map(|report| &report.indicators);
        let mut shown: Vec<String> = all.map(|i| format!("{}|{}", i.what.show(), i.comment)).collect();
        shown.sort();
        shown
    }

    #[test]
    fn values_comments_and_marking() {
        let found = import(
            b"# TLP:GREEN - our list\n\n192.0.2.7:443\nevil[.]example # c2\n0.0.0.0 sink.example\n||ads.example^\n\
              192.0.2.9\t12\nhttp://evil.example/a#b\n; old\nevil.example# Copyright\nword\n\xff\xfe\n",
            &Profile::default(),
        );
        assert_eq!(found.format, "list");
        assert_eq!(found.marking.tlp, Some(Tlp::Green));
        assert_eq!(
            shown(&found),
            [
                "192.0.2.7|",
                "192.0.2.9|12",
                "ads.example|",
                "evil.example|c2",
                "http://evil.example/a|",
                "sink.example|"
            ]
        );
        assert_eq!((found.counts.seen, found.counts.duplicates, found.counts.skipped), (9, 1, 2));
        assert_eq!((found.skipped[0].line, found.skipped[1].line), (Some(11), Some(12)));
        assert!(found.skipped[0].why.contains("source's profile"));
    }

    #[test]
    fn a_profile_names_type_kind_and_confidence() {
        let profile = Profile::parse("type = 'process'\nkind = 'malware'\nconfidence = 80").unwrap();
        let found = import(b"brstaged\nbundpwrd\n", &profile);
        let indicator = &found.reports[0].indicators[0];
        assert_eq!(
            (indicator.what.type_name(), indicator.kind.kind, indicator.confidence),
            ("process", 9, Some(80))
        );
    }

    #[test]
    fn all_line_ends_count_alike() {
        let bytes = b"a.example\r\nb.example\rc.example\n\nd.example";
        assert_eq!(import(bytes, &Profile::default()).counts.indicators, 4);
    }

    #[test]
    fn one_inserted_line_changes_one_bucket() {
        let lines: Vec<String> = (0..5_000).map(|n| format!("198.18.{}.{}", n / 250, n % 250)).collect();
        let before = import(lines.join("\n").as_bytes(), &Profile::default());
        let again = import(lines.join("\n").as_bytes(), &Profile::default());
        assert_eq!(before, again);
        assert!(before.reports.len() > 3);
        let mut more = lines.clone();
        more.insert(17, "203.0.113.77".to_owned());
        more.reverse();
        let after = import(more.join("\n").as_bytes(), &Profile::default());
        let changed: Vec<_> = after
            .reports
            .iter()
            .filter(|report| {
                !before
                    .reports
                    .iter()
                    .any(|old| old.subject == report.subject && old.content_hash == report.content_hash)
            })
            .collect();
        assert_eq!(changed.len(), 1);
        let earlier = before.reports.iter().find(|old| old.subject == changed[0].subject).unwrap();
        let change = crate::changes(&earlier.indicators, &changed[0].indicators).unwrap();
        assert_eq!((change.added.len(), change.withdrawn.len()), (1, 0));
        for report in &after.reports {
            assert!(crate::is_bucket_of(&report.origin.id, "list.txt"));
        }
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the test measures")]
    fn a_million_lines_take_seconds() {
        // Unoptimised code takes a fifth of it.
        let count = if cfg!(debug_assertions) { 200_000 } else { 1_000_000 };
        let mut text = String::new();
        for n in 0..count {
            text.push_str(&format!("h{n}.example\n"));
        }
        let begun = std::time::Instant::now();
        let found = import(text.as_bytes(), &Profile::default());
        assert_eq!(found.counts.indicators, count);
        assert!(found.reports.iter().all(|report| report.indicators.len() <= 1_500));
        // A generous bound: on a busy machine.
        assert!(begun.elapsed().as_secs() < 60, "{:?}", begun.elapsed());
    }
}
