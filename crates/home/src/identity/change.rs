//! A change of the mesh that collects signatures: the next charter in a file, which travels by any path until enough stewards
//! signed it.
//!
//! ```text
//! who proposes:  next charter + own signature -> FILE      each who agrees:  FILE -> read -> sign -> FILE
//! whoever has the signature that was missing:    FILE -> in force -> a document, as any other
//! ```
//!
//! A version needs more than half of the stewards of the one before and of its own. A file says what it does in lines that
//! are made from its bytes and the charter in force, so that nothing is in it that people are not shown.

use std::collections::BTreeSet;

use bincode::{Decode, Encode};
use tocsin_record::codec::{self, CodecError};
use tocsin_record::document::{Certificate, Charter, DocumentError, Form, OrgEntry, OrgKind, Signed};
use tocsin_record::id::{DocHash, MeshId, OrgId, fingerprint};
use tocsin_record::keys::Secret;

use super::armor::{self, ArmorError};
use super::papers::{Checked, Papers, PapersError};

const LABEL: &str = "TOCSIN CHANGE";
/// What decoding may take in memory, in bytes.
const LIMIT: usize = 64 << 20;
/// Most certificates in one change.
const CERTIFICATES_MAX: usize = 4096;
/// Longest value that is shown of what an entry is changed to, in characters.
const VALUE_SHOWN: usize = 400;

/// The next charter, with the signatures so far.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Change {
    /// The mesh that it is for.
    pub mesh: MeshId,
    /// The charter, signed by none, some or enough.
    pub document: Signed,
    /// Certificates of nodes that come in by it.
    pub certificates: Vec<Signed>,
}

/// A change held against the documents in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The version that it makes.
    pub version: u32,
    /// Whether that is in force already.
    pub in_force: bool,
    /// What it does, in words, one thing each.
    pub does: Vec<String>,
    /// Names of the stewards that signed it.
    pub signed: Vec<String>,
    /// Names of the stewards that did not, where signatures are missing.
    pub awaits: Vec<String>,
    /// Of the stewards in force.
    pub before: Quorum,
    /// Of those by its own version.
    pub after: Quorum,
}

/// How many of some stewards signed, and have to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quorum {
    /// How many there are.
    pub stewards: usize,
    /// More than half of them.
    pub needed: usize,
    /// How many signed.
    pub signed: usize,
}

/// A change was refused.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// Not such a file at all.
    #[error(transparent)]
    Armor(#[from] ArmorError),
    /// The bytes do not parse.
    #[error("the change {0}")]
    Codec(#[from] CodecError),
    /// A document in it does not hold.
    #[error("a document in the change does not hold: {0}")]
    Document(#[from] DocumentError),
    /// The documents here.
    #[error(transparent)]
    Papers(#[from] PapersError),
    /// It is of another mesh.
    #[error("the change is for another mesh, {0}")]
    Elsewhere(String),
    /// Another version is in force.
    #[error(
        "the change makes version {found} of the charter, and another version {found} is in force (the newest is {known}): \
         another change came first. Propose it anew"
    )]
    Stale {
        /// The version in force.
        known: u32,
        /// The one that it makes.
        found: u32,
    },
    /// Versions between are not here.
    #[error(
        "the change makes version {found} of the charter, and this home has version {known}: start its node, so that it \
         hears what came between"
    )]
    Ahead {
        /// The version in force.
        known: u32,
        /// The one that it makes.
        found: u32,
    },
    /// It goes on from another version of the same number.
    #[error(
        "the change follows another version {0} of the charter than the one in force here: it is not of this mesh's stewards"
    )]
    Branch(u32),
    /// It was edited, or nobody began it.
    #[error(
        "no steward's signature under the change holds: it was edited, or nobody signed it yet. Who proposes a change signs \
         it first"
    )]
    Unsigned,
    /// It brings certificates of who is not in.
    #[error("the change brings certificates of an org that it does not bring in")]
    Stranger,
    /// Nobody could change the mesh any more.
    #[error("the change leaves the mesh without a steward: nobody could change it any more")]
    NoSteward,
    /// The own signature counts for nothing.
    #[error(
        "this org is no steward of the mesh, neither now nor by the change: its signature counts for nothing"
    )]
    NotSteward,
    /// Two copies of different changes.
    #[error("the files hold different changes: apply them one by one")]
    Different,
    /// Signatures are missing.
    #[error("the change is not signed by enough stewards yet: it waits for {0}")]
    Awaits(String),
    /// The org gave its word to another one.
    #[error(
        "this org signed another change that makes version {version} ({does}). Were both signed by enough, the mesh would fall \
         in two. If nobody will complete that one, give --instead"
    )]
    SignedAnother {
        /// The version that both make.
        version: u32,
        /// What the other one does.
        does: String,
    },
}

impl Change {
    /// A change that nobody signed yet.
    #[must_use]
    pub fn new(mesh: MeshId, next: &Charter, certificates: Vec<Signed>) -> Self {
        Self { mesh, document: Signed::sign(next, &[]), certificates }
    }

    /// Reads a change from its text, and holds it against the documents in force.
    ///
    /// # Errors
    /// [`ChangeError`]: nothing of it is to be signed then.
    pub fn read(text: &str, papers: &Papers) -> Result<(Self, Reading), ChangeError> {
        let mut change = codec::decode::<Self, LIMIT>(&armor::read(LABEL, text)?)?;
        change.keep_what_holds();
        let reading = change.hold(papers)?;
        if !reading.in_force {
            armor::check(text, &change.lines(papers, &reading)?)?;
        }
        Ok((change, reading))
    }

    /// As text. Anyone may read it.
    ///
    /// # Errors
    /// [`ChangeError`] where it does not fit the documents in force.
    pub fn write(&self, papers: &Papers) -> Result<String, ChangeError> {
        let reading = self.hold(papers)?;
        Ok(armor::write(LABEL, &self.lines(papers, &reading)?, &codec::encode(self)))
    }

    /// What is signed.
    #[must_use]
    pub fn hash(&self) -> DocHash {
        self.document.hash()
    }

    /// The version that it makes.
    ///
    /// # Errors
    /// When the document is none.
    pub fn version(&self) -> Result<u32, ChangeError> {
        Ok(self.document.read::<Charter>()?.version)
    }

    fn keep_what_holds(&mut self) {
        self.document.signatures = self.document.valid_signatures().collect();
    }

    /// Holds the change against the documents in force: whether it follows them, what it does, who signed it and who has to.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub fn hold(&self, papers: &Papers) -> Result<Reading, ChangeError> {
        let checked = papers.check()?;
        if self.mesh != checked.mesh {
            return Err(ChangeError::Elsewhere(fingerprint(&self.mesh.0)));
        }
        let next: Charter = self.document.read()?;
        let (known, found) = (checked.charter.version, next.version);
        if found <= known {
            let same = |signed: &Signed| signed.hash() == self.hash();
            let is_there = papers.charters.get(found as usize - 1).is_some_and(same);
            return if is_there {
                Ok(Reading::in_force(found))
            } else {
                Err(ChangeError::Stale { known, found })
            };
        }
        if found > known + 1 {
            return Err(ChangeError::Ahead { known, found });
        }
        if next.prev != checked.signed.hash() || next.nonce != checked.charter.nonce {
            return Err(ChangeError::Branch(known));
        }
        if next.stewards().is_empty() {
            return Err(ChangeError::NoSteward);
        }
        self.check_certificates(&next)?;
        let signers: BTreeSet<[u8; 32]> = self.document.valid_signatures().map(|(key, _)| key).collect();
        let (now, then) = (checked.charter.stewards(), next.stewards());
        if !signers.iter().any(|key| now.contains(key)) {
            return Err(ChangeError::Unsigned);
        }
        let name = |key: &[u8; 32]| {
            let entry = checked.charter.org(OrgId(*key)).or_else(|| next.org(OrgId(*key)));
            entry.map_or_else(|| fingerprint(key), |entry| entry.name.clone())
        };
        let (before, after) = (Quorum::of(&now, &signers), Quorum::of(&then, &signers));
        let mut awaits: BTreeSet<[u8; 32]> = BTreeSet::new();
        for (quorum, stewards) in [(before, &now), (after, &then)] {
            if !quorum.is_met() {
                awaits.extend(stewards.difference(&signers));
            }
        }
        Ok(Reading {
            version: found,
            in_force: false,
            does: self.does(&checked, &next),
            signed: signers
                .iter()
                .filter(|key| now.contains(*key) || then.contains(*key))
                .map(name)
                .collect(),
            awaits: awaits.iter().map(name).collect(),
            before,
            after,
        })
    }

    fn check_certificates(&self, next: &Charter) -> Result<(), ChangeError> {
        if self.certificates.len() > CERTIFICATES_MAX {
            return Err(DocumentError::Bounds(Form::Certificate, "count").into());
        }
        for signed in &self.certificates {
            if next.org(Certificate::open(signed)?.org).is_none() {
                return Err(ChangeError::Stranger);
            }
        }
        Ok(())
    }

    /// Signs it with an org's root.
    ///
    /// # Errors
    /// [`ChangeError::NotSteward`], or where the charter in it does not read.
    pub fn sign(&mut self, checked: &Checked, root: &Secret) -> Result<(), ChangeError> {
        let next: Charter = self.document.read()?;
        let key = root.public();
        if !checked.charter.stewards().contains(&key) && !next.stewards().contains(&key) {
            return Err(ChangeError::NotSteward);
        }
        self.document.add_signature(root);
        Ok(())
    }

    /// Takes the signatures of another copy that was signed apart.
    ///
    /// # Errors
    /// [`ChangeError::Different`].
    pub fn merge(&mut self, other: &Self) -> Result<(), ChangeError> {
        if self.hash() != other.hash() || self.mesh != other.mesh {
            return Err(ChangeError::Different);
        }
        self.document.signatures.extend(other.document.signatures.iter().copied());
        self.document.signatures.sort_unstable_by_key(|(key, _)| *key);
        self.document.signatures.dedup_by_key(|(key, _)| *key);
        Ok(())
    }

    /// Whether this org may sign it, where `before` is what it signed last: never two of one version.
    ///
    /// # Errors
    /// [`ChangeError::SignedAnother`].
    pub fn beside(&self, before: &Self, papers: &Papers) -> Result<(), ChangeError> {
        if before.mesh != self.mesh || before.hash() == self.hash() {
            return Ok(());
        }
        let version = self.version()?;
        // What another one overtook is no danger any more.
        match before.hold(papers) {
            Ok(reading) if !reading.in_force && reading.version == version => {
                Err(ChangeError::SignedAnother { version, does: reading.does.join("; ") })
            }
            _ => Ok(()),
        }
    }

    /// The documents with it in force.
    ///
    /// # Errors
    /// [`ChangeError::Awaits`], or why it does not follow.
    pub fn apply(&self, papers: &Papers) -> Result<Papers, ChangeError> {
        let reading = self.hold(papers)?;
        let mut next = papers.clone();
        if !reading.in_force {
            if !reading.is_complete() {
                return Err(ChangeError::Awaits(reading.awaits.join(", ")));
            }
            next.charters.push(self.document.clone());
        }
        next.merge_certificates(&self.certificates);
        next.check()?;
        Ok(next)
    }

    fn lines(&self, papers: &Papers, reading: &Reading) -> Result<Vec<(&'static str, String)>, ChangeError> {
        let checked = papers.check()?;
        let mut lines = vec![
            ("Mesh", checked.charter.name.clone()),
            ("Mesh fingerprint", fingerprint(&self.mesh.0)),
            ("Charter version", reading.version.to_string()),
        ];
        lines.extend(reading.does.iter().map(|what| ("Change", what.clone())));
        lines.extend(reading.signed.iter().map(|name| ("Signed by", name.clone())));
        lines.extend(reading.awaits.iter().map(|name| ("Awaits", name.clone())));
        Ok(lines)
    }

    /// All in which the next charter differs, in words.
    fn does(&self, checked: &Checked, next: &Charter) -> Vec<String> {
        let before = &checked.charter;
        let mut does = Vec::new();
        for entry in next.orgs.iter().filter(|entry| before.org(entry.root).is_none()) {
            does.push(format!("takes in {}", shown(entry)));
            does.extend(
                fields(entry)
                    .into_iter()
                    .filter(|(_, value)| !value.is_empty())
                    .map(|(field, value)| format!("{}: {field} {}", entry.name, cut(&value))),
            );
        }
        for entry in before.orgs.iter().filter(|entry| next.org(entry.root).is_none()) {
            does.push(format!("takes out {}", shown(entry)));
        }
        let both = before.orgs.iter().filter_map(|old| Some((old, next.org(old.root)?)));
        for (old, new) in both.filter(|(old, new)| old != new) {
            let said = does.len();
            if old.is_steward() != new.is_steward() {
                let is = if new.is_steward() { "a steward" } else { "a steward no more" };
                does.push(format!("makes {} {is}", shown(new)));
            }
            let (was, is) = (fields(old), fields(new));
            for ((field, was), (_, is)) in was.iter().zip(&is).filter(|(was, is)| was != is) {
                does.push(format!("{}: {field} {} instead of {}", old.name, cut(is), cut(was)));
            }
            // Lists may differ and read the same.
            if does.len() == said {
                does.push(format!("{}: writes its entry in another form", old.name));
            }
        }
        let mut says = |field: &str, was: String, is: String| {
            if was != is {
                does.push(format!("the mesh's {field} {} instead of {}", cut(&is), cut(&was)));
            }
        };
        says("name", before.name.clone(), next.name.clone());
        says("end (ms)", before.expires.to_string(), next.expires.to_string());
        says("history (ms)", before.history.to_string(), next.history.to_string());
        says(
            "extension",
            data_encoding::HEXLOWER.encode(&before.extension),
            data_encoding::HEXLOWER.encode(&next.extension),
        );
        for certificate in self.certificates.iter().filter_map(|signed| signed.read::<Certificate>().ok()) {
            let org = next.org(certificate.org).map_or("", |entry| &entry.name);
            let key = fingerprint(&certificate.node_key().0);
            does.push(format!("brings the certificate of {org}'s node {} {key}", certificate.node));
        }
        if does.is_empty() {
            does.push("changes nothing but the version".to_owned());
        }
        does
    }
}

impl Reading {
    fn in_force(version: u32) -> Self {
        Self {
            version,
            in_force: true,
            does: Vec::new(),
            signed: Vec::new(),
            awaits: Vec::new(),
            before: Quorum::default(),
            after: Quorum::default(),
        }
    }

    /// Whether enough signed it.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.in_force || (self.before.is_met() && self.after.is_met())
    }
}

impl Quorum {
    fn of(stewards: &BTreeSet<[u8; 32]>, signers: &BTreeSet<[u8; 32]>) -> Self {
        Self {
            stewards: stewards.len(),
            needed: stewards.len() / 2 + 1,
            signed: stewards.intersection(signers).count(),
        }
    }

    fn is_met(self) -> bool {
        self.signed >= self.needed
    }
}

fn shown(entry: &OrgEntry) -> String {
    format!(
        "{} ({}, {}), {}",
        entry.name,
        entry.kind_name(),
        entry.country_code(),
        fingerprint(&entry.root.0)
    )
}

fn cut(value: &str) -> String {
    if value.is_empty() {
        "nothing".to_owned()
    } else {
        format!("`{}`", tocsin_text::cut(value, VALUE_SHOWN))
    }
}

/// All of an entry but its root key, and whether it is a steward, which is said in words of its own.
fn fields(entry: &OrgEntry) -> Vec<(&'static str, String)> {
    let OrgEntry { root: _, name, kind, country: _, regimes, constituency, contact, addresses, quota, roles } =
        entry;
    let asns: Vec<String> = constituency.asns.iter().map(|asn| format!("AS{asn}")).collect();
    let others: Vec<&str> = roles.iter().map(String::as_str).filter(|role| *role != "steward").collect();
    let kind = match OrgKind::ALL.iter().find(|row| row.0.code() == *kind) {
        Some((_, name)) => (*name).to_owned(),
        None => format!("{} {}", kind.kind, data_encoding::HEXLOWER.encode(&kind.value)),
    };
    vec![
        ("name", name.clone()),
        ("kind", kind),
        ("country", entry.country_code().to_owned()),
        ("regimes", regimes.join(", ")),
        ("networks", constituency.networks.join(", ")),
        ("AS numbers", asns.join(", ")),
        ("domains", constituency.suffixes.join(", ")),
        ("desk", contact.desk.clone()),
        ("phone", contact.phone.clone()),
        ("email", contact.email.clone()),
        ("notes", contact.notes.clone()),
        ("addresses", addresses.join(", ")),
        ("quota", if *quota == 0 { String::new() } else { quota.to_string() }),
        ("roles", others.join(", ")),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::card::tests::sample;
    use super::*;

    /// A mesh of three, of which the first is the only steward, with their roots.
    fn three() -> (Papers, [Secret; 3]) {
        let (founder, card) = sample("cert-aa", 10);
        let mut papers = Papers::found("ring", [1; 32], card.entry, card.certificates, &founder, 5).unwrap();
        let mut roots = vec![founder];
        for (name, seed) in [("police-bb", 20), ("bank-cc", 30)] {
            let (root, card) = sample(name, seed);
            papers = papers.add(card.entry, &card.certificates, &roots[0], 6).unwrap();
            roots.push(root);
        }
        (papers, roots.try_into().map_err(drop).unwrap())
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn begun(papers: &Papers, next: &Charter, root: &Secret) -> Change {
        let checked = papers.check().unwrap();
        let mut change = Change::new(checked.mesh, next, Vec::new());
        change.sign(&checked, root).unwrap();
        change
    }

    /// A mesh of three, handed over from one steward to all of them.
    fn handed_over() -> (Papers, [Secret; 3]) {
        let (papers, roots) = three();
        let checked = papers.check().unwrap();
        let next = checked.with_stewards(&names(&["police-bb", "bank-cc"]), true, 7).unwrap();
        let mut change = begun(&papers, &next, &roots[0]);
        change.sign(&checked, &roots[1]).unwrap();
        (change.apply(&papers).unwrap(), roots)
    }

    #[test]
    fn a_change_is_in_force_when_enough_of_both_versions_signed() {
        let (papers, roots) = three();
        let checked = papers.check().unwrap();
        let next = checked.with_stewards(&names(&["police-bb", "bank-cc"]), true, 7).unwrap();
        let change = begun(&papers, &next, &roots[0]);
        let text = change.write(&papers).unwrap();
        assert!(text.contains("Change: makes police-bb (csirt, AA)") && text.contains("Awaits: bank-cc"));
        let (mut read, reading) = Change::read(&text, &papers).unwrap();
        assert_eq!(read, change);
        let quorum = |stewards, needed, signed| Quorum { stewards, needed, signed };
        assert_eq!((reading.before, reading.after), (quorum(1, 1, 1), quorum(3, 2, 1)));
        assert_eq!(reading.signed, ["cert-aa"]);
        // One steward in force signed, and of those to come one is not enough.
        let early = read.apply(&papers).unwrap_err().to_string();
        assert!(early.contains("waits for") && early.contains("police-bb"), "{early}");
        read.sign(&checked, &roots[2]).unwrap();
        assert!(read.hold(&papers).unwrap().is_complete());
        let new = read.apply(&papers).unwrap();
        assert_eq!(new.check().unwrap().charter.stewards().len(), 3);
        let again = Change::read(&text, &new).unwrap();
        assert!(again.1.in_force && again.0.apply(&new).unwrap() == new, "twice is once");

        // From then on two of three decide, whoever they are, also against the founder.
        let checked = new.check().unwrap();
        assert!(matches!(new.remove("bank-cc", &roots[0], 8), Err(PapersError::Document(_))));
        let next = checked.with_stewards(&names(&["cert-aa"]), false, 8).unwrap();
        let mut one = begun(&new, &next, &roots[1]);
        let mut other = one.clone();
        one.sign(&checked, &roots[0]).unwrap();
        let reading = one.hold(&new).unwrap();
        assert_eq!((reading.before, reading.after), (quorum(3, 2, 2), quorum(2, 2, 1)));
        assert_eq!(reading.awaits, ["bank-cc"], "nobody is given all of it who did not sign");
        assert!(one.apply(&new).is_err());
        // Copies that were signed apart are one.
        other.sign(&checked, &roots[2]).unwrap();
        one.merge(&other).unwrap();
        assert_eq!(one.hold(&new).unwrap().signed.len(), 3);
        assert_eq!(one.apply(&new).unwrap().check().unwrap().charter.stewards().len(), 2);
    }

    #[test]
    fn what_is_not_to_be_signed_is_refused_with_its_reason() {
        let (papers, roots) = handed_over();
        let checked = papers.check().unwrap();
        let next = checked.without("bank-cc", 9).unwrap();
        let change = begun(&papers, &next, &roots[0]);
        let refused = |change: &Change, papers: &Papers| change.hold(papers).unwrap_err().to_string();
        let with = |next: &Charter| begun(&papers, next, &roots[0]);
        // Nobody signed, or who has no say.
        let unsigned = Change::new(checked.mesh, &next, Vec::new());
        assert!(refused(&unsigned, &papers).contains("no steward's signature"));
        let (stranger, _) = sample("spy-dd", 40);
        let mut strange = unsigned.clone();
        assert!(matches!(strange.sign(&checked, &stranger), Err(ChangeError::NotSteward)));
        strange.document.add_signature(&stranger);
        assert!(refused(&strange, &papers).contains("no steward's signature"));
        // A signature of another text under a steward's name.
        let mut forged = change.clone();
        forged.document.signatures[0].1 = stranger.sign(&forged.hash().0);
        assert!(refused(&forged, &papers).contains("no steward's signature"));
        // Another mesh, another branch, versions that are gone or to come.
        let elsewhere = Change { mesh: MeshId([9; 32]), ..change.clone() };
        assert!(refused(&elsewhere, &papers).contains("another mesh"));
        let branch = with(&Charter { prev: DocHash([9; 32]), ..next.clone() });
        assert!(refused(&branch, &papers).contains("another version"));
        let early = with(&Charter { version: next.version + 1, ..next.clone() });
        assert!(refused(&early, &papers).contains("start its node"));
        let mut other = with(&checked.with_stewards(&names(&["bank-cc"]), false, 9).unwrap());
        other.sign(&checked, &roots[1]).unwrap();
        let after = other.apply(&papers).unwrap();
        assert!(refused(&change, &after).contains("came first"));
        let nobody = Charter {
            orgs: next
                .orgs
                .iter()
                .cloned()
                .map(|mut org| {
                    org.roles.clear();
                    org
                })
                .collect(),
            ..next
        };
        assert!(refused(&with(&nobody), &papers).contains("without a steward"));
        // Certificates of who does not come in.
        let (_, card) = sample("spy-dd", 40);
        let brought = Change { certificates: card.certificates, ..change.clone() };
        assert!(refused(&brought, &papers).contains("certificates of an org"));
        // Texts: edited, cut, of another kind.
        let text = change.write(&papers).unwrap();
        for (what, edited) in [
            ("edited", text.replace("takes out bank-cc", "takes out police-bb")),
            ("edited", text.replace("Charter version: 5", "Charter version: 6")),
            ("whole block", text[..text.len() / 2].to_owned()),
            ("whole block", String::new()),
        ] {
            let why = Change::read(&edited, &papers).unwrap_err().to_string();
            assert!(why.contains(what), "{what}: {why}");
        }
        // No changed byte passes for what was signed.
        let bytes = codec::encode(&change);
        for at in 0..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1;
            let read = codec::decode::<Change, LIMIT>(&bytes).ok().map(|change| change.hold(&papers));
            assert!(!matches!(read, Some(Ok(_))), "byte {at}");
        }
    }

    #[test]
    fn an_org_signs_no_two_changes_of_one_version() {
        let (papers, roots) = handed_over();
        let checked = papers.check().unwrap();
        let first = begun(&papers, &checked.without("bank-cc", 9).unwrap(), &roots[0]);
        let next = checked.with_stewards(&names(&["bank-cc"]), false, 9).unwrap();
        let mut second = begun(&papers, &next, &roots[0]);
        let why = second.beside(&first, &papers).unwrap_err().to_string();
        assert!(why.contains("takes out bank-cc") && why.contains("--instead"), "{why}");
        assert!(second.beside(&second.clone(), &papers).is_ok());
        // What another change overtook stands in nobody's way.
        second.sign(&checked, &roots[1]).unwrap();
        let after = second.apply(&papers).unwrap();
        let third = begun(&after, &after.check().unwrap().without("bank-cc", 10).unwrap(), &roots[0]);
        assert!(third.beside(&first, &after).is_ok());
        assert!(matches!(third.clone().merge(&first), Err(ChangeError::Different)));
    }

    #[test]
    fn all_that_a_charter_changes_is_said() {
        let (papers, _) = three();
        let checked = papers.check().unwrap();
        let before = checked.charter.clone();
        let said =
            |next: &Charter| Change::new(checked.mesh, next, Vec::new()).does(&checked, next).join("; ");
        assert!(said(&before).contains("nothing but the version"));
        type Edit = (&'static str, fn(&mut OrgEntry));
        let edits: [Edit; 13] = [
            ("kind `police` instead of `csirt`", |org| org.kind = OrgKind::Police.code()),
            ("kind `77 07` instead of", |org| {
                org.kind = tocsin_record::marking::Code { kind: 77, value: vec![7] }
            }),
            ("country `BB`", |org| org.country = *b"BB"),
            ("regimes `gdpr`", |org| org.regimes.push("gdpr".into())),
            ("networks `192.0.2.0/24`", |org| org.constituency.networks.push("192.0.2.0/24".into())),
            ("AS numbers `AS64500`", |org| org.constituency.asns.push(64500)),
            ("domains `cc.example`", |org| org.constituency.suffixes.push("cc.example".into())),
            ("desk `night`", |org| org.contact.desk = "night".into()),
            ("phone `+1`", |org| org.contact.phone = "+1".into()),
            ("addresses nothing instead of", |org| org.addresses.clear()),
            ("quota `7`", |org| org.quota = 7),
            ("roles `observer`", |org| org.roles.push("observer".into())),
            ("a steward", |org| org.roles.push("steward".into())),
        ];
        for (fits, edit) in edits {
            let mut next = before.clone();
            let org = next.orgs.iter_mut().find(|org| org.name == "bank-cc").unwrap();
            edit(org);
            let said = said(&next);
            assert!(said.contains("bank-cc") && said.contains(fits), "{fits}: {said}");
        }
        let mut two = before.clone();
        two.orgs[0].regimes = names(&["a, b"]);
        let mut one = checked.clone();
        one.charter.orgs[0].regimes = names(&["a", "b"]);
        let form = Change::new(checked.mesh, &two, Vec::new()).does(&one, &two).join("; ");
        assert!(form.contains("another form"), "{form}");
        for (fits, next) in [
            ("name `king`", Charter { name: "king".into(), ..before.clone() }),
            ("end (ms) `9`", Charter { expires: 9, ..before.clone() }),
            ("history (ms) `9`", Charter { history: 9, ..before.clone() }),
            ("extension `09`", Charter { extension: vec![9], ..before.clone() }),
        ] {
            assert!(said(&next).contains(fits), "{fits}: {}", said(&next));
        }
    }
}
