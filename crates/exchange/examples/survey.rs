//! Reads files and tells what was found in each: `cargo run -p tocsin-exchange --example survey -- FILE...`

use tocsin_exchange::{FileInfo, Profile, import};
use tocsin_record::OrgId;

/// How many of what was left out are shown of each file.
const SHOWN: usize = 4;

fn main() {
    for path in std::env::args().skip(1) {
        let name = path.rsplit('/').next().unwrap_or(&path).to_owned();
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) => {
                println!("{path}: {error}");
                continue;
            }
        };
        let profile = Profile::default();
        let file = FileInfo { name: &name, source: "survey", org: OrgId([1; 32]), profile: &profile };
        match import(&bytes, &file) {
            Err(error) => println!("{name}: refused: {error}"),
            Ok(found) => {
                let counts = found.counts;
                let first = found.reports.first();
                println!(
                    "{name}: {} {} reports, {counts:?} tlp {:?} `{}` context {:?}",
                    found.format,
                    found.reports.len(),
                    first.and_then(|report| report.marking.tlp),
                    first.map_or("", |report| &report.title),
                    found.context,
                );
                for skipped in found.skipped.iter().take(SHOWN) {
                    println!("    {:?} {} `{}` {}", skipped.line, skipped.path, skipped.value, skipped.why);
                }
                for noted in found.noted.iter().take(SHOWN) {
                    println!("    noted {:?} {} `{}` {}", noted.line, noted.path, noted.value, noted.why);
                }
            }
        }
    }
}
