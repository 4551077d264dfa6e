//! How much memory a large file takes to be read: makes one, reads it, deletes it, and tells the most that the process had.
//! `cargo run --release -p tocsin-exchange --example memory -- addresses|domains|csv|stix|FILE [MB]`

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::ops::ControlFlow;
use std::path::PathBuf;

use tocsin_exchange::{FileInfo, Profile, read};
use tocsin_record::OrgId;

fn main() -> std::io::Result<()> {
    let mut args = std::env::args().skip(1);
    let what = args.next().unwrap_or_else(|| "addresses".to_owned());
    let megabytes: u64 = args.next().and_then(|text| text.parse().ok()).unwrap_or(262);
    let made = matches!(&*what, "addresses" | "domains" | "csv" | "stix");
    let path = if made {
        std::env::temp_dir().join(format!("tocsin-memory-{}", std::process::id()))
    } else {
        PathBuf::from(&what)
    };
    if made {
        make(&path, &what, megabytes * 1_000_000)?;
    }
    let mut file = File::open(&path)?;
    if made {
        std::fs::remove_file(&path)?;
    }
    let profile = Profile::default();
    let info = FileInfo { name: "large", source: "memory", org: OrgId([1; 32]), profile: &profile };
    let before = status("VmRSS:");
    let mut longest = 0;
    let found = read(&mut file, &info, &mut |report, _| {
        longest = longest.max(report.indicators.len());
        ControlFlow::Continue(())
    });
    match found {
        Ok(found) => println!("{}: {:?}, at most {longest} in a report", found.format, found.counts),
        Err(error) => println!("refused: {error}"),
    }
    println!("memory: {before} before, {} at most, {} after", status("VmHWM:"), status("VmRSS:"));
    Ok(())
}

fn make(path: &std::path::Path, what: &str, bytes: u64) -> std::io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    let mut written = 0;
    let head: &[u8] = match what {
        "csv" => b"indicator,type,comment\n",
        "stix" => {
            b"{\"type\":\"bundle\",\"id\":\"bundle--00000000-0000-4000-8000-000000000001\",\"objects\":[\n"
        }
        _ => b"",
    };
    file.write_all(head)?;
    for n in 0_u32.. {
        // Spread over all addresses, none twice.
        let [a, b, c, d] = n.wrapping_mul(0x9e37_79b1).to_be_bytes();
        let line = match what {
            "domains" => format!("h{n}.site-{}.example\n", n % 1_000),
            "csv" => format!("{a}.{b}.{c}.{d},ip,seen on port {}\n", n % 65_536),
            "stix" => format!(
                "{}{{\"type\":\"indicator\",\"spec_version\":\"2.1\",\"id\":\"indicator--00000000-0000-4000-8000-{n:012}\",\"pattern_type\":\"stix\",\
                 \"pattern\":\"[ipv4-addr:value = '{a}.{b}.{c}.{d}']\",\"created\":\"2026-01-01T00:00:00Z\",\"modified\":\"2026-01-01T00:00:00Z\",\
                 \"valid_from\":\"2026-01-01T00:00:00Z\",\"indicator_types\":[\"malicious-activity\"]}}\n",
                if n == 0 { "" } else { "," }
            ),
            _ => format!("{a}.{b}.{c}.{d}\n"),
        };
        file.write_all(line.as_bytes())?;
        written += line.len() as u64;
        if written >= bytes {
            break;
        }
    }
    file.write_all(if what == "stix" { b"]}\n" } else { b"" })?;
    file.into_inner()?.sync_all()
}

/// A line of the process's own account of itself.
fn status(field: &str) -> String {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field)).unwrap_or("unknown");
    line.trim().to_owned()
}
