//! The mesh in one process: hundreds of nodes on one virtual clock, each the product's own `Mesh` and `Store`, under
//! latency, loss, duplication, reordering, partitions, crashes, broken and restored disks, wrong clocks, changing
//! policies and members of circles, and liars, all drawn from one seed.
//!
//! ```text
//! seed -> Config, Cast, tables, faults, work
//!                |
//!              World: event heap --> Node (Mesh, FaultyKv, FaultySlots) --> links --> Node ...
//!                |                        |                                  |
//!              oracles: deterministic   durable, authentic               confined, removed, strangers, durable, erased,
//!                |                                                             contained, refused
//!                |--- at chance moments, between two commits: answers, sealed, kept, erased, contained, bounded
//!                |--- in calm runs, where nothing goes wrong but a liar beside everybody: alive
//!                \--- after healing: convergent, authentic, erased
//! ```
//!
//! For each oracle a bug can be planted that it has to notice (`tocsin_record::planted`, `scripts/planted`).

mod agenda;
pub mod bench;
pub mod cast;
mod changes;
pub mod config;
pub mod dice;
pub mod faults;
pub mod liar;
pub mod measure;
pub mod node;
pub mod oracle;
pub mod registry;
pub mod rules;
pub mod run;
mod step;
pub mod traffic;
mod witness;
pub mod workload;
pub mod world;
