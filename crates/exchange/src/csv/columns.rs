//! Which column of a CSV holds what: by the profile, else by the header's words, else by what stands in the cells.

use tocsin_record::marking::words;
use tocsin_record::observable::{Type, detect, detect_all};

use super::roles::{Role, role};
use crate::ImportError;
use crate::profile::Columns;
use crate::types::{Named, Said, normal, said, type_named};

/// Share of a column's cells, in percent, that must be values for the column to be taken as the values'.
const VALUES_PERCENT: usize = 60;
/// Share of a column's cells, in percent, that must name types for the column to be taken as the types'.
const TYPES_PERCENT: usize = 80;

/// Which column holds what, from 0.
#[derive(Clone, Debug, Default)]
pub(super) struct Layout {
    /// How many columns its header's words are known of.
    pub known: usize,
    /// The names of the columns, if there are any.
    pub header: Option<Vec<String>>,
    /// Whether they stand in a comment before the first row, which then is none of them.
    pub commented: bool,
    /// Whether they stand there as Zeek writes them, who escapes what is in cells.
    pub zeek: bool,
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
    pub class: Vec<usize>,
    /// Columns that say whether a value is bad, and those that say whether it is good.
    pub bad: Vec<usize>,
    pub good: Vec<usize>,
    /// Columns that say whether its source took a value back.
    pub gone: Vec<usize>,
    pub to_ids: Option<usize>,
    pub network: Option<Network>,
    /// What each column holds of handling.
    pub handling: Vec<Holds>,
}

/// Columns that are a network together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Network {
    pub start: usize,
    pub end: Option<usize>,
    pub prefix: Option<usize>,
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
    /// The layout of a sample of rows, and of the cells of the last comment before them; `None` if no column holds values.
    pub(super) fn find(sample: &[Vec<String>], comment: Option<&[String]>) -> Option<Self> {
        let first = sample.first()?;
        let of_comment = comment.filter(|cells| cells.len() == first.len());
        let commented = of_comment.and_then(|cells| Self::believed(cells, sample));
        if let Some(layout) = commented.filter(|layout| layout.has_values() && layout.known > 1) {
            let layout = Self { commented: true, ..layout };
            return Some(Self { handling: layout.holds(sample), ..layout });
        }
        let by_header = Self::believed(first, sample.get(1..).unwrap_or_default());
        let mut layout = match by_header {
            Some(layout) if layout.has_values() => layout.with_finer_types(sample),
            partial => Self::by_content(sample, partial)?,
        };
        layout.handling = layout.holds(sample);
        layout.has_values().then_some(layout)
    }

    /// What each column holds of handling: by its header, else by its cells.
    fn holds(&self, sample: &[Vec<String>]) -> Vec<Holds> {
        let width = sample.iter().map(Vec::len).max().unwrap_or(0);
        let is_headed = self.header.is_some() && !self.commented;
        let body = &sample[usize::from(is_headed).min(sample.len())..];
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

    /// A finer type beside a coarser (`subtype`) may be of what the value was seen as, not of the value.
    fn with_finer_types(mut self, sample: &[Vec<String>]) -> Self {
        let name =
            |at: usize| self.header.as_ref().and_then(|header| header.get(at)).map(|cell| normal(cell));
        let Some(at) = self.types.filter(|at| name(*at).as_deref() == Some("subtype")) else { return self };
        let cells = || sample.iter().skip(1).filter_map(|row| row.get(at)).filter(|cell| !cell.is_empty());
        let types = cells().filter(|cell| matches!(said(cell), Said::Type(_))).count();
        if types * 2 < cells().count() {
            self.types = None;
            self.comments.push(at);
        }
        self
    }

    fn has_values(&self) -> bool {
        !self.values.is_empty() || self.package.is_some() || self.network.is_some()
    }

    /// By the words of a header, which are believed of a column of values (`ioc`) unless no cell of it is one, and those of another
    /// column, whose name is a type, all are.
    fn believed(row: &[String], body: &[Vec<String>]) -> Option<Self> {
        let layout = Self::by_header(row, true)?;
        let cells =
            |at: usize| body.iter().filter_map(move |row| row.get(at)).filter(|cell| !cell.is_empty());
        let generic = layout.values.iter().find(|(_, named)| named.is_none()).map(|(at, _)| *at);
        let Some(generic) = generic.filter(|at| cells(*at).all(|cell| detect_all(cell).is_err())) else {
            return Some(layout);
        };
        let typed = Self::by_header(row, false);
        let holds = |layout: &Self| {
            let columns = layout.values.iter().filter_map(|(at, named)| Some((*at, (*named)?)));
            let mut read = columns.map(|(at, named)| cells(at).all(|cell| named.read(cell).is_ok()));
            cells(generic).next().is_some() && read.next() == Some(true) && read.all(|is_read| is_read)
        };
        typed.filter(holds).or(Some(layout))
    }

    /// By the words of a header; `None` if the row is none. A column that is only called one of values is one if that is
    /// believed.
    fn by_header(row: &[String], is_value: bool) -> Option<Self> {
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
        let all = |wanted: Role| (0..row.len()).filter(|at| roles[*at] == Some(wanted)).collect::<Vec<_>>();
        // A start alone may be a time.
        let (end, prefix) = (find(Role::End), find(Role::Prefix));
        let start = find(Role::Start).or_else(|| prefix.and_then(|_| named.iter().position(is_address)));
        let network = start.filter(|_| end.or(prefix).is_some()).map(|start| Network { start, end, prefix });
        let types = find(Role::Type);
        let generic = find(Role::Value).filter(|_| is_value).or(types.and(find(Role::Name)));
        let mut values: Vec<(usize, Option<Named>)> = generic.map(|at| (at, None)).into_iter().collect();
        let typed = named.iter().enumerate().filter_map(|(at, named)| Some((at, Some((*named)?))));
        // Beside a column of values, an address or a URL is where it was seen; only hashes are more of the same.
        values.extend(typed.filter(|(_, named)| generic.is_none() || named.is_some_and(is_hash)));
        let is_asn = |named: &Option<Named>| *named == Some(Named::Own("asn"));
        if values.iter().any(|(_, named)| !is_asn(named)) {
            values.retain(|(_, named)| !is_asn(named));
        }
        if network.is_some() {
            // What stands beside a network is about it, such as where to complain.
            values.clear();
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
            known,
            commented: false,
            zeek: false,
            header: Some(row.to_vec()),
            network,
            class: all(Role::Class),
            bad: all(Role::Bad),
            good: all(Role::Good),
            gone: all(Role::Gone),
            to_ids: find(Role::ToIds),
            values,
            package: find(Role::Package),
            versions: find(Role::Versions),
            types,
            comments: all(Role::Comment),
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
        let is_type =
            |cell: &str| cell.len() < 30 && !cell.contains('.') && matches!(said(cell), Said::Type(_));
        let is_value = |cell: &str| detect_all(cell).is_ok();
        let is_date = |cell: &str| cell.len() >= 10 && crate::when::millis(cell).is_some();
        // A header that names a column something else than values is believed.
        let named = |at: usize| {
            partial.as_ref().and_then(|layout| layout.header.as_ref()?.get(at).map(|cell| role(cell)))
        };
        let columns: Vec<usize> =
            (0..width).filter(|at| named(*at).flatten().is_none_or(|role| role == Role::Name)).collect();
        let first = |percent: usize, test: &dyn Fn(&str) -> bool, from: usize| {
            columns.iter().copied().find(|at| *at >= from && share(*at, test) >= percent)
        };
        let types = first(TYPES_PERCENT, &is_type, 0);
        let value = types
            .and_then(|types| first(VALUES_PERCENT, &is_value, types + 1))
            .or_else(|| first(VALUES_PERCENT, &is_value, 0))?;
        let headed =
            partial.is_some() || sample.len() > 1 && sample[0].get(value).is_some_and(|cell| !is_value(cell));
        let mut values = vec![(value, None)];
        if !headed && types.is_none_or(|types| types > value) {
            // Nothing tells one column of values from the next, but what looks like where it was read.
            let others =
                columns.iter().copied().filter(|at| *at > value && share(*at, &is_value) >= VALUES_PERCENT);
            values.extend(others.filter(|at| !is_of_one_site(sample, *at)).map(|at| (at, None)));
        }
        let base = partial.clone().unwrap_or_default();
        Some(Self {
            header: headed.then(|| sample[0].clone()),
            values,
            types: base.types.or(types.filter(|types| *types < value)),
            tags: base.tags.or(first(50, &|cell| cell.starts_with('#'), 0)),
            from: base.from.or(first(TYPES_PERCENT, &is_date, 0)),
            comments: if headed
                && base.comments.is_empty()
                && width == 2
                && named(1 - value.min(1)).flatten().is_none()
            {
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

/// Whether all cells of a column are URLs of one host, as references to the source's own pages are.
fn is_of_one_site(rows: &[Vec<String>], at: usize) -> bool {
    let cells = || rows.iter().filter_map(|row| row.get(at)).filter(|cell| !cell.is_empty());
    let host = |cell: &str| Some(cell.split_once("://")?.1.split(['/', '?']).next()?.to_ascii_lowercase());
    let first = cells().next().and_then(|cell| host(cell));
    first.is_some() && cells().count() > 1 && cells().all(|cell| host(cell) == first)
}

fn is_address(named: &Option<Named>) -> bool {
    *named == Some(Named::Misp("ip-dst"))
}

/// The type of a column's values by its header: the whole of it, or its last word (`file_sha256`).
fn column_type(cell: &str) -> Option<Named> {
    // Long headers are sentences.
    let short = cell.split_whitespace().count() <= 3;
    type_named(cell).filter(|_| short)
}

fn is_hash(named: Named) -> bool {
    match named {
        Named::Hash | Named::Certificate => true,
        Named::Misp(name) => Type::by_misp(name).any(Type::is_hash),
        Named::Own(name) => Type::by_name(name).is_some_and(Type::is_hash),
        Named::Package(_) | Named::File => false,
    }
}
