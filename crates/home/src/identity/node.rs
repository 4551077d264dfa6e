//! A second machine of an org: it makes its own keys, asks for a certificate by a file without a secret, and gets back all that
//! it needs to run.
//!
//! ```text
//! new machine:  keys, certificate signed by them -> REQUEST      where the root is:  REQUEST + root's signature -> ANSWER
//! new machine:  ANSWER -> card and documents in its home
//! ```

use bincode::{Decode, Encode};
use tocsin_record::codec::{self, CodecError};
use tocsin_record::document::{Certificate, DocumentError, Signed};
use tocsin_record::id::{OrgId, fingerprint};
use tocsin_record::keys::Secret;

use super::armor::{self, ArmorError};
use super::card::{Card, CardError};
use super::papers::{Checked, Papers, PapersError};

const REQUEST: &str = "TOCSIN NODE REQUEST";
const ANSWER: &str = "TOCSIN NODE";
/// What decoding a request may take in memory, in bytes; and an answer.
const REQUEST_LIMIT: usize = 1 << 20;
const ANSWER_LIMIT: usize = 256 << 20;
/// Most addresses of one node.
const ADDRESSES_MAX: usize = 32;

/// A machine asks its org to certify its keys.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct NodeRequest {
    /// The org.
    pub org: OrgId,
    /// The certificate, signed by the node's own keys, which shows that they are its own.
    pub certificate: Signed,
    /// Where it is reached, with its peer id.
    pub addresses: Vec<String>,
}

/// What it gets: the org's card with its certificate on it, and the documents of the mesh.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct NodeAnswer {
    /// The org's new card.
    pub card: Card,
    /// The mesh's documents.
    pub papers: Papers,
}

/// A request or an answer was refused.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// Not such a file at all.
    #[error(transparent)]
    Armor(#[from] ArmorError),
    /// The bytes do not parse.
    #[error("it {0}")]
    Codec(#[from] CodecError),
    /// The certificate does not hold.
    #[error("the certificate in it does not hold, or is not signed by its own keys: {0}")]
    Document(#[from] DocumentError),
    /// The card does not hold.
    #[error(transparent)]
    Card(#[from] CardError),
    /// The documents do not hold.
    #[error("the mesh's documents in it do not hold: {0}")]
    Papers(#[from] PapersError),
    /// It is for another org.
    #[error("it is for the org with fingerprint {0}, and not for this one")]
    Stranger(String),
    /// Too much of it.
    #[error("it names too many addresses")]
    Addresses,
    /// Two nodes of one name.
    #[error("the org has another node named `{0}` already: make the new one under another name, --node NAME")]
    NameTaken(String),
    /// The org is not in that mesh.
    #[error("the charter in it does not have this org: ask a steward to add its card first")]
    NotMember,
}

impl NodeRequest {
    /// Reads a request.
    ///
    /// # Errors
    /// [`NodeError`].
    pub fn read(text: &str) -> Result<Self, NodeError> {
        let request = codec::decode::<Self, REQUEST_LIMIT>(&armor::read(REQUEST, text)?)?;
        let certificate: Certificate = request.certificate.read()?;
        if certificate.org != request.org {
            return Err(NodeError::Stranger(fingerprint(&certificate.org.0)));
        }
        if request.addresses.len() > ADDRESSES_MAX {
            return Err(NodeError::Addresses);
        }
        armor::check(text, &request.lines(&certificate))?;
        Ok(request)
    }

    /// As text; it holds no secret.
    ///
    /// # Errors
    /// When the certificate does not read.
    pub fn write(&self) -> Result<String, NodeError> {
        Ok(armor::write(REQUEST, &self.lines(&self.certificate.read()?), &codec::encode(self)))
    }

    fn lines(&self, certificate: &Certificate) -> Vec<(&'static str, String)> {
        let mut lines = vec![
            ("Node", certificate.node.clone()),
            ("Fingerprint", fingerprint(&certificate.node_key().0)),
            ("Org fingerprint", fingerprint(&self.org.0)),
        ];
        lines.extend(self.addresses.iter().map(|address| ("Address", address.clone())));
        lines
    }

    /// The org's card with the node on it, signed by its root.
    ///
    /// # Errors
    /// [`NodeError`].
    pub fn certify(&self, card: &Card, root: &Secret) -> Result<Card, NodeError> {
        if self.org != card.entry.root {
            return Err(NodeError::Stranger(fingerprint(&self.org.0)));
        }
        let mut signed = self.certificate.clone();
        signed.add_signature(root);
        let certificate = Certificate::open(&signed)?;
        let known = card.certificates.iter().filter_map(|signed| signed.read::<Certificate>().ok());
        let taken = |known: &Certificate| {
            known.node == certificate.node && known.node_key() != certificate.node_key()
        };
        if known.into_iter().any(|known| taken(&known)) {
            return Err(NodeError::NameTaken(certificate.node));
        }
        let mut entry = card.entry.clone();
        for address in &self.addresses {
            if !entry.addresses.contains(address) {
                entry.addresses.push(address.clone());
            }
        }
        let is_other = |signed: &&Signed| {
            signed.read::<Certificate>().is_ok_and(|known| known.node_key() != certificate.node_key())
        };
        let mut certificates: Vec<Signed> = card.certificates.iter().filter(is_other).cloned().collect();
        certificates.push(signed);
        Ok(Card::decode(&Card::sign(entry, certificates, root)?.encode())?)
    }
}

impl NodeAnswer {
    /// Reads an answer and checks all of it.
    ///
    /// # Errors
    /// [`NodeError`].
    pub fn read(text: &str) -> Result<(Self, Checked), NodeError> {
        let answer = codec::decode::<Self, ANSWER_LIMIT>(&armor::read(ANSWER, text)?)?;
        let card = Card::decode(&answer.card.encode())?;
        let checked = answer.papers.check()?;
        if checked.charter.org(card.entry.root).is_none() {
            return Err(NodeError::NotMember);
        }
        armor::check(text, &answer.lines(&checked))?;
        Ok((answer, checked))
    }

    /// As text; it holds no secret.
    #[must_use]
    pub fn write(&self, checked: &Checked) -> String {
        armor::write(ANSWER, &self.lines(checked), &codec::encode(self))
    }

    fn lines(&self, checked: &Checked) -> Vec<(&'static str, String)> {
        vec![
            ("Org", self.card.entry.name.clone()),
            ("Org fingerprint", fingerprint(&self.card.entry.root.0)),
            ("Mesh", checked.charter.name.clone()),
            ("Mesh fingerprint", fingerprint(&checked.mesh.0)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::super::card::tests::sample;
    use super::*;

    /// A request for the org of a card, of a node whose keys come of a seed.
    fn request(card: &Card, node: &str, seed: u8) -> NodeRequest {
        let (_, other) = sample("other", seed);
        let mut certificate: Certificate = other.certificates[0].read().unwrap();
        certificate.org = card.entry.root;
        certificate.node = node.to_owned();
        let keys = [seed + 1, seed + 2].map(|seed| Secret::from_seed(&[seed; 32]));
        NodeRequest {
            org: card.entry.root,
            certificate: Signed::sign(&certificate, &[&keys[0], &keys[1]]),
            addresses: vec!["/ip4/192.0.2.7/tcp/7117".to_owned()],
        }
    }

    #[test]
    fn a_second_machine_is_certified_by_its_org_alone() {
        let (root, card) = sample("cert-aa", 10);
        let asked = request(&card, "two", 50);
        let read = NodeRequest::read(&asked.write().unwrap()).unwrap();
        assert_eq!(read, asked);
        let new = read.certify(&card, &root).unwrap();
        assert_eq!((new.certificates.len(), new.entry.addresses.len()), (2, 2));
        assert_eq!(read.certify(&new, &root).unwrap(), new, "twice is once");
        let papers =
            Papers::found("ring", [1; 32], new.entry.clone(), new.certificates.clone(), &root, 5).unwrap();
        let answer = NodeAnswer { card: new.clone(), papers };
        let text = answer.write(&answer.papers.check().unwrap());
        assert_eq!(NodeAnswer::read(&text).unwrap().0, answer);

        // Another org's, under a name that is taken, without its own keys' signatures, by another root.
        let (stranger, strange) = sample("spy-bb", 20);
        let refused = |request: &NodeRequest, root: &Secret| request.certify(&card, root).unwrap_err();
        assert!(matches!(refused(&request(&strange, "two", 50), &root), NodeError::Stranger(_)));
        assert!(matches!(refused(&request(&card, "one", 50), &root), NodeError::NameTaken(_)));
        assert!(matches!(refused(&asked, &stranger), NodeError::Document(_)));
        let mut bare = asked.clone();
        bare.certificate.signatures.remove(0);
        assert!(matches!(refused(&bare, &root), NodeError::Document(_)));
        // Texts that were edited, cut, or are another thing.
        let request = asked.write().unwrap();
        assert!(NodeRequest::read(&request.replace("Node: two", "Node: six")).is_err());
        assert!(
            NodeRequest::read(&request[..request.len() / 2]).is_err() && NodeRequest::read(&text).is_err()
        );
        assert!(NodeAnswer::read(&text.replace("Mesh: ring", "Mesh: king")).is_err());
        let outside = Papers::found("x", [1; 32], strange.entry, strange.certificates, &stranger, 5).unwrap();
        let outside = NodeAnswer { papers: outside, ..answer };
        let text = outside.write(&outside.papers.check().unwrap());
        assert!(matches!(NodeAnswer::read(&text), Err(NodeError::NotMember)));
    }
}
