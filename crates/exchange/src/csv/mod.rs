//! CSV files, with a header or without, separated by comma, semicolon or tab.
//!
//! Every agency and vendor writes its own header, so columns are found by the profile, by the usual words, else by what
//! stands in them (`columns`). A row may have several values (a domain and its address), and a cell too (the hashes of a
//! file). A type beside the value is believed: one that is no observable type leaves its row out. Rows that say of their
//! value that nothing is wrong with it are left out as well.
//! Columns of handling labels mark their rows, whatever they are called, and so do labels in tags, comments and other cells.

mod columns;
mod roles;
mod rows;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use tocsin_record::body::report::Indicator;
use tocsin_record::marking::words::{self, Handling};
use tocsin_record::observable::{Observable, detect, detect_all, package, several};

use crate::fault::Fault;
use crate::gather::Draft;
use crate::marking::Sections;
use crate::names;
use crate::packed::Packed;
use crate::pieces::Pieces;
use crate::types::{self, Named, Said, said};
use crate::{FileInfo, Format, ImportError, PartialMarking, Reading, blocklist, json, misp, when};
use columns::{Holds, Layout};
use rows::Rows;

/// The row of the table of formats.
pub const FORMAT: Format =
    Format { name: "csv", sniff: |bytes| !json::is_json(bytes) && read_layout(bytes, None).is_some(), parse };

/// What stands in a cell in the place of nothing.
const NOTHING: &[&str] = &["-", "--", "n/a", "null", "none", "nan", "(empty)"];
/// What a status says of a value that its source took back, or that no longer counts.
const GONE: &[&str] = &["revoked", "deleted", "withdrawn", "retracted", "expired", "removed"];

/// `malicious-activity`.
const MALICIOUS: u16 = 1;
/// What a cell says for yes and for no, in lower case.
const YES: &[&str] = &["true", "yes", "y", "1", "t"];
const NO: &[&str] = &["false", "no", "n", "0", "f"];
/// How many comments before the first row are looked at for the names of columns.
const COMMENTS_MAX: usize = 200;
/// What may separate cells, most usual first.
const DELIMITERS: &[u8] = b",;\t";
/// How much of a file shows its layout, in rows: enough for shares of a few percent.
const SAMPLE_ROWS: usize = 60;
/// The same in bytes: rows with long comments have a thousand.
const SAMPLE_BYTES: usize = 64 << 10;
/// Share of the rows, in percent, that must have as many cells as most have.
const EVEN_PERCENT: usize = 75;
/// Most versions of one package that are read of a row: few packages ever had as many.
const VERSIONS_MAX: usize = 1_000;

fn parse(pieces: &mut Pieces<'_>, file: &FileInfo<'_>, reading: &mut Reading<'_>) -> Result<(), ImportError> {
    let head = pieces.ahead()?;
    let wanted = &file.profile.columns;
    let delimiter = wanted.delimiter.and_then(|c| u8::try_from(c).ok());
    // A file that is said to be CSV may have one column, or a layout that only the profile knows.
    let (delimiter, layout, width) = read_layout(head, delimiter).unwrap_or_else(|| {
        let delimiter = delimiter.unwrap_or(DELIMITERS[0]);
        let first = sample(head, delimiter).into_iter().next().unwrap_or_default();
        let width = first.len();
        let header = wanted
            .value
            .as_ref()
            .and_then(|_| first.iter().all(|cell| detect(cell).is_err()).then_some(first));
        let values = vec![(0, None)];
        (delimiter, Layout { header, values, ..Layout::default() }, width)
    });
    if is_index_of_feed(head) {
        let why = "it is the index of a MISP feed, of hashes of its values: its events are imported from their own files";
        reading.note(None, file.name, why);
        return Ok(());
    }
    let layout = layout.directed(wanted, width)?;
    let header = layout.header.clone();
    let mut marking = reading.marking;
    for cell in header.iter().flatten() {
        marking.take_text(cell, (None, "header"), file, reading);
    }
    reading.marking = marking;
    let ecosystem = ecosystem(pieces, file, &layout, delimiter)?;
    let mut table =
        Table { ecosystem, layout, file, reading, lists: BTreeMap::new(), sections: Sections::default() };
    let mut rows = Rows::of(pieces, delimiter);
    let mut headed = header.is_none() || table.layout.commented;
    while let Some((line, cells)) = rows.next()? {
        for (line, comment) in rows.comments.drain(..) {
            table.sections.comment(line, &comment, file, table.reading);
        }
        match cells {
            Some(cells) if cells.is_empty() => {}
            Some(cells) if line == 1 && separator(&cells.concat()).is_some() => {}
            Some(_) if !headed => headed = true,
            Some(cells) => table.row(line, &cells)?,
            None => {
                table.reading.counts.seen += 1;
                table.reading.skip(Some(line), "", names::LINE_TOO_LONG);
            }
        }
    }
    let Table { lists, reading, sections, .. } = table;
    sections.end(reading);
    for (marking, packed) in lists {
        let mut draft = Draft::list(file, &marking.name());
        draft.marking = marking;
        draft.finish_packed(packed, &BTreeSet::new(), file, reading);
    }
    Ok(())
}

/// Delimiter, layout and width of a CSV; `None` if it is none, or no column holds values.
fn read_layout(bytes: &[u8], delimiter: Option<u8>) -> Option<(u8, Layout, usize)> {
    let said = delimiter.or_else(|| lines(bytes).next().and_then(separator));
    let only = said.map(|delimiter| vec![delimiter]);
    only.as_deref().unwrap_or(DELIMITERS).iter().find_map(|delimiter| {
        let sample = sample(bytes, *delimiter);
        let widths = sample.iter().map(Vec::len);
        let usual =
            widths.clone().max_by_key(|width| widths.clone().filter(|other| other == width).count())?;
        let even = widths.filter(|width| *width == usual).count();
        if usual < 2 || even * 100 < sample.len() * EVEN_PERCENT || is_other(&sample) {
            return None;
        }
        let comment = comment_header(bytes, *delimiter);
        let layout = Layout::find(&sample, comment.as_deref())?;
        Some((*delimiter, Layout { zeek: is_zeek(bytes), ..layout }, usual))
    })
}

/// The lines of what is in memory; between CR and LF stands an empty one.
fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|b| matches!(b, b'\n' | b'\r'))
}

/// `sep=;`, by which spreadsheets are told what separates cells.
fn separator(line: &[u8]) -> Option<u8> {
    let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line).trim_ascii_end();
    match line.get(..4) {
        Some(head) if head.eq_ignore_ascii_case(b"sep=") => match line[4..] {
            [sign] => Some(sign),
            [] => Some(b'\t'),
            _ => None,
        },
        _ => None,
    }
}

/// `hashes.csv` of a MISP feed: in each row the MD5 of a value, which is no hash of a file, and the UUID of its event.
fn is_index_of_feed(bytes: &[u8]) -> bool {
    let sample = sample(bytes, b',');
    let is_row = |row: &Vec<String>| match &row[..] {
        [hash, event] => {
            hash.len() == 32
                && hash.bytes().all(|b| b.is_ascii_hexdigit())
                && uuid::Uuid::parse_str(event).is_ok()
        }
        _ => false,
    };
    !sample.is_empty() && sample.iter().all(is_row)
}

/// A hosts file with tabs is a list.
fn is_other(sample: &[Vec<String>]) -> bool {
    let sinks = sample
        .iter()
        .filter(|row| row.first().is_some_and(|cell| blocklist::SINKS.contains(&&**cell)))
        .count();
    sinks * 2 >= sample.len()
}

/// Whether the comments before the first row are those of Zeek.
fn is_zeek(bytes: &[u8]) -> bool {
    let mut comments = lines(bytes).take(COMMENTS_MAX).take_while(|line| line.starts_with(b"#"));
    comments.any(|line| line.starts_with(b"#fields\t"))
}

/// The cells of the last comment before the first row: many feeds name their columns there, and so does Zeek.
fn comment_header(bytes: &[u8], delimiter: u8) -> Option<Vec<String>> {
    let comments = lines(bytes).take(COMMENTS_MAX).map(<[u8]>::trim_ascii_start);
    let comments = comments.take_while(|line| line.is_empty() || line.starts_with(b"#"));
    let cells = comments.filter_map(|line| {
        let text = line.trim_ascii().trim_ascii_start();
        let text = &text[text.iter().take_while(|b| **b == b'#').count()..];
        let text = text.strip_prefix(b"fields\t").unwrap_or(text);
        let (_, row) = rows::rows(text, delimiter).next()?;
        Some(row.iter().map(|cell| clean(&String::from_utf8_lossy(cell))).collect::<Vec<_>>())
    });
    cells.filter(|cells| cells.len() > 1).last()
}

fn sample(bytes: &[u8], delimiter: u8) -> Vec<Vec<String>> {
    let head = &bytes[..bytes.len().min(SAMPLE_BYTES)];
    rows::rows(head, delimiter)
        .filter(|(line, row)| *line > 1 || separator(&row.concat()).is_none())
        .take(SAMPLE_ROWS)
        .map(|(_, row)| row.iter().map(|cell| clean(&text_of(cell))).collect())
        .collect()
}

/// A cell as Zeek means it, which escapes what would end it: `\x09` is a byte, and two backslashes are one.
fn zeek(cell: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(cell.len());
    let mut rest = cell;
    while let Some((byte, after)) = rest.split_first() {
        let digit = |at: usize| after.get(at).and_then(|b| char::from(*b).to_digit(16));
        let meant;
        (meant, rest) = match (byte, after.first(), digit(1).zip(digit(2))) {
            (b'\\', Some(b'x'), Some((high, low))) => ((high << 4 | low) as u8, &after[3..]),
            (b'\\', Some(b'\\'), _) => (*byte, &after[1..]),
            _ => (*byte, after),
        };
        out.push(meant);
    }
    out
}

/// A cell as text: what is no UTF-8 is taken for Latin-1, in which old spreadsheets write.
fn text_of(cell: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(cell) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(cell.iter().map(|b| char::from(*b)).collect()),
    }
}

/// Without the byte order mark that spreadsheets leave, and without line breaks.
fn clean(cell: &str) -> String {
    names::one_line(cell.trim_start_matches('\u{feff}'), 8192)
}

/// The ecosystem of bare package names: the profile's, else npm if any has a scope, which no other has. For that the file
/// is read once more.
fn ecosystem(
    pieces: &mut Pieces<'_>,
    file: &FileInfo<'_>,
    layout: &Layout,
    delimiter: u8,
) -> Result<Option<String>, ImportError> {
    let said = file.profile.columns.ecosystem.clone();
    let Some(at) = layout.package.filter(|_| said.is_none()) else { return Ok(said) };
    let mut rows = Rows::of(pieces, delimiter);
    let mut scoped = false;
    while !scoped && let Some((_, cells)) = rows.next()? {
        scoped = cells.is_some_and(|cells| cells.get(at).is_some_and(|cell| cell.starts_with(b"@")));
    }
    pieces.rewind()?;
    Ok(scoped.then(|| "npm".to_owned()))
}

struct Table<'i, 'f, 't> {
    layout: Layout,
    ecosystem: Option<String>,
    file: &'i FileInfo<'i>,
    reading: &'f mut Reading<'t>,
    /// One list for each marking.
    lists: BTreeMap<PartialMarking, Packed>,
    sections: Sections,
}

impl Table<'_, '_, '_> {
    /// Fails where the lists have no room.
    fn row(&mut self, line: u64, cells: &[Vec<u8>]) -> Result<(), ImportError> {
        if cells.iter().all(|cell| cell.trim_ascii().is_empty()) {
            return Ok(());
        }
        self.reading.counts.seen += 1;
        let unescaped: Vec<Vec<u8>>;
        let cells = if self.layout.zeek {
            unescaped = cells.iter().map(|cell| zeek(cell)).collect();
            &unescaped
        } else {
            cells
        };
        let texts: Vec<Cow<'_, str>> = cells.iter().map(|cell| text_of(cell)).collect();
        // A dash stands for nothing in what Zeek and databases write, and so do these words in what spreadsheets do.
        let cell = |at: usize| texts.get(at).map_or("", |text| text.trim()).trim_matches('\0');
        let is_nothing = |text: &str| NOTHING.iter().any(|word| text.eq_ignore_ascii_case(word));
        let cell = |at: usize| if is_nothing(cell(at)) { "" } else { cell(at) };
        if let Some(word) = self.gone(&cell) {
            self.reading.counts.withdrawn += 1;
            let why = "its source took it back, or says that its time is over: it is not imported, and no longer counts";
            self.reading.note(Some(line), "", Fault::of(word, why));
            return Ok(());
        }
        if let Some(word) = self.good(&cell) {
            let why = "its row says that nothing is wrong with it: it is no indicator, and was left out";
            self.reading.note(Some(line), "", Fault::of(word, why));
            return Ok(());
        }
        let unread = |at: usize| cells.get(at).is_some_and(|cell| std::str::from_utf8(cell).is_err());
        let values = self.values(line, &cell, &unread);
        if values.is_empty() {
            return Ok(());
        }
        let optional = |at: Option<usize>| at.map_or("", cell);
        let tags =
            || optional(self.layout.tags).split([' ', ',', ';', '#']).filter(|tag| !tag.trim().is_empty());
        let type_word = optional(self.layout.types);
        let classes = || self.layout.class.iter().map(|at| cell(*at)).filter(|text| !text.is_empty());
        let worded =
            classes().chain((said(type_word) == Said::Kind).then_some(type_word)).find_map(names::kind_named);
        let tagged = || tags().find_map(names::kind_named);
        let to_ids = optional(self.layout.to_ids).to_ascii_lowercase();
        let bad = || YES.contains(&&*to_ids).then(|| names::kind_numbered(MALICIOUS));
        // Said to be looked for by nobody: context, as in an event of MISP.
        let context = || NO.contains(&&*to_ids).then(names::observed_kind);
        let profile = || self.file.profile.kind.clone();
        let kind = context().or(worded).or_else(tagged).or_else(profile).or_else(bad);
        // A type such as `LOADER_SHA256` says more than the type.
        let type_cell = Some(type_word).filter(|cell| cell.contains(['_', ' ']));
        let comments = classes().chain(self.layout.comments.iter().map(|at| cell(*at))).chain(type_cell);
        let sure = optional(self.layout.confidence);
        let confidence = sure.trim_end_matches('%').parse().ok().filter(|sure| *sure <= 100);
        if confidence.is_none() && !sure.is_empty() {
            let why = "a confidence is a number from 0 to 100: the value was imported without this one";
            self.reading.note(Some(line), "confidence", Fault::of(sure, why));
        }
        let mut time = |field: &str, at: Option<usize>| {
            let text = optional(at);
            let read = when::millis(text);
            if read.is_none() && !text.is_empty() {
                self.reading.note(Some(line), field, Fault::of(text, when::UNREADABLE));
            }
            read.unwrap_or(0)
        };
        let model = Indicator {
            kind: kind.unwrap_or_else(names::unknown_kind),
            confidence: confidence.or(self.file.profile.confidence),
            valid_from: time("valid from", self.layout.from),
            valid_until: time("valid until", self.layout.until),
            comment: names::comment(comments, tags()),
            ..names::plain_indicator(values[0].0.clone())
        };
        if let Some(why) = names::odd_validity(model.valid_from, model.valid_until) {
            self.reading.skip(Some(line), "valid_until", why);
            return Ok(());
        }
        let marking = self.marking(line, &texts);
        let list = self.lists.entry(marking).or_default();
        values.into_iter().try_for_each(|(what, beside)| {
            // Beside its hash a file name is a description: alone it would hit every file so called.
            let kind = if beside { names::unknown_kind() } else { model.kind.clone() };
            list.push(Indicator { what, kind, ..model.clone() })
        })
    }

    /// The cell that says that its source took the row back, if one does: `true`, the time when, or a word for it.
    fn gone<'t>(&self, cell: &impl Fn(usize) -> &'t str) -> Option<&'t str> {
        let says = |text: &&str| {
            YES.contains(&&*text.to_ascii_lowercase())
                || GONE.contains(&&*types::normal(text))
                || text.contains(['-', '/']) && when::millis(text).is_some()
        };
        self.layout.gone.iter().map(|at| cell(*at)).find(says)
    }

    /// The cell that says that nothing is wrong with the row's value, if one does.
    fn good<'t>(&self, cell: &impl Fn(usize) -> &'t str) -> Option<&'t str> {
        let is = |words: &[&str], text: &str| words.contains(&&*text.to_ascii_lowercase());
        let bad =
            self.layout.bad.iter().map(|at| cell(*at)).find(|text| is(NO, text) || types::is_good(text));
        let good =
            || self.layout.good.iter().map(|at| cell(*at)).find(|text| is(YES, text) || types::is_good(text));
        let comment = || {
            self.layout
                .comments
                .iter()
                .chain(&self.layout.tags)
                .map(|at| cell(*at))
                .find(|text| types::is_good(text))
        };
        let typed = || self.layout.types.map(cell).filter(|text| said(text) == Said::Good);
        bad.or_else(good).or_else(comment).or_else(typed)
    }

    /// What a row says of its handling: by columns that hold nothing else, by tags, and by labels wherever else they stand.
    fn marking(&mut self, line: u64, texts: &[Cow<'_, str>]) -> PartialMarking {
        let mut marking = self.sections.value();
        for (at, text) in texts.iter().enumerate() {
            let text = text.trim();
            if text.is_empty() || self.layout.values.iter().any(|(value, _)| *value == at) {
                continue;
            }
            let field = self.layout.handling.get(at).copied().unwrap_or(Holds::Other);
            let said = match field {
                Holds::Distribution => misp::distribution(text),
                Holds::Tags => words::labels(text, words::Spaces::Apart),
                Holds::Labels(field) => words::label_in(field, text).unwrap_or_else(|| words::mention(text)),
                // `amber` in a column of which nobody knows what it is: it binds, and states nothing.
                Holds::Other if words::is_colour(text) => {
                    Handling { tlp: None, ..words::label_in_field(text).unwrap_or_default() }
                }
                Holds::Other => words::labels(text, words::Spaces::Within),
            };
            let column = self.column(at);
            marking.take(said, text, (Some(line), &column), self.file, self.reading);
        }
        marking
    }

    /// The values of a row; what is wrong with its cells is left out with the reason.
    /// With each goes whether it is a part that says little alone.
    fn values<'t>(
        &mut self,
        line: u64,
        cell: &impl Fn(usize) -> &'t str,
        unread: &impl Fn(usize) -> bool,
    ) -> Vec<(Observable, bool)> {
        let mut values = Vec::new();
        let mut beside = Vec::new();
        let mut errors: Vec<(usize, Fault)> = Vec::new();
        // Of another type than their row or column says.
        let mut others = Vec::new();
        if let Some(at) = self.layout.package
            && !cell(at).is_empty()
        {
            match &self.ecosystem {
                Some(ecosystem) => self.packages(ecosystem, cell(at), cell, &mut values, &mut errors),
                None => errors.push((
                    at,
                    "it is not said what kind of package it is: name the `ecosystem` under [columns] in the source's \
                     profile, such as npm"
                        .into(),
                )),
            }
        }
        if let Some(network) = self.layout.network {
            let (start, end, prefix) =
                (cell(network.start), network.end.map_or("", cell), network.prefix.map_or("", cell));
            let text = match (end, prefix) {
                ("", "") => start.to_owned(),
                ("", prefix) => format!("{start}/{prefix}"),
                (end, _) => format!("{start}-{end}"),
            };
            match detect_all(&text) {
                Ok(found) => values.extend(found),
                Err(error) => errors.push((network.start, error.into())),
            }
        }
        for (at, column_type) in &self.layout.values {
            if unread(*at) {
                errors.push((*at, names::NOT_TEXT.into()));
                continue;
            }
            // A line break separates values in a cell.
            let whole = cell(*at);
            if whole.is_empty() {
                continue;
            }
            let text = clean(whole);
            let type_cell = self.layout.types.map_or("", cell);
            let stated = column_type.map_or_else(|| said(type_cell), Said::Type);
            let read = match stated {
                Said::Type(Named::Package(ecosystem)) => {
                    self.packages(ecosystem, &text, cell, &mut values, &mut errors);
                    continue;
                }
                Said::Type(named) => several_lines(whole, |text| named.read(text)).inspect(|read| {
                    for value in read {
                        if let Some(said) = named.contradicted(value) {
                            others.push((*at, Fault::of(&text, types::other_type(said, value))));
                        }
                        if named.is_beside(value) {
                            beside.push(value.clone());
                        }
                    }
                }),
                Said::Unknown if self.file.profile.value_type.is_none() => {
                    let why = format!("there is no observable type `{}`", names::one_line(type_cell, 40));
                    Err(Fault::of(&text, why))
                }
                _ => several_lines(whole, |text| self.untyped(text)),
            };
            match read {
                Ok(read) => values.extend(read),
                Err(why) => errors.push((*at, why)),
            }
        }
        if values.is_empty() && errors.is_empty() {
            errors.push((0, "the row has no value".into()));
        }
        for (at, why) in errors {
            let column = self.column(at);
            self.reading.skip(Some(line), &column, why);
        }
        for (at, why) in others {
            let column = self.column(at);
            self.reading.note(Some(line), &column, why);
        }
        values
            .into_iter()
            .map(|value| {
                let beside = beside.contains(&value);
                (value, beside)
            })
            .collect()
    }

    /// The name of a column, empty without a header.
    fn column(&self, at: usize) -> String {
        self.layout.header.as_ref().and_then(|header| header.get(at)).cloned().unwrap_or_default()
    }

    fn untyped(&self, text: &str) -> Result<Vec<Observable>, Fault> {
        if let Some(row) = self.file.profile.value_type {
            let one = |text: &str| row.parse(text).map(|value| vec![value]);
            return one(text).or_else(|error| several(text, one).ok_or(error)).map_err(Fault::from);
        }
        detect_all(text).or_else(|error| {
            let (label, rest) = text.split_once(": ").ok_or(error.clone())?;
            match said(label) {
                Said::Type(named) => named.read(rest),
                _ => Err(error.into()),
            }
        })
    }

    /// A package in each of the versions beside it, or in all if there are none.
    fn packages<'t>(
        &self,
        ecosystem: &str,
        name: &str,
        cell: &impl Fn(usize) -> &'t str,
        values: &mut Vec<Observable>,
        errors: &mut Vec<(usize, Fault)>,
    ) {
        let versions = self.layout.versions.map_or("", cell);
        let mut versions: Vec<&str> = versions
            .split([',', ';', '|', ' '])
            .map(|version| version.trim().trim_start_matches('='))
            .filter(|version| !version.is_empty())
            .take(VERSIONS_MAX)
            .collect();
        if versions.is_empty() {
            versions.push("");
        }
        for version in versions {
            match package(ecosystem, name, version) {
                Ok(value) => values.push(value),
                Err(error) => errors.push((self.layout.package.unwrap_or(0), error.into())),
            }
        }
    }
}

/// What `one` reads of a cell, else of each of its lines.
fn several_lines(
    cell: &str,
    one: impl Fn(&str) -> Result<Vec<Observable>, Fault>,
) -> Result<Vec<Observable>, Fault> {
    one(&clean(cell)).or_else(|why| {
        let lines = cell.lines().map(str::trim).filter(|line| !line.is_empty());
        if lines.clone().count() < 2 {
            return Err(why);
        }
        lines.map(one).collect::<Result<Vec<_>, _>>().map(|found| found.concat()).map_err(|_| why)
    })
}

#[cfg(test)]
mod tests;
