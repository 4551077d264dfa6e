//! CSV files, with a header or without, separated by comma, semicolon or tab.
//!
//! Every agency and vendor writes its own header, so columns are found by the profile, by the usual words, else by what
//! stands in them (`columns`). A row may have several values (a domain and its address); a type beside the value
//! counts, and where it is none that tocsin knows the value tells. Columns of handling labels
//! mark their rows, whatever they are called, and so do labels in tags, comments and other cells.

mod columns;
mod rows;

use std::borrow::Cow;
use std::collections::BTreeMap;

use tocsin_record::body::report::Indicator;
use tocsin_record::marking::words::{self, Handling};
use tocsin_record::observable::{Observable, detect, package};

use crate::fault::Fault;
use crate::gather::Draft;
use crate::marking::Sections;
use crate::names::{self, Named, type_named};
use crate::packed::Packed;
use crate::pieces::Pieces;
use crate::{Format, ImportError, Input, PartialMarking, Reading, json, misp, when};
use columns::{Holds, Layout};
use rows::Rows;

/// The row of the table of formats.
pub const FORMAT: Format =
    Format { name: "csv", sniff: |bytes| !json::is_json(bytes) && read_layout(bytes, None).is_some(), parse };

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

fn parse(pieces: &mut Pieces<'_>, input: &Input<'_>, reading: &mut Reading<'_>) -> Result<(), ImportError> {
    let head = pieces.ahead()?;
    let wanted = &input.profile.columns;
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
    let layout = layout.directed(wanted, width)?;
    let header = layout.header.clone();
    let mut marking = reading.marking;
    for cell in header.iter().flatten() {
        marking.take_text(cell, (None, "header"), input, reading);
    }
    reading.marking = marking;
    let ecosystem = ecosystem(pieces, input, &layout, delimiter)?;
    let mut table =
        Table { ecosystem, layout, input, reading, lists: BTreeMap::new(), sections: Sections::default() };
    let mut rows = Rows::of(pieces, delimiter);
    let mut headed = header.is_none();
    while let Some((line, cells)) = rows.next()? {
        for (line, comment) in rows.comments.drain(..) {
            table.sections.comment(line, &comment, input, table.reading);
        }
        match cells {
            Some(cells) if cells.is_empty() => {}
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
        let mut draft = Draft::list(input, &marking.name());
        draft.marking = marking;
        draft.finish_packed(packed, input, reading);
    }
    Ok(())
}

/// Delimiter, layout and width of a CSV; `None` if it is none, or no column holds values.
fn read_layout(bytes: &[u8], delimiter: Option<u8>) -> Option<(u8, Layout, usize)> {
    let only = delimiter.map(|delimiter| vec![delimiter]);
    only.as_deref().unwrap_or(DELIMITERS).iter().find_map(|delimiter| {
        let sample = sample(bytes, *delimiter);
        let widths = sample.iter().map(Vec::len);
        let usual =
            widths.clone().max_by_key(|width| widths.clone().filter(|other| other == width).count())?;
        let even = widths.filter(|width| *width == usual).count();
        if usual < 2 || even * 100 < sample.len() * EVEN_PERCENT {
            return None;
        }
        Some((*delimiter, Layout::find(&sample)?, usual))
    })
}

fn sample(bytes: &[u8], delimiter: u8) -> Vec<Vec<String>> {
    let head = &bytes[..bytes.len().min(SAMPLE_BYTES)];
    rows::rows(head, delimiter)
        .take(SAMPLE_ROWS)
        .map(|(_, row)| row.iter().map(|cell| clean(&String::from_utf8_lossy(cell))).collect())
        .collect()
}

/// Without the byte order mark that spreadsheets leave, and without line breaks.
fn clean(cell: &str) -> String {
    names::one_line(cell.trim_start_matches('\u{feff}'), 8192)
}

/// The ecosystem of bare package names: the profile's, else npm if any has a scope, which no other has. For that the file
/// is read once more.
fn ecosystem(
    pieces: &mut Pieces<'_>,
    input: &Input<'_>,
    layout: &Layout,
    delimiter: u8,
) -> Result<Option<String>, ImportError> {
    let said = input.profile.columns.ecosystem.clone();
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
    input: &'i Input<'i>,
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
        let mut texts = Vec::with_capacity(cells.len());
        for cell in cells {
            match std::str::from_utf8(cell) {
                Ok(text) => texts.push(Cow::Borrowed(text)),
                Err(_) => {
                    self.reading.skip(Some(line), "", names::NOT_TEXT);
                    return Ok(());
                }
            }
        }
        let cell = |at: usize| texts.get(at).map_or("", |text| text.trim());
        let values = self.values(line, &cell);
        if values.is_empty() {
            return Ok(());
        }
        let optional = |at: Option<usize>| at.map_or("", cell);
        let tags =
            || optional(self.layout.tags).split([' ', ',', ';', '#']).filter(|tag| !tag.trim().is_empty());
        let tagged = tags().find_map(names::kind_named);
        let said = tagged.or_else(|| self.input.profile.kind.clone());
        // A type such as `LOADER_SHA256` says more than the type.
        let type_cell = Some(optional(self.layout.types)).filter(|cell| cell.contains(['_', ' ']));
        let comments = self.layout.comments.iter().map(|at| cell(*at)).chain(type_cell);
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
            kind: said.unwrap_or_else(names::unknown_kind),
            confidence: confidence.or(self.input.profile.confidence),
            valid_from: time("valid from", self.layout.from),
            valid_until: time("valid until", self.layout.until),
            comment: names::comment(comments, tags()),
            ..names::plain_indicator(values[0].clone())
        };
        if let Some(why) = names::odd_validity(model.valid_from, model.valid_until) {
            self.reading.skip(Some(line), "valid_until", why);
            return Ok(());
        }
        let marking = self.marking(line, &texts);
        let list = self.lists.entry(marking).or_default();
        values.into_iter().try_for_each(|what| list.push(Indicator { what, ..model.clone() }))
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
            marking.take(said, text, (Some(line), &column), self.input, self.reading);
        }
        marking
    }

    /// The values of a row; what is wrong with its cells is left out with the reason.
    fn values<'t>(&mut self, line: u64, cell: &impl Fn(usize) -> &'t str) -> Vec<Observable> {
        let mut values = Vec::new();
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
        for (at, column_type) in &self.layout.values {
            let text = clean(cell(*at));
            if text.is_empty() {
                continue;
            }
            let type_cell = self.layout.types.map_or("", cell);
            match column_type.or_else(|| type_named(type_cell)) {
                Some(Named::Package(ecosystem)) => {
                    self.packages(ecosystem, &text, cell, &mut values, &mut errors)
                }
                Some(named) => match named.read(&text) {
                    Ok(read) => {
                        for value in &read {
                            if let Some(said) = named.contradicted(value) {
                                others.push((*at, Fault::of(&text, names::other_type(said, value))));
                            }
                        }
                        values.extend(read);
                    }
                    Err(why) => errors.push((*at, why)),
                },
                None => match self.untyped(&text, type_cell) {
                    Ok(value) => values.push(value),
                    Err(why) => errors.push((*at, why)),
                },
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
    }

    /// The name of a column, empty without a header.
    fn column(&self, at: usize) -> String {
        self.layout.header.as_ref().and_then(|header| header.get(at)).cloned().unwrap_or_default()
    }

    fn untyped(&self, text: &str, type_cell: &str) -> Result<Observable, Fault> {
        if !type_cell.is_empty() && text.contains(' ') {
            // Of a type unknown here, a text with an address in it is not that address.
            let why = format!("there is no observable type `{}`", names::one_line(type_cell, 40));
            return Err(Fault::of(text, why));
        }
        if let Some(row) = self.input.profile.value_type {
            return row.parse(text).map_err(Fault::from);
        }
        let whole = detect(text);
        let labelled = || {
            let (label, rest) = text.split_once(": ")?;
            let read = type_named(label)?.read(rest).ok()?;
            read.into_iter().next()
        };
        match whole {
            Ok(found) => Ok(found.observable),
            Err(error) => labelled().ok_or_else(|| error.into()),
        }
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

#[cfg(test)]
mod tests;
