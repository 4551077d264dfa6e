//! The prefix lengths of listed networks: a lookup probes one network for each length in use.
//!
//! Feeds list networks of a dozen lengths, so that is a dozen probes, and listing a network costs no more than
//! listing an address; an interval tree would be faster to ask and dearer to change.

use tocsin_record::observable::ObservableRef;

/// How many listed networks there are of each prefix length, for addresses of `N` bytes.
#[derive(Clone)]
pub(crate) struct Lengths<const N: usize> {
    /// The type of these networks.
    kind: u16,
    /// Postings by prefix length, `N * 8 + 1` of them.
    counts: Vec<usize>,
    /// The lengths with a count, falling.
    used: Vec<u8>,
}

/// Bytes of the longest network value: an IPv6 address and a length.
const LONGEST: usize = 17;

impl<const N: usize> Lengths<N> {
    pub(crate) fn new(kind: u16) -> Self {
        Self { kind, counts: vec![0; N * 8 + 1], used: Vec::new() }
    }

    /// The count of a prefix length, if it is one of this family.
    fn count(&mut self, kind: u16, prefix: u8) -> Option<&mut usize> {
        self.counts.get_mut(usize::from(prefix)).filter(|_| kind == self.kind)
    }

    pub(crate) fn added(&mut self, kind: u16, prefix: u8) {
        let Some(count) = self.count(kind, prefix) else { return };
        *count += 1;
        if *count == 1 {
            let at = self.used.partition_point(|used| *used > prefix);
            self.used.insert(at, prefix);
        }
    }

    pub(crate) fn removed(&mut self, kind: u16, prefix: u8) {
        let Some(count) = self.count(kind, prefix) else { return };
        *count = count.saturating_sub(1);
        if *count == 0 {
            self.used.retain(|used| *used != prefix);
        }
    }

    /// Hands the networks of the used lengths that contain an address, or a network strictly, to `visit`, from
    /// narrow to wide, until it says that it is enough; whether it did.
    pub(crate) fn visit(&self, value: &[u8], visit: &mut dyn FnMut(ObservableRef<'_>) -> bool) -> bool {
        let (Some(address), own) = (value.get(..N), value.get(N).copied().unwrap_or(N as u8 * 8)) else {
            return false;
        };
        let mut buffer = [0; LONGEST];
        let network = &mut buffer[..=N];
        network[..N].copy_from_slice(address);
        // From narrow to wide, so bits are only ever cleared.
        self.used.iter().filter(|prefix| **prefix < own).any(|prefix| {
            clear_after(&mut network[..N], *prefix);
            network[N] = *prefix;
            visit(ObservableRef { kind: self.kind, value: network })
        })
    }
}

/// Zeroes all bits of an address after the first `prefix`.
fn clear_after(address: &mut [u8], prefix: u8) {
    let (whole, bits) = (usize::from(prefix / 8), prefix % 8);
    if let Some(byte) = address.get_mut(whole) {
        *byte &= !(0xff >> bits);
    }
    if let Some(rest) = address.get_mut(whole + 1..) {
        rest.fill(0);
    }
}
