//! Where facts become what rules read: one line an attribute, here and in the schema.
//!
//! The same visit fills the cache key and the request, so that a cached answer can depend on nothing
//! that is not in its key. Only attributes that the policy mentions are visited ([`Sink::wants`]).

use crate::facts::{Consumer, Cover, HeaderFacts, Home, Org, Origin, Person, RecordFacts};
use tocsin_record::body;
use tocsin_record::marking::{Code, Countries, CountryCode, Flags, Tlp};

/// A day, in which rules count ages and expiries, in ms.
const DAY_MS: u64 = 86_400_000;
/// Ages and expiries beyond ten years are one value.
const MAX_DAYS: i64 = 3_650;
/// Retention beyond a hundred years is one value.
const MAX_RETAIN_DAYS: i64 = 36_500;
/// What rules see of the number of indicators at most; no body has as many.
const MAX_INDICATORS: u32 = 1_000_000;
/// What an unmarked record of the own circle counts as: for the own organisation only.
const UNMARKED: Tlp = Tlp::AmberStrict;

macro_rules! attributes {
    ($($name:ident = $text:literal,)*) => {
        /// An attribute that a rule can name. One name may stand in several entities.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Attr { $($name,)* }

        impl Attr {
            pub(crate) const ALL: &[Attr] = &[$(Attr::$name,)*];

            pub(crate) fn name(self) -> &'static str {
                match self { $(Attr::$name => $text,)* }
            }
        }
    };
}

attributes! {
    Action = "action",
    AgeDays = "age_days",
    Author = "author",
    Ceiling = "ceiling",
    Circle = "circle",
    CircleKind = "circle_kind",
    ConfidenceMax = "confidence_max",
    ConfidenceMin = "confidence_min",
    CountriesExcept = "countries_except",
    CountriesOnly = "countries_only",
    Country = "country",
    Exercise = "exercise",
    ExpiresInDays = "expires_in_days",
    Format = "format",
    Indicators = "indicators",
    Kind = "kind",
    LegalBasis = "legal_basis",
    Name = "name",
    Origin = "origin",
    Own = "own",
    Pap = "pap",
    Personal = "personal",
    PoliceHandling = "police_handling",
    PoliceInformation = "police_information",
    PoliceSource = "police_source",
    Purpose = "purpose",
    Purposes = "purposes",
    References = "references",
    Regimes = "regimes",
    RetainDays = "retain_days",
    Roles = "roles",
    Source = "source",
    Tlp = "tlp",
    Trust = "trust",
    Types = "types",
}

impl Attr {
    /// Its place in a mask.
    pub(crate) fn bit(self) -> u64 {
        1 << self as u32
    }
}

/// What takes the attributes of one entity.
pub(crate) trait Sink {
    /// Whether the attribute is to be given at all.
    fn wants(&self, attr: Attr) -> bool;
    fn long(&mut self, attr: Attr, value: i64);
    fn boolean(&mut self, attr: Attr, value: bool);
    fn text(&mut self, attr: Attr, value: &str);
    /// A member of the closed set `set` of the schema.
    fn member(&mut self, attr: Attr, set: &'static str, value: &str);
    fn texts<'t>(&mut self, attr: Attr, values: impl Iterator<Item = &'t str>);
}

pub(crate) fn visit_org(org: &Org, home: &Home, sink: &mut impl Sink) {
    sink.text(Attr::Name, org.name);
    sink.member(Attr::Kind, "OrgKind", org.kind);
    sink.text(Attr::Country, country_text(&org.country));
    sink.texts(Attr::Regimes, org.regimes.iter().map(String::as_str));
    sink.texts(Attr::Roles, org.roles.iter().map(String::as_str));
    if let Some(trust) = org.trust {
        sink.long(Attr::Trust, i64::from(trust.min(100) / 5 * 5));
    }
    sink.boolean(Attr::Own, org.id == home.org);
}

/// The attributes of a header alone, as `fetch` sees it. The author is linked by the caller.
pub(crate) fn visit_header(header: &HeaderFacts, sink: &mut impl Sink) {
    visit_address(header, sink);
    if header.cover == Cover::Unsealed {
        sink.member(Attr::Kind, "RecordKind", body::name_of(header.kind));
        visit_labels(header.tlp, header.flags, sink);
    }
}

pub(crate) fn visit_record(record: &RecordFacts, sink: &mut impl Sink) {
    visit_address(&record.header, sink);
    sink.member(Attr::Kind, "RecordKind", body::name_of(record.header.kind));
    visit_labels(Some(record.tlp().unwrap_or(UNMARKED)), record.flags(), sink);
    let Some(body) = &record.body else { return };
    match body.origin {
        Origin::Own => sink.member(Attr::Origin, "Origin", "own"),
        Origin::Derived { source } => {
            sink.member(Attr::Origin, "Origin", "derived");
            sink.text(Attr::Source, source);
        }
    }
    if let Some((least, greatest)) = body.confidence {
        sink.long(Attr::ConfidenceMin, i64::from(least.min(100)));
        sink.long(Attr::ConfidenceMax, i64::from(greatest.min(100)));
    }
    sink.long(Attr::Indicators, i64::from(body.indicators.min(MAX_INDICATORS)));
    sink.texts(Attr::Types, body.types.iter().copied());
    visit_marking(record, sink);
}

fn visit_address(header: &HeaderFacts, sink: &mut impl Sink) {
    sink.text(Attr::Circle, header.circle.name);
    sink.member(Attr::CircleKind, "CircleKind", header.circle.kind.name());
    sink.long(Attr::AgeDays, days_between(header.time_ms, header.now_ms, MAX_DAYS));
    if header.expires_ms != 0 {
        sink.long(Attr::ExpiresInDays, days_between(header.now_ms, header.expires_ms, MAX_DAYS));
    }
}

fn visit_labels(tlp: Option<Tlp>, flags: Flags, sink: &mut impl Sink) {
    if let Some(tlp) = tlp {
        sink.long(Attr::Tlp, i64::from(tlp.code()));
    }
    sink.long(Attr::Pap, flags.pap.map_or(0, |pap| i64::from(pap.code())));
    sink.long(Attr::Personal, i64::from(flags.personal.code()));
    sink.boolean(Attr::Exercise, flags.exercise);
}

fn visit_marking(record: &RecordFacts, sink: &mut impl Sink) {
    let Some(marking) = record.marking() else { return };
    sink.texts(Attr::Purposes, marking.purposes.iter().filter_map(Code::purpose_name));
    if let Some(basis) = &marking.legal_basis {
        sink.text(Attr::LegalBasis, basis);
    }
    if let Some(until_ms) = marking.retain_until {
        sink.long(Attr::RetainDays, days_between(record.header.now_ms, until_ms, MAX_RETAIN_DAYS));
    }
    match &marking.countries {
        Countries::Any => {}
        Countries::Only(list) => countries(Attr::CountriesOnly, list, sink),
        Countries::Except(list) => countries(Attr::CountriesExcept, list, sink),
    }
    if let Some(police) = &marking.police {
        if let Some((source, information)) = police.evaluation {
            sink.text(Attr::PoliceSource, source.letter());
            sink.long(Attr::PoliceInformation, i64::from(information.number()));
        }
        sink.texts(Attr::PoliceHandling, police.handling.names());
    }
    let systems = marking.references.iter().filter_map(|reference| reference.system.system_name());
    sink.texts(Attr::References, systems);
}

pub(crate) fn visit_person(person: &Person, sink: &mut impl Sink) {
    sink.text(Attr::Name, person.name);
    sink.texts(Attr::Roles, person.roles.iter().map(String::as_str));
    sink.texts(Attr::Purposes, person.purposes.iter().map(String::as_str));
}

pub(crate) fn visit_question(person: &Person, sink: &mut impl Sink) {
    if let Some(purpose) = person.purpose {
        sink.text(Attr::Purpose, purpose);
    }
}

pub(crate) fn visit_consumer(consumer: &Consumer, sink: &mut impl Sink) {
    sink.text(Attr::Name, consumer.name);
    sink.text(Attr::Format, consumer.format);
    sink.long(Attr::Ceiling, i64::from(consumer.ceiling.code()));
    sink.long(Attr::Action, i64::from(consumer.action.code()));
}

/// A country that is no text matches no rule.
fn country_text(letters: &[u8; 2]) -> &str {
    std::str::from_utf8(letters).unwrap_or("")
}

fn countries(attr: Attr, list: &[CountryCode], sink: &mut impl Sink) {
    if sink.wants(attr) {
        let letters: Vec<[u8; 2]> = list.iter().map(|country| country.letters()).collect();
        sink.texts(attr, letters.iter().map(country_text));
    }
}

/// Whole days from one time to a later one, 0 if it is not later.
fn days_between(from_ms: u64, to_ms: u64, most: i64) -> i64 {
    i64::try_from(to_ms.saturating_sub(from_ms) / DAY_MS).unwrap_or(most).min(most)
}
