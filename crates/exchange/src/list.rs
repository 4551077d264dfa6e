//! Plain lists: a value a line, with comments; also blocklists (`blocklist`), the trails of Maltrail, and datasets of
//! Suricata, whose lines are base64 (`dataset`).
//!
//! The type of each value is found by itself, or is the profile's `type`. A port is dropped, defanging undone. A handling
//! label in a comment before the first value or behind the last binds the whole file, one between values those that
//! follow, one on a value's line that value. A line whose comment says that nothing is wrong with its value
//! is left out.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use tocsin_record::body::report::Indicator;
use tocsin_record::marking::words::{self, Handling};
use tocsin_record::observable::{Observable, detect_all, several};

use crate::blocklist::{self, Line};
use crate::dataset;
use crate::fault::{Fault, VALUE_MAX};
use crate::gather::Draft;
use crate::marking::Sections;
use crate::packed::Packed;
use crate::pieces::Pieces;
use crate::{FileInfo, Format, ImportError, PartialMarking, Reading, json, names, types};

/// The row of the table of formats; it takes any text that is no JSON.
pub const FORMAT: Format = Format { name: "list", sniff: |bytes| !json::is_json(bytes), parse };

/// Most values that a list may say not to block, so that what it blocks of them is left out.
const ALLOWED_MAX: usize = 200_000;
/// Most lines after its first of a record that goes on: an SOA has six.
const RECORD_LINES_MAX: u32 = 12;
/// A file is taken for a list of something else where so many times as many of its lines are words of no type as are values.
const WORDS_A_VALUE: u64 = 4;
/// And where it has so many of them: in less nobody can tell.
const WORDS_MIN: u64 = 8;

/// Lines of one word each that are of no type: names of processes, say, of which one is like a domain by chance.
#[derive(Default)]
struct Unknown {
    words: u64,
    read: u64,
    first: String,
}

impl Unknown {
    /// Looks at a line that was not read. Sentences, rules and paths are no names.
    fn take(&mut self, text: &str) {
        if text.contains(|c: char| c.is_whitespace() || matches!(c, '/' | '^' | '*' | '|' | '#' | '$' | '@'))
        {
            return;
        }
        if self.words == 0 {
            self.first = names::one_line(text, VALUE_MAX);
        }
        self.words += 1;
    }

    fn is_no_list(&self) -> bool {
        self.read > 0 && self.words >= WORDS_MIN && self.words > self.read.saturating_mul(WORDS_A_VALUE)
    }
}

/// What is told of a list whose lines are base64.
const ENCODED: &str = "each of its lines is base64, as in a dataset of Suricata: what they encode is read";
const GOOD: &str = "its line says that nothing is wrong with it: it is no indicator, and was left out";

fn parse(pieces: &mut Pieces<'_>, file: &FileInfo<'_>, reading: &mut Reading<'_>) -> Result<(), ImportError> {
    let mut lists: BTreeMap<PartialMarking, Packed> = BTreeMap::new();
    let mut sections = Sections::default();
    let mut number = 0;
    let mut unknown = Unknown::default();
    // Lines of a record that goes on: so many more are looked at for its end.
    let mut open = 0_u32;
    let mut allowed = BTreeSet::new();
    let is_encoded = dataset::is_encoded(pieces.ahead()?);
    if is_encoded {
        reading.note(None, file.name, ENCODED);
    }
    while let Some(text) = pieces.line()? {
        number += 1;
        let line = Some(number);
        let Some(bytes) = text else {
            reading.counts.seen += 1;
            reading.skip(line, "", names::LINE_TOO_LONG);
            continue;
        };
        // A comment may be in another encoding than the values: Latin-1 then.
        let (whole, is_text) = match std::str::from_utf8(bytes) {
            Ok(text) => (Cow::Borrowed(text), true),
            Err(_) => (Cow::Owned(bytes.iter().map(|b| char::from(*b)).collect()), false),
        };
        let meant = is_encoded.then(|| dataset::decoded(whole.trim())).flatten();
        let (text, comment) =
            meant.as_deref().map_or_else(|| split_comment(&whole), |text| (text.trim(), ""));
        if text.is_empty() {
            sections.comment(number, comment, file, reading);
            continue;
        }
        if open > 0 {
            open = if text.contains(')') { 0 } else { open - 1 };
            continue;
        }
        if blocklist::opens(text) {
            open = RECORD_LINES_MAX;
        }
        if !is_text && !text.is_ascii() {
            reading.counts.seen += 1;
            reading.skip(line, "", names::NOT_TEXT);
            continue;
        }
        let said = blocklist::line(text);
        if let Line::Allowed(names) = &said {
            let read = names.iter().filter_map(|name| read(file, name).ok()).flatten();
            let room = ALLOWED_MAX.saturating_sub(allowed.len());
            allowed.extend(read.take(room));
        }
        let (found, rest) = match values(file, text, said) {
            Ok(found) => found,
            // A label that stands without a sign of comments before it.
            Err(_) if words::comment(text) != Handling::default() => {
                sections.comment(number, text, file, reading);
                continue;
            }
            Err(why) => {
                reading.counts.seen += 1;
                unknown.take(text);
                reading.skip(line, "", why);
                continue;
            }
        };
        reading.counts.seen += 1;
        unknown.read += u64::from(!found.is_empty());
        if [rest, comment].iter().any(|text| types::is_good(text)) {
            reading.note(line, "", Fault::of(text, GOOD));
            continue;
        }
        let mut marking = sections.value();
        for said in [rest, comment] {
            marking.take(words::comment(said), said, (line, ""), file, reading);
        }
        for what in found {
            lists.entry(marking).or_default().push(Indicator {
                kind: file.profile.kind.clone().unwrap_or_else(names::unknown_kind),
                confidence: file.profile.confidence,
                comment: names::comment([rest, comment], []),
                ..names::plain_indicator(what)
            })?;
        }
    }
    sections.end(reading);
    if file.profile.value_type.is_none() && unknown.is_no_list() {
        return Err(ImportError::NoList {
            lines: unknown.words + unknown.read,
            read: unknown.read,
            first: unknown.first,
        });
    }
    for (marking, packed) in lists {
        let mut draft = Draft::list(file, &marking.name());
        draft.marking = marking;
        draft.finish_packed(packed, &allowed, file, reading);
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
    let cut = [" #", "\t#", "# ", " ;", "\t;", " //", "\t//"].iter().filter_map(|sign| text.find(sign)).min();
    match cut {
        Some(at) => (text[..at].trim(), text[at..].trim_start_matches([' ', '\t', '#', ';', '/']).trim()),
        None => (text, ""),
    }
}

/// The values of a line and what else stands in it.
fn values<'t>(
    file: &FileInfo<'_>,
    text: &'t str,
    line: Line<'_>,
) -> Result<(Vec<Observable>, &'t str), Fault> {
    match line {
        Line::Frame => return Ok((Vec::new(), "")),
        Line::Allowed(_) => return Err(Fault::of(text, blocklist::ALLOWED)),
        Line::Exception(why) => return Err(Fault::of(text, why)),
        Line::Values(names) => {
            let read = names.iter().map(|name| read(file, name)).collect::<Result<Vec<_>, _>>()?;
            return Ok((read.concat(), ""));
        }
        Line::Other => {}
    }
    let (first, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let rest = rest.trim();
    // A value and a count, or a value and a column: the value stands first.
    if !rest.is_empty() && (text.contains('\t') || rest.bytes().all(|b| b.is_ascii_digit())) {
        return read(file, first).map(|what| (what, rest));
    }
    match read(file, text) {
        Ok(what) => Ok((what, "")),
        // `192.0.2.7;a note`
        Err(error) => match text.split_once(';') {
            Some((value, note)) => read(file, value).map(|what| (what, note.trim())).map_err(|_| error),
            None => Err(error),
        },
    }
}

fn read(file: &FileInfo<'_>, text: &str) -> Result<Vec<Observable>, Fault> {
    match file.profile.value_type {
        Some(row) => {
            let one = |text: &str| row.parse(text).map(|value| vec![value]);
            one(text).or_else(|error| several(text, one).ok_or(error)).map_err(Fault::from)
        }
        None => detect_all(text).map_err(|error| {
            let hint = "where all values of a list are of one type, say it as `type` in the source's profile";
            Fault::of(error.value(), format!("{}; {hint}", error.reason()))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Found, Profile};
    use tocsin_record::OrgId;
    use tocsin_record::marking::Tlp;

    pub(crate) fn import(bytes: &[u8], profile: &Profile) -> Found {
        let file = FileInfo { name: "list.txt", source: "feed", org: OrgId([7; 32]), profile };
        crate::import(bytes, &file).unwrap_or_else(|error| panic!("{error}"))
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
    fn blocklists_and_what_they_do_not_block() {
        let text = "127.0.0.1 localhost\n0.0.0.0 0.0.0.0\n0.0.0.0 a.example b.example # ads\n||c.example^$third-party\n@@||d.example^\n\
                    address=/e.example/0.0.0.0\n192.0.2.7;SBL1\n192.0.2.128-192.0.2.255\nf.example # sinkhole\ng.example\tMicrosoft sinkhole\n\
                    h.example CNAME .\ni.example CNAME rpz-passthru.\nj.example, k.example\n";
        let found = import(text.as_bytes(), &Profile::default());
        assert_eq!(
            shown(&found),
            [
                "192.0.2.128/25|",
                "192.0.2.7|SBL1",
                "a.example|ads",
                "b.example|ads",
                "c.example|",
                "e.example|",
                "h.example|",
                "j.example|",
                "k.example|",
            ]
        );
        let left_out: Vec<_> =
            found.skipped.iter().chain(&found.noted).map(|one| one.line.unwrap()).collect();
        assert_eq!(left_out, [5, 12, 9, 10]);
        // What the same list lets pass it does not block, whichever comes first.
        let passes = "@@||c.example^|\n||a.example^\n||b.example^\n@@||b.example^$important\n||d.example^\n@@||x.d.example^\n";
        let found = import(passes.as_bytes(), &Profile::default());
        assert_eq!(shown(&found), ["a.example|", "d.example|"]);
        assert_eq!((found.noted.len(), found.noted[0].value.as_str()), (1, "b.example"));
        let tabs =
            import(b"127.0.0.1\tlocalhost\n0.0.0.0\ta.example\n0.0.0.0\tb.example\n", &Profile::default());
        assert_eq!(shown(&tabs), ["a.example|", "b.example|"]);
    }

    #[test]
    fn prose_sums_and_web_pages_are_no_values() {
        let text = "We saw evil.example in a mail.\nhttp://evil.example/ is the server\nd41d8cd98f00b204e9800998ecf8427e  evil.exe\n\
                    d41d8cd98f00b204e9800998ecf8427e *evil.exe\nMD5 (evil.exe) = d41d8cd98f00b204e9800998ecf8427e\nVersion 10.0.19041.1 of it\n\
                    software,version\nx,10.0.19.1\n";
        assert_eq!(import(text.as_bytes(), &Profile::default()).counts.indicators, 0);
        let file = FileInfo { name: "x", source: "y", org: OrgId([7; 32]), profile: &Profile::default() };
        for page in [
            "<html>\nhttp://a.example/\n</html>",
            "\n <!DOCTYPE HTML><p>\na.example\n",
            "<?xml version='1.0'?>\n<a/>",
        ] {
            assert!(
                matches!(crate::import(page.as_bytes(), &file), Err(crate::ImportError::WebPage)),
                "{page}"
            );
        }
    }

    #[test]
    fn what_lines_of_base64_encode_is_read() {
        // evil.example; http://b.example/; TLP:RED is of the comment.
        let text = "# TLP:AMBER\nZXZpbC5leGFtcGxl\naHR0cDovL2IuZXhhbXBsZS8=,5\nbm8gdmFsdWU=\n";
        let found = import(text.as_bytes(), &Profile::default());
        assert_eq!(shown(&found), ["evil.example|", "http://b.example/|"]);
        assert_eq!((found.marking.tlp, found.counts.skipped, found.counts.noted), (Some(Tlp::Amber), 1, 1));
        let profile = Profile::parse("type = 'user-agent'").unwrap();
        let found = import(b"TW96aWxsYS81LjAgKGV4YW1wbGUpLCBhOyBi\n", &profile);
        assert_eq!(shown(&found), ["Mozilla/5.0 (example), a; b|"]);
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
    fn a_list_of_names_is_not_taken_for_the_one_that_looks_like_a_domain() {
        let mut text: String = (0..80).map(|n| format!("svchost{n}\n")).collect();
        text.push_str("helper.com\n");
        let none = Profile::default();
        let file = |profile| FileInfo { name: "proc.txt", source: "feed", org: OrgId([7; 32]), profile };
        let said = crate::import(text.as_bytes(), &file(&none)).unwrap_err().to_string();
        assert!(said.contains("80 of 81") && said.contains("`svchost0`") && said.contains("type"), "{said}");
        // Said what they are, all of them are that.
        let profile = Profile::parse("type = 'process'").unwrap();
        assert_eq!(crate::import(text.as_bytes(), &file(&profile)).unwrap().counts.indicators, 81);
        // A list with some words in it, or with sentences around it, is one.
        for text in [
            "a.example\nb.example\nword\nword2\nword3\nword4\n".to_owned(),
            "a.example\n".to_owned() + &"we saw it in a mail\n".repeat(20),
            "a.example\n".to_owned() + &"/gate/panel.php\n".repeat(20),
        ] {
            assert!(import(text.as_bytes(), &Profile::default()).counts.indicators > 0, "{text}");
        }
    }

    #[test]
    fn the_lines_of_a_zone_s_head_are_no_values() {
        let zone = "$TTL 1h\n@ IN SOA ns.zone. host.zone. (\n 2025060706 ; serial\n 1h ; refresh\n 15m\n 30d\n 1h ) ; minimum\n\
                    IN NS ns.zone.\na.example CNAME .\nb.example CNAME b.example.\n";
        let found = import(zone.as_bytes(), &Profile::default());
        assert_eq!(shown(&found), ["a.example|"]);
        assert_eq!(found.skipped.iter().map(|one| one.line.unwrap()).collect::<Vec<_>>(), [10]);
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
            assert!(crate::gather::is_bucket_of(&report.origin.id, "list.txt"));
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
