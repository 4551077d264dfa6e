//! How fast the index is: `cargo run --release -p tocsin-matcher --example throughput [MILLIONS]`.

#![allow(clippy::disallowed_methods, reason = "a measurement asks the clock; the crate itself may not")]

use std::hint::black_box;
use std::time::Instant;

use tocsin_matcher::Matcher;
use tocsin_record::observable::{Observable, kind};

fn row(name: &str, count: usize, work: impl FnOnce()) {
    let start = Instant::now();
    work();
    let seconds = start.elapsed().as_secs_f64();
    println!("{name:<44} {:>8.2} M/s", count as f64 / seconds / 1e6);
}

fn ip(number: usize) -> Observable {
    // Odd times anything is a permutation: distinct addresses that look random.
    let bits = (number as u32).wrapping_mul(0x9e37_79b1);
    Observable { kind: kind::IPV4, value: bits.to_be_bytes().to_vec() }
}

fn domain(number: usize) -> Observable {
    let text = format!("host{}.name{}.com", number % 10, number / 10);
    Observable { kind: kind::DOMAIN, value: text.into_bytes() }
}

fn fill(name: &str, all: &[Observable]) -> Matcher {
    let mut index = Matcher::new(&[7; 16]);
    row(&format!("insert {name}"), all.len(), || {
        for (posting, what) in all.iter().enumerate() {
            index.insert(what.borrowed(), posting as u64);
        }
    });
    println!("{:<44} {:>8.1} B an indicator", "", index.bytes() as f64 / index.len() as f64);
    index
}

fn main() {
    let millions = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(1);
    let count = millions * 1_000_000;
    for (name, make) in [("addresses", ip as fn(usize) -> Observable), ("domains", domain)] {
        let all: Vec<_> = (0..2 * count).map(make).collect();
        let (listed, others) = all.split_at(count);
        let mut index = fill(name, listed);
        row(&format!("hits {name}"), count, || {
            assert!(listed.iter().all(|what| !black_box(index.lookup(what.borrowed())).is_empty()));
        });
        row(&format!("misses {name}"), count, || {
            assert!(!others.iter().any(|what| black_box(index.knows(what.borrowed()))));
        });
        for prefix in [16, 20, 22, 23, 24, 28] {
            let network = Observable::parse("ipv4-net", &format!("198.18.0.0/{prefix}"));
            index.insert(network.expect("a network").borrowed(), 1);
        }
        row(&format!("misses {name}, networks of 6 lengths listed"), count, || {
            black_box(others.iter().filter(|what| index.knows(what.borrowed())).count());
        });
        row(&format!("remove {name}"), count, || {
            for (posting, what) in listed.iter().enumerate() {
                assert!(index.remove(what.borrowed(), posting as u64));
            }
        });
    }
    let mut index = Matcher::new(&[7; 16]);
    let one = domain(1);
    row("insert one domain with as many postings", count, || {
        for posting in 0..count {
            index.insert(one.borrowed(), posting as u64);
        }
    });
}
