//! What peers may make this node keep in memory, in one place. Each bound is by org, so that neither further links nor
//! further nodes are further room; `tests/memory.rs` holds the sum with 512 links of 8 orgs.
//!
//! | what | a node | an org | bytes each | an org in all |
//! | --- | --- | --- | --- | --- |
//! | names of logs, in sessions | [`NAMES_LEAST`] + 2 x logs with records, over its links | [`NODES_OF_ORG`] times that | 120 | 2 MB + 960 B a log |
//! | logs that hold nothing | | [`EMPTY_OF_ORG`] | 600, and 200 on the disk | 0.6 MB |
//! | heads | | [`HEADS_OF_ORG`] | 250 | 1 MB |
//! | receipts for logs of others | | [`RECEIPTS_OF_ORG`] | 250 | 1 MB |
//! | receipts for this node's logs | one a log | 64 nodes | 200 | |
//! | what they said of each record | one a record, on the disk | 64 nodes | 10 | |
//! | bodies announced | 8,192 a link | 16,384 | 150 | 2.5 MB |
//! | runs that wait for others | 1 MiB a link | 16 MiB of all orgs | | |
//! | proposals for circles, kept | | 64, of 512 KiB | | 0.5 MB, 4 MiB of all orgs |
//! | budget | one | one | 100 | |
//!
//! So an org may hold about 7 MB here, and 1 KB more for each log that has records. Beside that a link has this side's
//! number (170 B) for each log and each head that it was told of, and what was told and heard of each log (40 B).

/// Names that every node may give, however little is known here.
pub const NAMES_LEAST: usize = 4096;
/// The names of so many nodes an org may have here: those of further nodes share them.
pub(crate) const NODES_OF_ORG: usize = 4;
/// Most logs without a record that are known by the word of one org's nodes.
pub(crate) const EMPTY_OF_ORG: usize = 1024;
/// Most heads of nodes of one org: a node has one in each of its circles.
pub(crate) const HEADS_OF_ORG: usize = 4096;
/// Most receipts of nodes of one org for logs of other nodes than this one. That for the log which was known first gives
/// way.
pub(crate) const RECEIPTS_OF_ORG: usize = 4096;
/// A log may be said to go on so far behind what is held before it is fetched as pages: what is nearer is grafted, and
/// bodies announced of it are remembered.
pub(crate) const GAP_MAX: u64 = 256;
