//! Everything that reads bytes from outside, as functions that take any bytes: what must hold then is asserted.
//!
//! ```text
//! seeds (built here, files of seeds/, real files) --mutate--> target(bytes) --asserts--> panic = a finding
//! ```
//!
//! Two programs call them: `smoke` on stable Rust for seconds each, in `scripts/check`, and the `cargo fuzz` targets of
//! `fuzz/`, guided by coverage, for as long as one likes. To add a target: a function, a row of [`TARGETS`], a file
//! in `fuzz/fuzz_targets/`.

mod files;
mod frame;
pub mod mutate;
mod observable;
mod record;
mod seal;
pub mod seeds;

pub use files::{csv, list, misp, profile, stix};
pub use frame::frame;
pub use observable::observable;
pub use record::{backup, bundle, document, evidence, page, record};
pub use seal::seal;

/// One reader of bytes from outside.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Name on the command line, of its folder of seeds and of its `cargo fuzz` target.
    pub name: &'static str,
    /// Takes any bytes; panics when something that must hold does not.
    pub run: fn(&[u8]),
    /// Inputs that are made rather than kept as files.
    pub built: fn() -> Vec<Vec<u8>>,
    /// Folders of real files, below TOCSIN_DATA, that are inputs too.
    pub real: &'static [&'static str],
    /// Words that mutations put in.
    pub words: &'static [&'static str],
}

/// All targets.
pub static TARGETS: &[Target] = &[
    Target { name: "record", run: record, built: seeds::records, real: &[], words: &[] },
    Target { name: "page", run: page, built: seeds::pages, real: &[], words: &[] },
    Target { name: "seal", run: seal, built: seal::seals, real: &[], words: &[] },
    Target { name: "document", run: document, built: seeds::documents, real: &[], words: &[] },
    Target { name: "backup", run: backup, built: seeds::backups, real: &[], words: &[] },
    Target { name: "bundle", run: bundle, built: seeds::bundles, real: &[], words: &[] },
    Target { name: "evidence", run: evidence, built: seeds::evidence, real: &[], words: &[] },
    Target {
        name: "observable",
        run: observable,
        built: seeds::observables,
        real: &[],
        words: observable::WORDS,
    },
    Target { name: "frame", run: frame, built: seeds::frames, real: &[], words: &[] },
    Target { name: "stix", run: stix, built: Vec::new, real: &["stix21"], words: files::STIX_WORDS },
    Target {
        name: "misp",
        run: misp,
        built: Vec::new,
        real: &["misp-events", "misp-feed"],
        words: files::MISP_WORDS,
    },
    Target { name: "csv", run: csv, built: Vec::new, real: &["csv-lists"], words: files::TEXT_WORDS },
    Target { name: "list", run: list, built: Vec::new, real: &["csv-lists"], words: files::TEXT_WORDS },
    Target { name: "profile", run: profile, built: Vec::new, real: &[], words: &[] },
];
