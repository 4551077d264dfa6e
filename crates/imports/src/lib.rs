//! What imports make of files: generated ones, in any order and again, into a running node, with oracles that know what the
//! files say and ask neither their reader nor the service.
//!
//! ```text
//! seed -> Story: files, order --Importer--> node --links--> partner
//!            |                                |                |
//!            '--> Truth -----------> oracles: marking, newest  '--> marking, newest
//! ```
//!
//! For each oracle a bug can be planted that it has to notice (`tocsin_record::planted`, `scripts/planted`). It is a crate of
//! its own, and not the simulator's, since an import goes through the socket, the disk and the links of a node, of which the
//! core has none.

pub mod labels;
pub mod nodes;
pub mod oracle;
pub mod run;
pub mod story;
pub mod truth;
pub mod written;
