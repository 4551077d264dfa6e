//! What no configuration can change: checked in code before any rule is asked.
//!
//! Each guardrail has a name, which stands as `guardrail:NAME` where the rule of a decision is told. Signature
//! and membership are guardrails too and stand before this crate: only verified records of members come here.

use tocsin_record::document::Carry;
use tocsin_record::header::Class;
use tocsin_record::marking::{Code, Countries, CountryCode, Marking, Personal, Tlp};

use crate::decision::Ruling;
use crate::facts::{CircleKind, Consumer, Cover, HeaderFacts, Home, Org, Person, RecordFacts};

macro_rules! guardrails {
    ($($(#[doc = $says:literal])+ $name:ident = $text:literal,)*) => {
        /// A guardrail by its name.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Guardrail { $($(#[doc = $says])+ $name,)* }

        impl Guardrail {
            /// Every guardrail, in the order of its number. Only appended.
            pub const ALL: &[Guardrail] = &[$(Guardrail::$name,)*];

            /// The name as decisions tell it.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Guardrail::$name => concat!("guardrail:", $text),)* }
            }

            /// What it says, in a sentence.
            #[must_use]
            pub fn says(self) -> &'static str {
                match self { $(Guardrail::$name => concat!($($says),+).trim_ascii(),)* }
            }
        }
    };
}

guardrails! {
    /// Control and withdrawal records hold ids and reason codes only, and are never withheld from members.
    MeshTraffic = "mesh-traffic",
    /// Between the nodes of one org nothing is withheld, and an org believes itself.
    OwnOrg = "own-org",
    /// What is addressed to an org's own circle is for its own nodes.
    OwnCircle = "own-circle",
    /// What has no marking stays in the own circle.
    Unmarked = "unmarked",
    /// The header of an unsealed record shows the TLP of its body.
    HeaderTlp = "header-tlp",
    /// The TLP is at least the strictest of what is inside.
    TlpInside = "tlp-inside",
    /// The header's flags are those of the body's marking.
    HeaderFlags = "header-flags",
    /// AMBER and stricter leaves the own circle only sealed, RED only into one in which its author alone hands it on.
    TlpDirection = "tlp-direction",
    /// Its expiry has passed.
    Expired = "expired",
    /// The time until which it may be kept has passed.
    Retention = "retention",
    /// Personal data leaves the own circle only with a purpose and a retention time.
    Personal = "personal",
    /// The marking does not allow this country.
    Countries = "countries",
    /// It holds what this node does not understand: it is held.
    Newer = "newer",
    /// It stands after a fork of its log.
    Disputed = "disputed",
    /// The consumer may not get so strict a TLP.
    TlpCeiling = "tlp-ceiling",
    /// The PAP does not allow what the consumer does.
    Pap = "pap",
    /// An exercise is never mixed with real data.
    Exercise = "exercise",
    /// It may be used for the purposes that its marking states, and whoever asks states none of them.
    Purpose = "purpose",
    /// In this circle only the author of a record hands it on: it goes from its nodes to the members, and no further.
    AuthorCarries = "author-carries",
    /// RED of a circle is shown only to a person who asks for it, for a purpose that this person may state, and RED goes to no system.
    Red = "red",
}

/// What the guardrails say to one question: the answer, or that the rules decide.
pub(crate) type Said<A> = Option<(A, Guardrail)>;

const DENY: bool = false;
const ALLOW: bool = true;

/// Whether a body is worth asking for, as far as its header tells.
pub(crate) fn fetch(header: &HeaderFacts, home: &Home) -> Said<bool> {
    if header.class != Class::Content {
        return Some((ALLOW, Guardrail::MeshTraffic));
    }
    if let Some(broken) = header_breaks(header) {
        return Some((DENY, broken));
    }
    (header.author.id == home.org).then_some((ALLOW, Guardrail::OwnOrg))
}

/// Whether a record can be believed at all. `Newer` is not decided here: see [`is_newer`].
pub(crate) fn judge(record: &RecordFacts, home: &Home) -> Said<Ruling> {
    if record.header.class != Class::Content {
        return Some((Ruling::Accept, Guardrail::MeshTraffic));
    }
    if let Some(broken) = record_breaks(record) {
        return Some((Ruling::Refuse, broken));
    }
    if record.header.author.id == home.org {
        let newer = is_newer(record);
        let held = (Ruling::Hold, Guardrail::Newer);
        return Some(if newer { held } else { (Ruling::Accept, Guardrail::OwnOrg) });
    }
    let barred = record.marking().is_some_and(|marking| !allows(&marking.countries, home.country));
    barred.then_some((Ruling::Refuse, Guardrail::Countries))
}

/// Whether a record may be passed on to a partner.
pub(crate) fn forward(record: &RecordFacts, peer: &Org, home: &Home) -> Said<bool> {
    // A retraction as well: what an author says behind a fork is taken by nobody.
    if record.disputed {
        return Some((DENY, Guardrail::Disputed));
    }
    if record.header.class != Class::Content {
        return Some((ALLOW, Guardrail::MeshTraffic));
    }
    if let Some(broken) = record_breaks(record) {
        return Some((DENY, broken));
    }
    if peer.id == home.org {
        return Some((ALLOW, Guardrail::OwnOrg));
    }
    if record.header.circle.kind == CircleKind::Own {
        return Some((DENY, Guardrail::OwnCircle));
    }
    // Whatever is in it: who cannot read it does not know that it is RED.
    if record.header.circle.carry == Carry::Author && record.header.author.id != home.org {
        return Some((DENY, Guardrail::AuthorCarries));
    }
    let marking = record.marking()?;
    if !allows(&marking.countries, peer.country) {
        return Some((DENY, Guardrail::Countries));
    }
    // A code that is not understood may be a limit on passing on.
    marking.is_newer().then_some((DENY, Guardrail::Newer))
}

/// Whether a record may answer a person of this node.
pub(crate) fn query(record: &RecordFacts, person: &Person) -> Said<bool> {
    if record.header.class != Class::Content {
        return Some((ALLOW, Guardrail::MeshTraffic));
    }
    // What the org keeps for itself it finds as it is: nobody addressed it to few eyes.
    let is_addressed = record.header.circle.kind != CircleKind::Own;
    let is_red = || {
        (is_addressed && record.tlp() == Some(Tlp::Red) && !asks_for_red(person)).then_some(Guardrail::Red)
    };
    let beside_purpose = || {
        let marking = record.marking()?;
        (!serves(marking, person)).then_some(Guardrail::Purpose)
    };
    lapsed(record).or_else(is_red).or_else(beside_purpose).map(|broken| (DENY, broken))
}

/// Whether a record may go to a system.
pub(crate) fn export(record: &RecordFacts, consumer: &Consumer) -> Said<bool> {
    let flags = record.flags();
    let broken = if record.disputed {
        Some(Guardrail::Disputed)
    } else if is_newer(record) {
        Some(Guardrail::Newer)
    } else if record.tlp().is_none() {
        Some(Guardrail::Unmarked)
    } else if record.tlp() == Some(Tlp::Red) {
        Some(Guardrail::Red)
    } else if record.tlp().is_some_and(|tlp| tlp > consumer.ceiling) {
        Some(Guardrail::TlpCeiling)
    } else if flags.pap.is_some_and(|pap| pap > consumer.action) {
        Some(Guardrail::Pap)
    } else if flags.exercise != consumer.exercise {
        Some(Guardrail::Exercise)
    } else {
        lapsed(record)
    };
    broken.map(|broken| (DENY, broken))
}

/// Whether the record, body or marking, holds what this node does not understand.
pub(crate) fn is_newer(record: &RecordFacts) -> bool {
    record.header.flags.newer != 0
        || record.body.as_ref().is_some_and(|body| body.newer)
        || record.marking().is_some_and(Marking::is_newer)
}

/// The first guardrail that a header breaks by itself.
fn header_breaks(header: &HeaderFacts) -> Option<Guardrail> {
    if header.expires_ms != 0 && header.expires_ms <= header.now_ms {
        return Some(Guardrail::Expired);
    }
    if header.circle.kind == CircleKind::Own || header.cover == Cover::Sealed {
        return None;
    }
    match header.tlp {
        None => Some(Guardrail::Unmarked),
        Some(tlp) => tlp_direction(tlp, header),
    }
}

/// The first guardrail that a record breaks, whoever asks.
fn record_breaks(record: &RecordFacts) -> Option<Guardrail> {
    let header = &record.header;
    if let Some(broken) = header_breaks(header) {
        return Some(broken);
    }
    let body = record.body.as_ref()?;
    let own = header.circle.kind == CircleKind::Own;
    let Some(marking) = body.marking else {
        // An unknown kind shows its labels in the header and cannot be asked for its marking.
        return (!own && !body.newer).then_some(Guardrail::Unmarked);
    };
    if header.cover == Cover::Unsealed {
        if header.tlp != Some(marking.tlp) {
            return Some(Guardrail::HeaderTlp);
        }
        let mut shown = header.flags;
        shown.newer = 0;
        if shown != marking.flags() {
            return Some(Guardrail::HeaderFlags);
        }
    }
    if body.strictest_inside.is_some_and(|inside| inside > marking.tlp) {
        return Some(Guardrail::TlpInside);
    }
    if lapsed(record).is_some() {
        return Some(Guardrail::Retention);
    }
    if own {
        return None;
    }
    tlp_direction(marking.tlp, header).or_else(|| personal(marking))
}

fn lapsed(record: &RecordFacts) -> Option<Guardrail> {
    let now_ms = record.header.now_ms;
    if record.header.expires_ms != 0 && record.header.expires_ms <= now_ms {
        return Some(Guardrail::Expired);
    }
    let until_ms = record.marking().and_then(|marking| marking.retain_until);
    until_ms.is_some_and(|until_ms| until_ms <= now_ms).then_some(Guardrail::Retention)
}

/// For what is addressed beyond the own circle.
fn tlp_direction(tlp: Tlp, header: &HeaderFacts) -> Option<Guardrail> {
    let in_clear = header.cover == Cover::Unsealed;
    let is_carried = header.circle.carry != Carry::Author;
    let barred = (tlp >= Tlp::Amber && in_clear) || (tlp == Tlp::Red && is_carried);
    barred.then_some(Guardrail::TlpDirection)
}

/// Whether a person asks for what is RED, for a purpose that it may state.
fn asks_for_red(person: &Person) -> bool {
    person.includes_red && stated(person).is_some()
}

/// The purpose that a person states and may state.
fn stated<'a>(person: &Person<'a>) -> Option<&'a str> {
    person.purpose.filter(|stated| person.purposes.iter().any(|own| own == stated))
}

/// Whether a person states a purpose that it may state and for which this may be used; where none is stated, for any.
fn serves(marking: &Marking, person: &Person) -> bool {
    let stated = stated(person);
    let is_stated = |purpose: &Code| stated.is_some() && purpose.purpose_name() == stated;
    marking.purposes.is_empty() || marking.purposes.iter().any(is_stated)
}

fn personal(marking: &Marking) -> Option<Guardrail> {
    let stated = |purpose: &Code| purpose.purpose_name() != Some("none");
    let bound = marking.purposes.iter().any(stated) && marking.retain_until.is_some();
    (marking.personal == Personal::Yes && !bound).then_some(Guardrail::Personal)
}

/// A country that is no country is allowed only where there is no limit.
fn allows(countries: &Countries, country: [u8; 2]) -> bool {
    match CountryCode::new(country) {
        Some(country) => countries.allows(country),
        None => *countries == Countries::Any,
    }
}
