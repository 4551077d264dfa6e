//! The marking of what is imported: what the object says, else its file, else the source's profile, else the
//! operator's flag. What has none stays local.

use tocsin_record::body::report::Indicator;
use tocsin_record::marking::words::{self, Handling};
use tocsin_record::marking::{Code, Marking, Pap, Personal, Tlp};
use tocsin_record::planted;

use crate::fault::Fault;
use crate::{FileInfo, Found, Profile};

/// What is said of a label that nobody here understands.
const UNCLEAR: &str = "a handling label that is not understood: what carries it stays in this org's own circle, whatever --tlp says; \
     --override-marking 'LABEL=tlp:X' (or [override-marking] of the source's profile) says what it means";
/// What is said where a text names a stricter label than its object carries.
const NAMED: &str = "its text names a label: it is handled no looser than that says";

/// What an object or a file says about its handling.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct PartialMarking {
    /// The TLP of all of it; `None` if some of it carries none.
    pub tlp: Option<Tlp>,
    /// The strictest TLP that any part of it carries: nothing may make it looser.
    pub floor: Option<Tlp>,
    /// The strictest PAP that any part of it carries.
    pub pap: Option<Pap>,
}

/// What an operator says about handling, where the data does not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// How far it may be disclosed.
    pub tlp: Option<Tlp>,
    /// What a recipient may do with it.
    pub pap: Option<Pap>,
    /// What it may be used for.
    pub purposes: Vec<Code>,
    /// For how long it may be kept, in ms from now.
    pub retention_ms: Option<u64>,
    /// The law it is shared under.
    pub legal_basis: Option<String>,
}

impl PartialMarking {
    /// A marking that states this TLP of all of it.
    #[must_use]
    pub fn stated(tlp: Tlp) -> Self {
        Self { tlp: Some(tlp), floor: Some(tlp), pap: None }
    }

    /// Takes a label into account that stands beside those already seen on the same object.
    pub(crate) fn add(&mut self, tlp: Option<Tlp>, pap: Option<Pap>) {
        self.tlp = self.tlp.max(tlp);
        self.floor = self.floor.max(tlp);
        self.pap = self.pap.max(pap);
    }

    /// Takes what a text says, which may have several names. A label that is not understood means what the operator says of it,
    /// by any of these names; where nobody says, its object does not leave the own circle, and it is `Err` with its name.
    pub(crate) fn bind<'n>(
        &mut self,
        said: Handling,
        names: &[&'n str],
        profile: &Profile,
    ) -> Result<(), &'n str> {
        self.add(said.tlp, said.pap);
        self.floor = self.floor.max(said.floor);
        if !said.unclear {
            return Ok(());
        }
        let meant = names.iter().find_map(|name| profile.meaning(name));
        // Within this org only: nothing stricter is needed, and its own people still find it.
        let kept = Some(Tlp::AmberStrict).max(self.floor);
        self.add(meant.or(kept), None);
        match meant {
            Some(_) => Ok(()),
            None => Err(names.first().copied().unwrap_or_default()),
        }
    }

    /// As [`Self::bind`], of what stands on an object or a line, and tells what is not understood.
    pub(crate) fn take(
        &mut self,
        said: Handling,
        label: &str,
        at: (Option<u64>, &str),
        file: &FileInfo<'_>,
        found: &mut Found,
    ) {
        if let Err(label) = self.bind(said, &[label], file.profile) {
            unclear(label, at, found);
        }
    }

    /// Takes what a running text names, and tells where that is stricter than what its object says.
    pub(crate) fn take_text(
        &mut self,
        text: &str,
        at: (Option<u64>, &str),
        file: &FileInfo<'_>,
        found: &mut Found,
    ) {
        let before = self.strictest();
        let mut named = None;
        words::mentions(text, |said, label| {
            self.take(said, label, at, file, found);
            named = named.max(said.floor);
        });
        if named > before {
            found.note(at.0, at.1, Fault::of(named.map_or("", Tlp::label), NAMED));
        }
    }

    /// As [`Self::take_text`], of an object as it is kept: no looser than what the kept object names in any way.
    pub(crate) fn take_raw(
        &mut self,
        raw: &str,
        at: (Option<u64>, &str),
        file: &FileInfo<'_>,
        found: &mut Found,
    ) {
        let before = self.strictest();
        words::mentions(raw, |said, label| self.take(said, label, at, file, found));
        let named = words::strictest_in(raw.as_bytes());
        self.floor = self.floor.max(named);
        if named > before {
            found.note(at.0, at.1, Fault::of(named.map_or("", Tlp::label), NAMED));
        }
    }

    /// The strictest that it says of anything in it.
    pub(crate) fn strictest(&self) -> Option<Tlp> {
        self.tlp.max(self.floor)
    }

    /// Whether what carries this may stand in a group of that marking.
    pub(crate) fn fits(&self, group: &Self) -> bool {
        self.strictest() <= group.strictest() && self.pap <= group.pap
    }

    /// The name of a group of what is marked so, empty for what carries no marking.
    pub(crate) fn name(&self) -> String {
        let tlp = self.tlp.map(|tlp| tlp.misp_tag().to_owned());
        let floor =
            self.floor.filter(|_| self.floor > self.tlp).map(|tlp| format!("{AT_LEAST}{}", tlp.misp_tag()));
        let pap = self.pap.map(|pap| pap.label().to_ascii_lowercase());
        tlp.into_iter().chain(floor).chain(pap).collect::<Vec<_>>().join(",")
    }

    /// The marking of a whole that has these parts: the strictest if every part is marked, else none, but with
    /// the strictest as its floor.
    #[must_use]
    pub(crate) fn of_parts(parts: impl IntoIterator<Item = Self>) -> Self {
        parts
            .into_iter()
            .reduce(|a, b| Self {
                tlp: a.tlp.zip(b.tlp).map(|(a, b)| a.max(b)),
                floor: a.floor.max(b.floor),
                pap: a.pap.max(b.pap),
            })
            .unwrap_or_default()
    }

    /// The same, bound by what some part of it carries.
    #[must_use]
    pub(crate) fn raised_to(self, part: Self) -> Self {
        let floor = self.floor.max(part.floor).max(part.tlp);
        Self {
            tlp: self.tlp.map(|tlp| Some(tlp).max(floor).unwrap_or(tlp)),
            floor,
            pap: self.pap.max(part.pap),
        }
    }
}

/// What a group is called whose parts carry no marking that is understood whole, but must not be read by more than that.
const AT_LEAST: &str = "at-least-";

/// The floor of a report whose parts carry no marking, by the group that its source's id ends with.
#[must_use]
pub fn floor_of(origin_id: &str) -> Option<Tlp> {
    let (_, group) = origin_id.rsplit_once('/')?;
    let group = group.split('#').next().unwrap_or_default();
    let named = group.split(',').find_map(|word| word.strip_prefix(AT_LEAST))?;
    Tlp::ALL.into_iter().find(|tlp| tlp.misp_tag() == named)
}

/// The names of all groups that a list can have: of each marking that its values may carry.
pub fn group_names() -> impl Iterator<Item = String> {
    let tlps = || std::iter::once(None).chain(Tlp::ALL.map(Some));
    let paps = || std::iter::once(None).chain(Pap::ALL.map(Some));
    tlps().flat_map(move |tlp| {
        let floors = tlps().filter(move |floor| *floor >= tlp);
        floors.flat_map(move |floor| paps().map(move |pap| PartialMarking { tlp, floor, pap }.name()))
    })
}

/// Whether a tag is a handling label that is understood: it became a marking, and is no label any more.
pub(crate) fn is_understood(tag: &str) -> bool {
    words::label(tag).is_some_and(|said| !said.unclear)
}

/// Tells of a label that is not understood.
pub(crate) fn unclear(label: &str, at: (Option<u64>, &str), found: &mut Found) {
    // Once for each object, though it stands in its tags and in their text.
    let known = found.noted.last().is_some_and(|last| {
        (last.line, last.path.as_str()) == at && words::key(&last.value) == words::key(label)
    });
    if known {
        return;
    }
    found.counts.unknown_markings += 1;
    found.note(at.0, at.1, Fault::of(label, UNCLEAR));
}

/// What the comments of a file say, line by line: before its first value and after its last, of all of it; between
/// values, of those that follow.
#[derive(Debug, Default)]
pub(crate) struct Sections {
    any: bool,
    section: PartialMarking,
    pending: Option<PartialMarking>,
}

impl Sections {
    /// A comment, or a line that is no value and names a label.
    pub(crate) fn comment(&mut self, line: u64, text: &str, file: &FileInfo<'_>, found: &mut Found) {
        let said = words::comment(text);
        if said == Handling::default() {
            return;
        }
        let at = (Some(line), "");
        if self.any {
            self.pending.get_or_insert_default().take(said, text, at, file, found);
        } else {
            let mut marking = found.marking;
            marking.take(said, text, at, file, found);
            found.marking = marking;
        }
    }

    /// A value: what the comments before it say of it.
    pub(crate) fn value(&mut self) -> PartialMarking {
        self.any = true;
        if let Some(section) = self.pending.take() {
            self.section = section;
        }
        self.section
    }

    /// The end of the file.
    pub(crate) fn end(self, found: &mut Found) {
        let last = self.pending.unwrap_or_default();
        found.marking.add(last.tlp, last.pap);
        found.marking.floor = found.marking.floor.max(last.floor);
    }
}

/// The marking under which a draft may be shared; `None`: it stays local until it is marked.
///
/// The first of object, file, profile and flag that says a TLP (PAP, purposes, retention) decides it, never
/// looser than what any part of the object or the file says. `personal` is what values and kept objects are
/// (`personal::of`), raised by the profile. `now_ms` is where retention is counted from.
#[must_use]
pub fn resolve_marking(
    object: &PartialMarking,
    file: &PartialMarking,
    profile: &Profile,
    flag: &Terms,
    personal: Personal,
    now_ms: u64,
) -> Option<Marking> {
    let terms = &profile.terms;
    let tlp = object.tlp.or(file.tlp).or(terms.tlp).or(flag.tlp)?;
    let floor = object.floor.max(file.floor).filter(|_| !planted::is(planted::Bug::LoosenMarking));
    let first = |a: &Vec<Code>, b: &Vec<Code>| if a.is_empty() { b.clone() } else { a.clone() };
    let retention_ms = terms.retention_ms.or(flag.retention_ms);
    let marking = Marking {
        pap: object.pap.or(file.pap).or(terms.pap).or(flag.pap),
        personal: personal.max(profile.personal),
        purposes: first(&terms.purposes, &flag.purposes),
        legal_basis: terms.legal_basis.clone().or_else(|| flag.legal_basis.clone()),
        retain_until: retention_ms.map(|ms| now_ms.saturating_add(ms)),
        ..Marking::new(Some(tlp).max(floor).unwrap_or(tlp))
    };
    Some(marking.tidy())
}

/// Whether indicators are personal data, by the defaults of their types.
#[must_use]
pub fn personal_default(indicators: &[Indicator]) -> Personal {
    indicators
        .iter()
        .filter_map(|indicator| indicator.what.row())
        .map(|row| row.personal)
        .max()
        .unwrap_or_default()
}

/// What a marking lacks to be shared at all, by the keys of profiles: personal data needs `purposes` and `retention`.
#[must_use]
pub fn lacks(marking: &Marking) -> Vec<&'static str> {
    let lacking = [("purposes", marking.purposes.is_empty()), ("retention", marking.retain_until.is_none())];
    let needs = marking.personal == Personal::Yes;
    lacking.into_iter().filter(|(_, lacking)| needs && *lacking).map(|(name, _)| name).collect()
}

#[cfg(test)]
mod tests {
    use tocsin_record::observable::Observable;

    use super::*;
    use crate::names::plain_indicator;

    fn resolve(
        object: PartialMarking,
        file: PartialMarking,
        profile: Option<Tlp>,
        flag: Option<Tlp>,
    ) -> Option<Tlp> {
        let profile = Profile { terms: Terms { tlp: profile, ..Terms::default() }, ..Profile::default() };
        let flag = Terms { tlp: flag, ..Terms::default() };
        resolve_marking(&object, &file, &profile, &flag, Personal::No, 0).map(|marking| marking.tlp)
    }

    #[test]
    fn the_first_that_speaks_decides() {
        let none = PartialMarking::default();
        let said = PartialMarking::stated;
        use Tlp::{Amber, Clear, Green, Red};
        assert_eq!(resolve(none, none, None, None), None);
        assert_eq!(resolve(none, none, None, Some(Green)), Some(Green));
        assert_eq!(resolve(none, none, Some(Amber), Some(Green)), Some(Amber));
        assert_eq!(resolve(none, said(Clear), Some(Amber), Some(Green)), Some(Clear));
        assert_eq!(resolve(said(Red), said(Clear), Some(Amber), None), Some(Red));
        // The file binds what is in it, and a marked part binds the whole.
        assert_eq!(resolve(said(Clear), said(Amber), None, None), Some(Amber));
        let partly = PartialMarking::of_parts([said(Red), none]);
        assert_eq!(resolve(partly, none, None, None), None);
        assert_eq!(resolve(partly, none, None, Some(Green)), Some(Red));
    }

    #[test]
    fn never_looser_than_any_part() {
        for seed in 0..2_000_u64 {
            // A small generator is enough to walk all combinations of six labels in five places.
            let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 7;
            let mut draw = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                Tlp::from_code(((state >> 33) % 6) as u8)
            };
            let parts: Vec<_> =
                (0..3).map(|_| draw().map_or_else(PartialMarking::default, PartialMarking::stated)).collect();
            let object = PartialMarking::of_parts(parts.iter().copied());
            let file = draw().map_or_else(PartialMarking::default, PartialMarking::stated);
            if let Some(tlp) = resolve(object, file, draw(), draw()) {
                for part in parts.iter().chain([&file]) {
                    assert!(part.tlp <= Some(tlp), "seed {seed}: {part:?} became {tlp}");
                }
            }
        }
    }

    #[test]
    fn personal_data_needs_purpose_and_retention() {
        let mail = [plain_indicator(Observable::parse("email", "me@evil.example").unwrap())];
        let none = PartialMarking::default();
        let flag = Terms { tlp: Some(Tlp::Green), ..Terms::default() };
        let marking =
            resolve_marking(&none, &none, &Profile::default(), &flag, personal_default(&mail), 0).unwrap();
        assert_eq!(marking.personal, Personal::Yes);
        assert_eq!(lacks(&marking), ["purposes", "retention"]);
        let profile = Profile::parse("purposes = ['network-defence']\nretention = '90d'").unwrap();
        let marking = resolve_marking(&none, &none, &profile, &flag, personal_default(&mail), 1_000).unwrap();
        assert_eq!(marking.retain_until, Some(90 * 86_400_000 + 1_000));
        assert_eq!((lacks(&marking), marking.check()), (vec![], Ok(())));
    }
}
