//! What a decision is about: plain borrowed facts that the caller fills in.
//!
//! They are cheap to build and hold no clock: the caller gives the time. Numbers are clamped where a request
//! is built from them, so any value is safe here.

use tocsin_record::document::Carry;
use tocsin_record::document::OrgEntry;
use tocsin_record::header::{Class, Header};
use tocsin_record::id::OrgId;
use tocsin_record::marking::{Flags, Marking, MarkingError, Pap, Tlp};

/// The node's own organisation, against which a decision is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Home {
    /// The id of the own org.
    pub org: OrgId,
    /// Its country: two capital letters.
    pub country: [u8; 2],
}

/// A partner, as the charter describes it and as this node trusts it.
#[derive(Debug, Clone, Copy)]
pub struct Org<'a> {
    /// The id of the org.
    pub id: OrgId,
    /// Its name by the charter: one line, and not what it is told apart by.
    pub name: &'a str,
    /// What it is, by the name that the charter's table has; "other" for a kind newer than this node.
    pub kind: &'a str,
    /// Two capital letters.
    pub country: [u8; 2],
    /// Legal regimes it is under.
    pub regimes: &'a [String],
    /// Its roles in the mesh.
    pub roles: &'a [String],
    /// This node's opinion, 0 to 100; `None` while unknown. Rules see it in steps of 5, rounded down.
    pub trust: Option<u8>,
}

impl<'a> Org<'a> {
    /// The partner of a charter entry, with this node's trust in it.
    #[must_use]
    pub fn of(entry: &'a OrgEntry, trust: Option<u8>) -> Self {
        Self {
            id: entry.root,
            name: &entry.name,
            kind: entry.kind_name(),
            country: entry.country,
            regimes: &entry.regimes,
            roles: &entry.roles,
            trust,
        }
    }
}

/// What a circle is to this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CircleKind {
    /// The author's own nodes.
    Own,
    /// The whole mesh.
    Mesh,
    /// A pair, a task force.
    Other,
}

impl CircleKind {
    /// The name in a policy.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Mesh => "mesh",
            Self::Other => "other",
        }
    }
}

/// The circle that a record is addressed to.
#[derive(Debug, Clone, Copy)]
pub struct Circle<'a> {
    /// The name that this node has for it.
    pub name: &'a str,
    /// What it is to this node.
    pub kind: CircleKind,
    /// Who hands its records on.
    pub carry: Carry,
}

/// How the body of a record travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cover {
    /// In clear; the header shows kind, TLP and flags.
    Unsealed,
    /// Sealed to the members of its circle; the header shows none of the three.
    Sealed,
}

/// What the header says.
#[derive(Debug, Clone, Copy)]
pub struct HeaderFacts<'a> {
    /// The org whose node wrote it.
    pub author: &'a Org<'a>,
    /// Where it is addressed to.
    pub circle: Circle<'a>,
    /// Its class.
    pub class: Class,
    /// Its body kind; what stands here is ignored while the record is sealed and its body unknown.
    pub kind: u16,
    /// The TLP byte as a label; `None` where the byte is 0, "not shown".
    pub tlp: Option<Tlp>,
    /// The flag word.
    pub flags: Flags,
    /// Whether the body is sealed.
    pub cover: Cover,
    /// When it was written, ms since 1970.
    pub time_ms: u64,
    /// When it expires, ms since 1970; 0 never.
    pub expires_ms: u64,
    /// The time of the decision, ms since 1970.
    pub now_ms: u64,
}

impl<'a> HeaderFacts<'a> {
    /// The facts of a header that was verified, by an author of that org, to that circle, at that time.
    ///
    /// # Errors
    /// [`MarkingError`] if the TLP byte or the flags are off their scales: the author's fault.
    pub fn of(
        header: &Header,
        author: &'a Org<'a>,
        circle: Circle<'a>,
        now_ms: u64,
    ) -> Result<Self, MarkingError> {
        let unknown = || MarkingError::UnknownTlp(header.tlp.to_string());
        Ok(Self {
            author,
            circle,
            class: header.class,
            kind: header.kind,
            tlp: match header.tlp {
                0 => None,
                byte => Some(Tlp::from_code(byte).ok_or_else(unknown)?),
            },
            flags: Flags::from_word(header.flags)?,
            cover: if header.suite == 0 { Cover::Unsealed } else { Cover::Sealed },
            time_ms: header.time,
            expires_ms: header.expires,
            now_ms,
        })
    }
}

/// Who observed it first.
#[derive(Debug, Clone, Copy)]
pub enum Origin<'a> {
    /// The author.
    Own,
    /// Another source, named.
    Derived {
        /// The name of the source; empty if it has none.
        source: &'a str,
    },
}

/// What the body says, once it is here and open.
#[derive(Debug, Clone, Copy)]
pub struct BodyFacts<'a> {
    /// How it may be handled; `None` only for what was imported unmarked into the own circle.
    pub marking: Option<&'a Marking>,
    /// The strictest TLP of anything inside, kept originals included; `None` if nothing inside has one.
    pub strictest_inside: Option<Tlp>,
    /// Who observed it first.
    pub origin: Origin<'a>,
    /// The least and the greatest confidence of its indicators, 0 to 100; `None` if none states one.
    pub confidence: Option<(u8, u8)>,
    /// How many indicators it has.
    pub indicators: u32,
    /// The names of its observable types, sorted, each once.
    pub types: &'a [&'a str],
    /// It holds something this node does not understand, apart from its marking: the body is held.
    pub newer: bool,
}

/// A record, with what is known of its body.
#[derive(Debug, Clone, Copy)]
pub struct RecordFacts<'a> {
    /// What the header says.
    pub header: HeaderFacts<'a>,
    /// What the body says; `None` while it is absent.
    pub body: Option<BodyFacts<'a>>,
    /// It stands after a fork of its log, and is neither passed on nor exported.
    pub disputed: bool,
}

/// A person or program that asks this node, for this one question.
#[derive(Debug, Clone, Copy)]
pub struct Person<'a> {
    /// The name of the principal.
    pub name: &'a str,
    /// Its roles.
    pub roles: &'a [String],
    /// The purposes it may state.
    pub purposes: &'a [String],
    /// The purpose it states for this question.
    pub purpose: Option<&'a str>,
    /// Whether it asks for what is RED as well.
    pub includes_red: bool,
}

/// A system that takes data from this node.
#[derive(Debug, Clone, Copy)]
pub struct Consumer<'a> {
    /// The name of the system.
    pub name: &'a str,
    /// The format it takes.
    pub format: &'a str,
    /// The strictest TLP it may get.
    pub ceiling: Tlp,
    /// What it does with a record, named by the strictest PAP that still allows it: [`Pap::Red`] searches its
    /// own logs, [`Pap::Amber`] asks third parties, [`Pap::Green`] blocks or connects, [`Pap::Clear`] publishes.
    pub action: Pap,
    /// It takes exercises, and nothing else.
    pub exercise: bool,
}

impl RecordFacts<'_> {
    /// The marking, where the body is here and has one.
    #[must_use]
    pub fn marking(&self) -> Option<&Marking> {
        self.body.as_ref().and_then(|body| body.marking)
    }

    /// The TLP of the marking, else the header's.
    #[must_use]
    pub fn tlp(&self) -> Option<Tlp> {
        self.marking().map(|marking| marking.tlp).or(self.header.tlp)
    }

    /// The flags of the marking, else the header's.
    #[must_use]
    pub fn flags(&self) -> Flags {
        self.marking().map_or(self.header.flags, Marking::flags)
    }
}
