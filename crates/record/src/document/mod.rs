//! Documents: who is in a mesh or circle, which keys are an org's, and what was revoked.
//!
//! A document is exact bytes with signatures over their hash. It is valid from any hand: control records, lobby,
//! invitation and file are only ways it travels. Versions step by one and name the hash of the one before; a version
//! counts when more than half of the stewards of the one before and of its own signed it. Documents are replaced,
//! never merged.

mod certificate;
mod charter;
mod revocations;
mod roster;

pub use certificate::{Branch, Certificate, CertifiedKey, Purpose};
pub use charter::{Charter, Constituency, Contact, ORGS_MAX, OrgEntry, OrgKind, is_name};
pub use revocations::{Cut, Revocations, Revoked};
pub use roster::{Carry, Roster};

use std::collections::BTreeSet;

use bincode::{BorrowDecode, Decode, Encode};

use crate::codec::{self, CodecError};
use crate::id::{self, DocHash};
use crate::keys::{Public, Secret, Signature};

/// Longest document, in bytes: 256 for each org of the largest charter.
pub const DOCUMENT_MAX: usize = 1 << 20;
/// Most signatures under a document, each verified: 50 ms of work.
pub const SIGNATURES_MAX: usize = 1024;
/// What decoding a document may take in memory, in bytes: texts and lists are wider there than on the wire.
const LIMIT: usize = 8 * DOCUMENT_MAX;

/// What a document is. Appended to, never reordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum Form {
    /// The roster of the mesh itself.
    Charter,
    /// A circle's roster.
    Roster,
    /// An org's word on the keys of one node.
    Certificate,
    /// What was taken out of force.
    Revocations,
}

/// A document's exact bytes with what was signed over them.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Signed {
    /// What the bytes are.
    pub form: Form,
    /// The document, in its one encoding.
    pub bytes: Vec<u8>,
    /// Signing keys with their signatures over [`Signed::hash`], in order of key.
    pub signatures: Vec<([u8; 32], Signature)>,
}

/// Why a document does not count.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// It does not parse.
    #[error("the {0:?} {1}")]
    Codec(Form, #[source] CodecError),
    /// Another document was expected.
    #[error("expected a {expected:?}, found a {found:?}")]
    Form {
        /// What was expected.
        expected: Form,
        /// What it is.
        found: Form,
    },
    /// Over a bound.
    #[error("the {0:?}: `{1}` is out of bounds")]
    Bounds(Form, &'static str),
    /// Too few of those who must sign did.
    #[error("the {form:?} has {found} of the {needed} signatures that it needs")]
    Signatures {
        /// Which document.
        form: Form,
        /// Valid signatures of those who count.
        found: usize,
        /// How many are needed.
        needed: usize,
    },
    /// It does not follow the one it replaces.
    #[error("version {found} of the {form:?} does not follow version {known}")]
    Follows {
        /// Which document.
        form: Form,
        /// Version in force.
        known: u32,
        /// Version offered.
        found: u32,
    },
    /// It belongs to another mesh, circle or org.
    #[error("the {0:?} belongs to another {1}")]
    Elsewhere(Form, &'static str),
}

/// A kind of document: what every one of them can say of itself.
pub trait Document: Encode + for<'a> BorrowDecode<'a, ()> {
    /// The kind's number, which stands before each document and in what is signed.
    const FORM: Form;

    /// Bounds that its encoding alone does not keep.
    ///
    /// # Errors
    /// The name of the field that is out of bounds.
    fn check(&self) -> Result<(), &'static str>;
}

impl Signed {
    /// Writes and signs a document.
    #[must_use]
    pub fn sign<D: Document>(document: &D, signers: &[&Secret]) -> Self {
        let mut signed = Self { form: D::FORM, bytes: codec::encode(document), signatures: Vec::new() };
        for signer in signers {
            signed.add_signature(signer);
        }
        signed
    }

    /// Adds one more signature.
    pub fn add_signature(&mut self, signer: &Secret) {
        let key = signer.public();
        let signature = signer.sign(&self.hash().0);
        self.signatures.retain(|(other, _)| *other != key);
        let at = self.signatures.partition_point(|(other, _)| *other < key);
        self.signatures.insert(at, (key, signature));
    }

    /// Hash of form and bytes: what is signed, and what the next version names.
    #[must_use]
    pub fn hash(&self) -> DocHash {
        DocHash(id::hash(id::DOCUMENT, &[&[self.form as u8], &self.bytes]))
    }

    /// Reads the document. Its signatures are another matter: see [`Signed::require`].
    ///
    /// # Errors
    /// When it is of another form, does not parse, or is out of bounds.
    pub fn read<D: Document>(&self) -> Result<D, DocumentError> {
        if self.form != D::FORM {
            return Err(DocumentError::Form { expected: D::FORM, found: self.form });
        }
        if self.bytes.len() > DOCUMENT_MAX {
            return Err(DocumentError::Bounds(D::FORM, "length"));
        }
        if self.signatures.len() > SIGNATURES_MAX {
            return Err(DocumentError::Bounds(D::FORM, "signatures"));
        }
        let document: D =
            codec::decode::<D, LIMIT>(&self.bytes).map_err(|error| DocumentError::Codec(D::FORM, error))?;
        document.check().map_err(|field| DocumentError::Bounds(D::FORM, field))?;
        Ok(document)
    }

    /// Requires valid signatures of at least `needed` different ones of `signers`.
    ///
    /// # Errors
    /// When there are fewer.
    pub fn require(&self, signers: &BTreeSet<[u8; 32]>, needed: usize) -> Result<(), DocumentError> {
        let hash = self.hash();
        let mut valid = BTreeSet::new();
        for (key, signature) in self.signatures.iter().take(SIGNATURES_MAX) {
            let counts = signers.contains(key) && !valid.contains(key);
            if counts && Public::new(key).is_ok_and(|public| public.verify(&hash.0, signature).is_ok()) {
                valid.insert(*key);
            }
        }
        let found = valid.len();
        if found >= needed.max(1) {
            Ok(())
        } else {
            Err(DocumentError::Signatures { form: self.form, found, needed })
        }
    }

    /// The signatures that hold, of whomever, in order of key and each key once.
    pub fn valid_signatures(&self) -> impl Iterator<Item = ([u8; 32], Signature)> {
        let hash = self.hash();
        let mut before: Option<[u8; 32]> = None;
        self.signatures.iter().take(SIGNATURES_MAX).copied().filter(move |(key, signature)| {
            let is_next = before.is_none_or(|before| before < *key);
            let holds =
                is_next && Public::new(key).is_ok_and(|public| public.verify(&hash.0, signature).is_ok());
            if holds {
                before = Some(*key);
            }
            holds
        })
    }

    /// Requires more than half of `stewards`; of none, nobody can change anything.
    ///
    /// # Errors
    /// When fewer signed.
    pub(crate) fn require_majority(&self, stewards: &BTreeSet<[u8; 32]>) -> Result<(), DocumentError> {
        self.require(stewards, stewards.len() / 2 + 1)
    }
}

/// The encoded form of several documents, for invitations and frames.
#[must_use]
pub fn encode_all(documents: &[Signed]) -> Vec<u8> {
    codec::encode(&documents.to_vec())
}

/// Reads what [`encode_all`] wrote.
///
/// # Errors
/// When it does not parse; nothing in it has been checked yet.
pub fn decode_all(bytes: &[u8]) -> Result<Vec<Signed>, CodecError> {
    codec::decode::<Vec<Signed>, { 32 * DOCUMENT_MAX }>(bytes)
}
