//! A card: how an org introduces itself. It holds the org's entry as it wants to stand in a charter and the
//! certificates of its nodes, all under its root's signature, and no secret.

use bincode::{Decode, Encode};
use tocsin_record::codec::{self, CodecError};
use tocsin_record::document::{Certificate, DocumentError, OrgEntry, Signed};
use tocsin_record::id::{self, fingerprint};
use tocsin_record::keys::{self, Secret, Signature, VerifyError};

use super::armor::{self, ArmorError};

const LABEL: &str = "TOCSIN CARD";
/// What decoding may take in memory, in bytes.
const LIMIT: usize = 16 << 20;
/// Most nodes of one org on a card.
const NODES_MAX: usize = 64;

/// An org's introduction, checked: its root signed all of it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Card {
    /// The org as it wants to stand in the charter.
    pub entry: OrgEntry,
    /// Certificates of its nodes.
    pub certificates: Vec<Signed>,
    signature: Signature,
}

/// A card was refused.
#[derive(Debug, thiserror::Error)]
pub enum CardError {
    /// Not a card at all.
    #[error(transparent)]
    Armor(#[from] ArmorError),
    /// The bytes do not parse.
    #[error("the card {0}")]
    Codec(#[from] CodecError),
    /// A field out of bounds.
    #[error("the card's `{0}` is out of bounds")]
    Field(&'static str),
    /// The signature over the whole is not the root's.
    #[error("the card is not signed by the root key it names: {0}")]
    Signature(#[from] VerifyError),
    /// A certificate in it does not hold.
    #[error("a certificate on the card does not hold: {0}")]
    Certificate(#[from] DocumentError),
    /// A certificate of somebody else.
    #[error("a certificate on the card is another org's")]
    Stranger,
}

impl Card {
    /// Writes and signs a card.
    ///
    /// # Errors
    /// [`CardError::Field`] with the field of the entry that is out of bounds.
    pub fn sign(entry: OrgEntry, certificates: Vec<Signed>, root: &Secret) -> Result<Self, CardError> {
        entry.check().map_err(CardError::Field)?;
        let signature = root.sign(&hash(&entry, &certificates));
        Ok(Self { entry, certificates, signature })
    }

    /// Reads a card from its text and checks all of it.
    ///
    /// # Errors
    /// [`CardError`].
    pub fn read(text: &str) -> Result<Self, CardError> {
        let card = Self::decode(&armor::read(LABEL, text)?)?;
        armor::check(text, &card.lines())?;
        Ok(card)
    }

    /// Reads a card from its bytes and checks all of it.
    ///
    /// # Errors
    /// [`CardError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, CardError> {
        let card: Self = codec::decode::<Self, LIMIT>(bytes)?;
        card.entry.check().map_err(CardError::Field)?;
        if card.certificates.is_empty() || card.certificates.len() > NODES_MAX {
            return Err(CardError::Field("certificates"));
        }
        keys::verify(&card.entry.root.0, &hash(&card.entry, &card.certificates), &card.signature)?;
        for certificate in &card.certificates {
            if Certificate::open(certificate)?.org != card.entry.root {
                return Err(CardError::Stranger);
            }
        }
        Ok(card)
    }

    /// The exact bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// As text, to be sent by any way; the fingerprint is to be compared by another.
    #[must_use]
    pub fn write(&self) -> String {
        armor::write(LABEL, &self.lines(), &self.encode())
    }

    fn lines(&self) -> Vec<(&'static str, String)> {
        let mut lines = vec![
            ("Org", self.entry.name.clone()),
            ("Kind", self.entry.kind_name().to_owned()),
            ("Country", self.entry.country_code().to_owned()),
            ("Fingerprint", fingerprint(&self.entry.root.0)),
        ];
        for certificate in self.certificates.iter().filter_map(|signed| signed.read::<Certificate>().ok()) {
            lines.push(("Node", format!("{} {}", certificate.node, fingerprint(&certificate.node_key().0))));
        }
        for address in &self.entry.addresses {
            lines.push(("Address", address.clone()));
        }
        lines
    }
}

fn hash(entry: &OrgEntry, certificates: &[Signed]) -> [u8; 32] {
    let bytes = codec::encode(&(entry.clone(), certificates.to_vec()));
    id::hash(id::DOCUMENT, &[b"card", &bytes])
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use tocsin_record::document::{CertifiedKey, Constituency, Contact, OrgKind, Purpose};
    use tocsin_record::id::OrgId;

    pub(crate) fn sample(name: &str, seed: u8) -> (Secret, Card) {
        let root = Secret::from_seed(&[seed; 32]);
        let key = |purpose: Purpose, seed: u8| CertifiedKey {
            purpose: purpose as u16,
            suite: 0,
            bytes: Secret::from_seed(&[seed; 32]).public().to_vec(),
            from: 0,
            until: 0,
        };
        let certificate = Certificate {
            org: OrgId(root.public()),
            node: "one".to_owned(),
            version: 1,
            time: 1,
            keys: vec![key(Purpose::Record, seed + 1), key(Purpose::Transport, seed + 2)],
            branches: Vec::new(),
            extension: Vec::new(),
        };
        let entry = OrgEntry {
            root: OrgId(root.public()),
            name: name.to_owned(),
            kind: OrgKind::Csirt.code(),
            country: *b"AA",
            regimes: Vec::new(),
            constituency: Constituency::default(),
            contact: Contact::default(),
            addresses: vec!["/ip4/192.0.2.1/tcp/7117".to_owned()],
            quota: 0,
            roles: Vec::new(),
        };
        let signers = [seed + 1, seed + 2].map(|seed| Secret::from_seed(&[seed; 32]));
        let certificate = Signed::sign(&certificate, &[&root, &signers[0], &signers[1]]);
        let card = Card::sign(entry, vec![certificate], &root).unwrap();
        (root, card)
    }

    #[test]
    fn a_card_travels_as_text() {
        let (_, card) = sample("cert-aa", 10);
        let text = card.write();
        assert!(text.starts_with("Org: cert-aa\nKind: csirt\nCountry: AA\nFingerprint: "));
        assert_eq!(Card::read(&text).unwrap(), card);
        assert_eq!(Card::read(&text.replace('\n', "\r\n")).unwrap(), card);
        assert_eq!(Card::read(&format!("Hello, here is our card.\n\n{text}")).unwrap(), card);
    }

    #[test]
    fn an_edited_card_is_refused() {
        let (_, card) = sample("cert-aa", 10);
        let text = card.write();
        let edited = text.replace("Country: AA", "Country: BB");
        assert!(matches!(Card::read(&edited), Err(CardError::Armor(ArmorError::Edited(_)))));
        let mut other = card.clone();
        other.entry.name = "cert-bb".to_owned();
        assert!(matches!(Card::decode(&other.encode()), Err(CardError::Signature(_))));
        let (_, stranger) = sample("cert-cc", 20);
        let (root, _) = sample("cert-aa", 10);
        let mixed = Card::sign(card.entry.clone(), stranger.certificates, &root).unwrap();
        assert!(matches!(Card::decode(&mixed.encode()), Err(CardError::Stranger)));
        let bytes = card.encode();
        for len in 0..bytes.len() {
            assert!(Card::decode(&bytes[..len]).is_err());
        }
        assert!(Card::read(&text[..text.len() / 2]).is_err());
    }
}
