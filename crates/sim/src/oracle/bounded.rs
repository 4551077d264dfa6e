//! Memory is bounded: whatever peers say, what a node remembers of it stays within what is stated here.

use tocsin_protocol::Sizes;

use super::{Scene, Violation};

const NAME: &str = "bounded";
/// Numbers without a name that are asked about on one link.
const UNNAMED: usize = 1024;
/// Logs without a record that one peer may talk of.
const EMPTY_LOGS: usize = 1024;
/// And of which an honest one talks: its own logs that it opened and did not write to yet.
const HONEST_LOGS: usize = 16;
/// Bodies that are remembered as announced.
const ANNOUNCED: usize = 100_000;
/// Bytes of runs that wait for the ones before them, of one link and of all.
const ORPHAN_BYTES: (usize, usize) = (1 << 20, 16 << 20);
/// Searches for forks.
const SEARCHES: usize = 1024;

/// What a node remembers now, with so many logs in its store and in so many circles.
///
/// # Errors
/// If it is more than it should be.
pub fn check(
    scene: &Scene<'_>,
    node: usize,
    sizes: &Sizes,
    logs: usize,
    circles: usize,
) -> Result<(), Violation> {
    let nodes = scene.cast.nodes.len();
    let liars = scene.cast.nodes.iter().filter(|node| node.liar).count();
    let Sizes { links, .. } = *sizes;
    let rows = [
        ("numbers without names", sizes.unnamed, links * UNNAMED),
        ("logs without records", sizes.empty_logs, liars * EMPTY_LOGS + nodes * HONEST_LOGS),
        ("announced bodies", sizes.announced, ANNOUNCED),
        ("logs that are behind", sizes.behind, logs),
        ("bytes of orphans", sizes.orphan_bytes, ORPHAN_BYTES.1.min(links * ORPHAN_BYTES.0)),
        ("searches for forks", sizes.searches, SEARCHES),
        ("heads", sizes.heads, nodes * circles),
        ("receipts", sizes.receipts, logs * nodes),
    ];
    match rows.into_iter().find(|(_, size, most)| size > most) {
        None => Ok(()),
        Some((name, size, most)) => {
            let what = format!("{} keeps {size} {name} of {links} links, at most {most}", scene.name(node));
            Err(scene.broken(NAME, what))
        }
    }
}
