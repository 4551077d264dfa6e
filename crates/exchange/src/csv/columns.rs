//! Which column of a CSV holds what: by the profile, else by the header's words, else by what stands in the cells.

use tocsin_record::marking::words;
use tocsin_record::observable::detect;

use crate::ImportError;
use crate::names::{Named, type_named};
use crate::profile::Columns;

/// Share of a column's cells, in percent, that must be values for the column to be taken as the values'.
const VALUES_PERCENT: usize = 60;
/// Share of a column's cells, in percent, that must name types for the column to be taken as the types'.
const TYPES_PERCENT: usize = 80;

/// What a column is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Value,
    /// The values' if there are types beside it.
    Name,
    Package,
    Versions,
    Type,
    Comment,
    Tags,
    From,
    Until,
    Confidence,
    /// Context that looks like an indicator and is none.
    Other,
}

/// Words of headers, in lower case with `_`. Words for types of values are in [`type_named`].
const WORDS: &[(&str, Role)] = &[
    ("value", Role::Value),
    ("values", Role::Value),
    ("indicator", Role::Value),
    ("indicators", Role::Value),
    ("indicator_value", Role::Value),
    ("ioc", Role::Value),
    ("iocs", Role::Value),
    ("ioc_value", Role::Value),
    ("data", Role::Value),
    ("observable", Role::Value),
    ("artifact", Role::Value),
    ("name", Role::Name),
    ("package", Role::Package),
    ("package_name", Role::Package),
    ("version", Role::Versions),
    ("versions", Role::Versions),
    ("package_version", Role::Versions),
    ("package_versions", Role::Versions),
    ("affected_versions", Role::Versions),
    ("type", Role::Type),
    ("subtype", Role::Type),
    ("indicator_type", Role::Type),
    ("ioc_type", Role::Type),
    ("artifact_type", Role::Type),
    ("comment", Role::Comment),
    ("comments", Role::Comment),
    ("note", Role::Comment),
    ("notes", Role::Comment),
    ("description", Role::Comment),
    ("context", Role::Comment),
    ("other_context", Role::Comment),
    ("details", Role::Comment),
    ("tag", Role::Tags),
    ("tags", Role::Tags),
    ("labels", Role::Tags),
    ("threat", Role::Tags),
    ("malware", Role::Tags),
    ("date", Role::From),
    ("first_seen", Role::From),
    ("first_seen_utc", Role::From),
    ("dateadded", Role::From),
    ("date_added", Role::From),
    ("valid_from", Role::From),
    ("valid_until", Role::Until),
    ("expires", Role::Until),
    ("confidence", Role::Confidence),
    ("confidence_level", Role::Confidence),
    ("reference", Role::Other),
    ("references", Role::Other),
    ("source", Role::Other),
    ("asn_name", Role::Other),
    ("url_status", Role::Other),
];

/// Which column holds what, from 0.
#[derive(Clone, Debug, Default)]
pub(super) struct Layout {
    /// Whether the first row is a header, and its cells.
    pub header: Option<Vec<String>>,
    /// Columns of values, with their type if the column has one.
    pub values: Vec<(usize, Option<Named>)>,
    /// A column of package names.
    pub package: Option<usize>,
    pub versions: Option<usize>,
    pub types: Option<usize>,
    pub comments: Vec<usize>,
    pub tags: Option<usize>,
    pub from: Option<usize>,
    pub until: Option<usize>,
    pub confidence: Option<usize>,
    /// What each column holds of handling.
    pub handling: Vec<Holds>,
}

/// What a column holds of how to handle its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    /// Labels, by its name or its cells.
    Labels(words::Field),
    /// Tags, of which some may be labels.
    Tags,
    /// A distribution of MISP, by number.
    Distribution,
    Other,
}

impl Layout {
    /// The layout of a sample of rows; `None` if no column holds values.
    pub(super) fn find(sample: &[Vec<String>]) -> Option<Self> {
        let first = sample.first()?;
        let by_header = Self::by_header(first);
        let mut layout = match by_header {
            Some(layout) if layout.has_values() => layout,
            partial => Self::by_content(sample, partial)?,
        };
        layout.handling = layout.holds(sample);
        layout.has_values().then_some(layout)
    }

    /// What each column holds of handling: by its header, else by its cells.
    fn holds(&self, sample: &[Vec<String>]) -> Vec<Holds> {
        let width = sample.iter().map(Vec::len).max().unwrap_or(0);
        let body = &sample[usize::from(self.header.is_some()).min(sample.len())..];
        let name =
            |at: usize| self.header.as_ref().and_then(|header| header.get(at)).map_or("", String::as_str);
        let cells =
            |at: usize| body.iter().filter_map(move |row| row.get(at)).filter(|cell| !cell.is_empty());
        let all = |at: usize, test: fn(&str) -> bool| {
            cells(at).next().is_some() && cells(at).all(|cell| test(cell))
        };
        let is_number = |cell: &str| matches!(cell.trim(), "0" | "1" | "2" | "3" | "4" | "5");
        let of_column = |at: usize| {
            let last = words::key(name(at)).rsplit(' ').next().unwrap_or_default().to_owned();
            match words::field(name(at)) {
                _ if last == "distribution" && all(at, is_number) => Holds::Distribution,
                words::Field::Other
                    if self.tags == Some(at) || matches!(&*last, "tag" | "tags" | "labels" | "label") =>
                {
                    Holds::Tags
                }
                words::Field::Other if all(at, words::is_colour) => Holds::Labels(words::Field::Labels),
                words::Field::Other => Holds::Other,
                field => Holds::Labels(field),
            }
        };
        (0..width).map(of_column).collect()
    }

    fn has_values(&self) -> bool {
        !self.values.is_empty() || self.package.is_some()
    }

    /// By the words of a header; `None` if the row is none.
    fn by_header(row: &[String]) -> Option<Self> {
        let roles: Vec<Option<Role>> = row.iter().map(|cell| role(cell)).collect();
        let named: Vec<Option<Named>> = row
            .iter()
            .zip(&roles)
            .map(|(cell, role)| role.is_none().then(|| column_type(cell)).flatten())
            .collect();
        let known = roles.iter().flatten().count() + named.iter().flatten().count();
        if known == 0 || row.iter().any(|cell| detect(cell).is_ok()) {
            return None;
        }
        let find = |wanted: Role| roles.iter().position(|role| *role == Some(wanted));
        let types = find(Role::Type);
        let generic = find(Role::Value).or(types.and(find(Role::Name)));
        let mut values: Vec<(usize, Option<Named>)> = generic.map(|at| (at, None)).into_iter().collect();
        let typed = named.iter().enumerate().filter_map(|(at, named)| Some((at, Some((*named)?))));
        // Beside a column of values, an address or a URL is where it was seen; only hashes are more of the same.
        values.extend(typed.filter(|(_, named)| generic.is_none() || named.is_some_and(is_hash)));
        let is_asn = |named: &Option<Named>| *named == Some(Named::Own("asn"));
        if values.iter().any(|(_, named)| !is_asn(named)) {
            values.retain(|(_, named)| !is_asn(named));
        }
        // Several columns may say "type": the last before the value is the finest.
        let types = types.map(|first| {
            (first..row.len())
                .rfind(|at| {
                    roles[*at] == Some(Role::Type) && generic.is_none_or(|value| *at < value || *at == first)
                })
                .unwrap_or(first)
        });
        Some(Self {
            header: Some(row.to_vec()),
            values,
            package: find(Role::Package),
            versions: find(Role::Versions),
            types,
            comments: (0..row.len()).filter(|at| roles[*at] == Some(Role::Comment)).collect(),
            tags: find(Role::Tags),
            from: find(Role::From),
            until: find(Role::Until),
            confidence: find(Role::Confidence),
            handling: Vec::new(),
        })
    }

    /// By what stands in the cells, where the header says nothing of values or there is none.
    fn by_content(sample: &[Vec<String>], partial: Option<Self>) -> Option<Self> {
        let width = sample.iter().map(Vec::len).max()?;
        let body = if sample.len() > 1 { &sample[1..] } else { sample };
        let share = |at: usize, test: &dyn Fn(&str) -> bool| {
            let cells: Vec<&String> =
                body.iter().filter_map(|row| row.get(at)).filter(|cell| !cell.is_empty()).collect();
            let hits = cells.iter().filter(|cell| test(cell)).count();
            (hits * 100).checked_div(cells.len()).unwrap_or(0)
        };
        let is_type = |cell: &str| cell.len() < 30 && !cell.contains('.') && type_named(cell).is_some();
        let is_value = |cell: &str| detect(cell).is_ok();
        let is_date = |cell: &str| cell.len() >= 10 && crate::when::millis(cell).is_some();
        let columns: Vec<usize> = (0..width).collect();
        let first = |percent: usize, test: &dyn Fn(&str) -> bool, from: usize| {
            columns.iter().copied().find(|at| *at >= from && share(*at, test) >= percent)
        };
        let types = first(TYPES_PERCENT, &is_type, 0);
        let value = types
            .and_then(|types| first(VALUES_PERCENT, &is_value, types + 1))
            .or_else(|| first(VALUES_PERCENT, &is_value, 0))?;
        let headed =
            partial.is_some() || sample.len() > 1 && sample[0].get(value).is_some_and(|cell| !is_value(cell));
        let base = partial.unwrap_or_default();
        Some(Self {
            header: headed.then(|| sample[0].clone()),
            values: vec![(value, None)],
            types: base.types.or(types.filter(|types| *types < value)),
            tags: base.tags.or(first(50, &|cell| cell.starts_with('#'), 0)),
            from: base.from.or(first(TYPES_PERCENT, &is_date, 0)),
            comments: if headed && base.comments.is_empty() && width == 2 {
                vec![1 - value.min(1)]
            } else {
                base.comments
            },
            ..base
        })
    }

    /// What the profile says stands above what was found.
    pub(super) fn directed(mut self, columns: &Columns, width: usize) -> Result<Self, ImportError> {
        let header = self.header.clone().unwrap_or_default();
        let place = |name: &Option<String>| match name {
            None => Ok(None),
            Some(name) => header
                .iter()
                .position(|cell| cell.trim().eq_ignore_ascii_case(name.trim()))
                .or_else(|| name.trim().parse::<usize>().ok()?.checked_sub(1).filter(|at| *at < width))
                .map(Some)
                .ok_or_else(|| ImportError::Column(name.clone())),
        };
        if let Some(at) = place(&columns.value)? {
            self.values = vec![(at, header.get(at).and_then(|cell| column_type(cell)))];
            self.package = None;
        }
        self.types = place(&columns.value_type)?.or(self.types);
        self.tags = place(&columns.tags)?.or(self.tags);
        self.from = place(&columns.valid_from)?.or(self.from);
        self.confidence = place(&columns.confidence)?.or(self.confidence);
        if let Some(at) = place(&columns.comment)? {
            self.comments = vec![at];
        }
        Ok(self)
    }
}

fn role(cell: &str) -> Option<Role> {
    let name: String =
        cell.trim().chars().map(|c| if c.is_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).collect();
    WORDS.iter().find(|(word, _)| *word == name).map(|(_, role)| *role)
}

/// The type of a column's values by its header: the whole of it, or its last word (`file_sha256`).
fn column_type(cell: &str) -> Option<Named> {
    let last = cell.trim().rsplit(|c: char| !c.is_alphanumeric()).find(|word| !word.is_empty());
    // Long headers are sentences.
    let short = cell.split_whitespace().count() <= 3;
    let whole = type_named(cell).filter(|_| short)?;
    let by_last = last.and_then(type_named);
    (by_last.is_some() || matches!(last, Some("address" | "name" | "Address" | "Name"))).then_some(whole)
}

fn is_hash(named: Named) -> bool {
    match named {
        Named::Hash => true,
        Named::Misp(name) | Named::Own(name) => {
            name.starts_with("sha") || name == "md5" || name.starts_with("cert-") || name.starts_with("x509-")
        }
        Named::Package(_) => false,
    }
}
