//! Documents in frames. They carry their own signatures, so it does not matter who hands them over.

use bincode::{Decode, Encode};
use tocsin_record::DocHash;
use tocsin_record::document::Signed;

/// Most documents in one message.
pub const DOCUMENTS_MAX: usize = 16;

/// Documents that the other lacks, at most 16, charters first and in order.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Documents(pub Vec<Signed>);

/// Hashes of the certificates, rosters and revocations in force here, at most 16,384, in order.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct DocumentList(pub Vec<DocHash>);
