//! How broad an observable is: what would hit half the Internet is kept, but never matched or exported.

use psl::Type as Section;

use super::{ObservableRef, Visit, kind};

/// Shortest prefix of an IPv4 network that is matched: no registry gives more than a /8 to one holder.
const WIDEST_V4: u8 = 8;
/// Shortest prefix of an IPv6 network that is matched: shorter ones are whole registries, and a hit
/// in one says nothing.
const WIDEST_V6: u8 = 16;

/// Most parent domains of one name: those nearest to the registrable domain, under which feeds list.
pub(super) const MAX_PARENT_NAMES: usize = 16;

/// Whether an observable may be matched and exported, and if not, why. Whatever it says, the
/// observable stays in its record and the record is judged as usual.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Breadth {
    /// May be matched.
    Fine,
    /// A network wider than /8 (IPv4) or /16 (IPv6).
    TooWide,
    /// A public suffix of the ICANN section of the Public Suffix List, such as `co.uk`. Those of its private
    /// section, such as `github.io`, are one company's and are fine, but never match as a parent.
    PublicSuffix,
    /// A name without a dot, such as `localhost`.
    SingleLabel,
}

pub(super) fn fine(_: &[u8]) -> Breadth {
    Breadth::Fine
}

pub(super) fn of_v4_net(value: &[u8]) -> Breadth {
    if value.last().is_some_and(|prefix| *prefix < WIDEST_V4) { Breadth::TooWide } else { Breadth::Fine }
}

pub(super) fn of_v6_net(value: &[u8]) -> Breadth {
    if value.last().is_some_and(|prefix| *prefix < WIDEST_V6) { Breadth::TooWide } else { Breadth::Fine }
}

pub(super) fn of_domain(name: &[u8]) -> Breadth {
    // Nearly all names stop here: public suffixes of the ICANN section have at most four labels.
    match name.iter().filter(|b| **b == b'.').count() {
        0 => Breadth::SingleLabel,
        1..=3 if is_icann_suffix(name) => Breadth::PublicSuffix,
        _ => Breadth::Fine,
    }
}

fn is_icann_suffix(name: &[u8]) -> bool {
    psl::suffix(name)
        .is_some_and(|suffix| suffix.as_bytes().len() == name.len() && suffix.typ() == Some(Section::Icann))
}

/// Whether a name ends in a suffix that the Public Suffix List knows.
pub(super) fn has_known_suffix(name: &str) -> bool {
    psl::suffix(name.as_bytes()).is_some_and(|suffix| suffix.is_known())
}

pub(super) fn no_parents(_: &[u8], _: &mut Visit<'_>) {}

/// The domains above a name down to the registrable one, nearest first.
pub(super) fn parent_names(name: &[u8], visit: &mut Visit<'_>) {
    let Some(registrable) = psl::domain(name) else {
        return;
    };
    let last = name.len() - registrable.as_bytes().len();
    let starts = (1..=last).filter(|at| name[at - 1] == b'.');
    let excess = starts.clone().count().saturating_sub(MAX_PARENT_NAMES);
    for at in starts.skip(excess) {
        visit(ObservableRef { kind: kind::DOMAIN, value: &name[at..] });
    }
}

/// The domain of an e-mail address and the parents of that.
pub(super) fn parents_of_email(value: &[u8], visit: &mut Visit<'_>) {
    let Some(at) = value.iter().rposition(|b| *b == b'@') else {
        return;
    };
    let domain = &value[at + 1..];
    visit(ObservableRef { kind: kind::DOMAIN, value: domain });
    parent_names(domain, visit);
}
