//! The charter: the roster of the mesh itself, signed by the roots of its steward orgs.

use std::collections::BTreeSet;

use bincode::{Decode, Encode};

use super::{Document, DocumentError, Form, Signed};
use crate::id::{DocHash, MeshId, OrgId};
use crate::marking::Code;

/// Most orgs in a mesh: eight times the 500 that a mesh is made for.
pub const ORGS_MAX: usize = 4096;
/// Longest name of a mesh or org, and longest kind, role or regime of one, in bytes.
const NAME_MAX: usize = 128;
/// Most networks, suffixes or AS numbers of what an org looks after.
const LIST_MAX: usize = 1024;

/// One version of the charter.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Charter {
    /// From 1, rising by one.
    pub version: u32,
    /// Hash of the version before, zero for the first.
    pub prev: DocHash,
    /// Random in the first version, which so makes the mesh id unique; kept since.
    pub nonce: [u8; 32],
    /// Name of the mesh, for people.
    pub name: String,
    /// When it was written, in ms.
    pub time: u64,
    /// Until when it may add members, in ms, 0 for ever. After it the charter still reads and carries.
    pub expires: u64,
    /// How far back joiners are given history, in ms, 0 for all.
    pub history: u64,
    /// The partners, in order of root key.
    pub orgs: Vec<OrgEntry>,
    /// What newer nodes add.
    pub extension: Vec<u8>,
}

/// A partner as the mesh knows it. All of it are policy attributes.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct OrgEntry {
    /// Root key.
    pub root: OrgId,
    /// Short name, unique in the mesh: lower-case letters, digits, dot and dash.
    pub name: String,
    /// Kind of agency, see [`OrgKind`].
    pub kind: Code,
    /// ISO 3166-1 alpha-2, upper case.
    pub country: [u8; 2],
    /// Legal regimes it works under, such as "gdpr" or "led".
    pub regimes: Vec<String>,
    /// What it answers for.
    pub constituency: Constituency,
    /// Whom to call.
    pub contact: Contact,
    /// Where its nodes listen, as multiaddrs ending in `/p2p/` and the peer id; empty for one that only dials.
    pub addresses: Vec<String>,
    /// Records an hour that others take without delay, 0 for their default.
    pub quota: u32,
    /// Roles in the mesh; "steward" signs charters.
    pub roles: Vec<String>,
}

/// What an org answers for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Constituency {
    /// Networks in CIDR form.
    pub networks: Vec<String>,
    /// AS numbers.
    pub asns: Vec<u32>,
    /// Domain suffixes without a leading dot.
    pub suffixes: Vec<String>,
}

/// Whom to call, at any hour.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Contact {
    /// Desk or duty officer.
    pub desk: String,
    /// Telephone, E.164.
    pub phone: String,
    /// Mail address.
    pub email: String,
    /// Anything else: hours, languages, PGP fingerprint.
    pub notes: String,
}

/// Kinds of agency. In a charter they are a [`Code`], so that more can follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u16)]
#[expect(missing_docs, reason = "the names are the field's own")]
pub enum OrgKind {
    Csirt = 1,
    Police = 2,
    Prosecutor = 3,
    Border = 4,
    Intelligence = 5,
    Military = 6,
    Private = 7,
    Academic = 8,
    International = 9,
}

impl OrgKind {
    /// All of them with their names.
    pub const ALL: [(Self, &'static str); 9] = [
        (Self::Csirt, "csirt"),
        (Self::Police, "police"),
        (Self::Prosecutor, "prosecutor"),
        (Self::Border, "border"),
        (Self::Intelligence, "intelligence"),
        (Self::Military, "military"),
        (Self::Private, "private"),
        (Self::Academic, "academic"),
        (Self::International, "international"),
    ];

    /// The kind by its name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|row| row.1 == name).map(|row| row.0)
    }

    /// As it stands in a charter.
    #[must_use]
    pub fn code(self) -> Code {
        Code { kind: self as u16, value: Vec::new() }
    }
}

impl OrgEntry {
    /// The name of its kind, "other" for one that is newer than this node.
    #[must_use]
    pub fn kind_name(&self) -> &'static str {
        OrgKind::ALL.iter().find(|row| row.0 as u16 == self.kind.kind).map_or("other", |row| row.1)
    }

    /// Whether its root signs charters.
    #[must_use]
    pub fn is_steward(&self) -> bool {
        self.roles.iter().any(|role| role == "steward")
    }

    /// The country as text.
    #[must_use]
    pub fn country_code(&self) -> &str {
        std::str::from_utf8(&self.country).unwrap_or("??")
    }

    /// Bounds of an entry, for charters and cards.
    ///
    /// # Errors
    /// The name of the first field out of bounds.
    pub fn check(&self) -> Result<(), &'static str> {
        let ok = |ok: bool, field| if ok { Ok(()) } else { Err(field) };
        let short = |list: &[String], most: usize, len: usize| {
            list.len() <= most
                && list.iter().all(|item| item.len() <= len && !item.chars().any(char::is_control))
        };
        ok(is_name(&self.name), "org name")?;
        ok(self.country.iter().all(u8::is_ascii_uppercase), "country")?;
        ok(self.kind.value.len() <= NAME_MAX, "kind")?;
        ok(short(&self.regimes, 32, NAME_MAX), "regimes")?;
        ok(short(&self.addresses, 32, 512), "addresses")?;
        ok(short(&self.roles, 32, NAME_MAX), "roles")?;
        ok(short(&self.constituency.networks, LIST_MAX, 64), "networks")?;
        ok(short(&self.constituency.suffixes, LIST_MAX, 256), "suffixes")?;
        ok(self.constituency.asns.len() <= LIST_MAX, "asns")?;
        let Contact { desk, phone, email, notes } = &self.contact;
        ok([desk, phone, email, notes].iter().all(|text| text.len() <= 1024), "contact")
    }
}

/// Whether a text can name an org or node: 1 to 64 of `a-z 0-9 . -`, beginning with a letter or digit.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let allowed = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'.' || c == b'-';
    (1..=64).contains(&text.len())
        && text.bytes().all(allowed)
        && text.as_bytes()[0].is_ascii_alphanumeric()
        && !text.contains("..")
}

impl Document for Charter {
    const FORM: Form = Form::Charter;

    fn check(&self) -> Result<(), &'static str> {
        let ok = |ok: bool, field| if ok { Ok(()) } else { Err(field) };
        ok(self.version >= 1, "version")?;
        ok((self.version == 1) == (self.prev == DocHash::ZERO), "prev")?;
        ok(self.name.len() <= NAME_MAX && !self.name.chars().any(char::is_control), "name")?;
        ok(self.orgs.len() <= ORGS_MAX, "orgs")?;
        ok(self.orgs.is_sorted_by(|a, b| a.root < b.root), "orgs")?;
        let names: BTreeSet<&str> = self.orgs.iter().map(|org| org.name.as_str()).collect();
        ok(names.len() == self.orgs.len(), "org name")?;
        self.orgs.iter().try_for_each(OrgEntry::check)
    }
}

impl Charter {
    /// The org with this root.
    #[must_use]
    pub fn org(&self, root: OrgId) -> Option<&OrgEntry> {
        self.orgs.binary_search_by_key(&root, |org| org.root).ok().map(|at| &self.orgs[at])
    }

    /// The org of this name.
    #[must_use]
    pub fn org_named(&self, name: &str) -> Option<&OrgEntry> {
        self.orgs.iter().find(|org| org.name == name)
    }

    /// Roots of the orgs that sign charters.
    #[must_use]
    pub fn stewards(&self) -> BTreeSet<[u8; 32]> {
        self.orgs.iter().filter(|org| org.is_steward()).map(|org| org.root.0).collect()
    }

    /// Checks a first charter: its hash is the mesh id, and more than half of its own stewards signed it.
    ///
    /// # Errors
    /// [`DocumentError`].
    pub fn open(signed: &Signed) -> Result<(MeshId, Self), DocumentError> {
        let charter: Self = signed.read()?;
        if charter.version != 1 {
            return Err(DocumentError::Follows { form: Form::Charter, known: 0, found: charter.version });
        }
        signed.require_majority(&charter.stewards())?;
        Ok((MeshId(signed.hash().0), charter))
    }

    /// Checks the next version against this one, whose signed form is `known`: it steps by one, names this one's hash,
    /// and has the majority of the stewards of both. An expired charter may still be followed by one that adds nobody.
    ///
    /// # Errors
    /// [`DocumentError`]; this one stays in force.
    pub fn follow(&self, known: &Signed, next: &Signed) -> Result<Self, DocumentError> {
        let charter: Self = next.read()?;
        let follows = charter.version == self.version + 1
            && charter.prev == known.hash()
            && charter.nonce == self.nonce;
        if !follows {
            return Err(DocumentError::Follows {
                form: Form::Charter,
                known: self.version,
                found: charter.version,
            });
        }
        next.require_majority(&self.stewards())?;
        next.require_majority(&charter.stewards())?;
        let expired = self.expires != 0 && charter.time >= self.expires;
        if expired && charter.orgs.iter().any(|org| self.org(org.root).is_none()) {
            return Err(DocumentError::Bounds(Form::Charter, "orgs added after expiry"));
        }
        Ok(charter)
    }
}
