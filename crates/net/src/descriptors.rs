//! File descriptors: what this process does when it runs out of them, so that its own people are still answered.
//!
//! The system gives the lowest free number to what is opened. So a connection whose number is at the end of what the
//! process may open is a sign that all below is taken; it is closed again, and the last numbers stay free for the socket
//! of this machine's users and for the store.

use std::error::Error;
use std::io;
use std::os::fd::AsRawFd;

use super::dial::chain;
use super::handshakes::Handshakes;

/// Descriptors that connections leave free; a quarter of all where that is less.
const KEPT_BACK: u32 = 32;
/// `EMFILE` and `ENFILE`, as Linux and the BSDs number them: the process, or the machine, has no descriptor left.
const NONE_LEFT: [i32; 2] = [24, 23];

/// The first number that connections leave free; `None` where the limit is not known.
pub(super) fn ceiling() -> Option<u32> {
    ceiling_of(&std::fs::read_to_string("/proc/self/limits").ok()?)
}

/// The same, from the text of Linux's `/proc/self/limits`.
fn ceiling_of(limits: &str) -> Option<u32> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    let most: u32 = line.split_whitespace().next()?.parse().ok()?;
    Some(most - KEPT_BACK.min(most / 4))
}

/// Refuses a descriptor beyond the ceiling.
pub(super) fn check(socket: &impl AsRawFd, ceiling: Option<u32>, handshakes: &Handshakes) -> io::Result<()> {
    let number = u32::try_from(socket.as_raw_fd()).unwrap_or(0);
    if ceiling.is_some_and(|ceiling| number >= ceiling) {
        let what = "all descriptors but those kept back are in use";
        handshakes.lack(what.to_owned());
        return Err(io::Error::other(what));
    }
    Ok(())
}

/// Counts a listener's error.
pub(super) fn note(handshakes: &Handshakes, error: &(dyn Error + 'static)) {
    if os_error(error).is_some_and(|code| NONE_LEFT.contains(&code)) {
        handshakes.lack(chain(error));
    } else {
        handshakes.fault(chain(error));
    }
}

/// What the system said, below all that libp2p wrapped it in.
fn os_error(error: &(dyn Error + 'static)) -> Option<i32> {
    let mut next = Some(error);
    while let Some(error) = next {
        next = match error.downcast_ref::<io::Error>() {
            Some(error) if error.raw_os_error().is_some() => return error.raw_os_error(),
            // `source` of such an error is that of what it holds, not what it holds.
            Some(error) => error.get_ref().map(|inner| inner as &(dyn Error + 'static)),
            None => error.source(),
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use libp2p::TransportError;
    use libp2p::core::transport::timeout::TransportTimeoutError;

    use super::*;

    #[test]
    fn the_limit_is_read_and_a_part_kept_back() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
                      Max processes             127233               127233               processes \n\
                      Max open files            1024                 524288               files     \n";
        assert_eq!(ceiling_of(limits), Some(992));
        assert_eq!(ceiling_of(&limits.replace("1024  ", "64    ")), Some(48));
        assert_eq!(ceiling_of(&limits.replace("1024     ", "unlimited")), None);
        assert_eq!(ceiling_of(""), None);
        #[cfg(target_os = "linux")]
        assert!(ceiling().is_some_and(|ceiling| ceiling > 10));
    }

    #[test]
    fn the_systems_word_is_found_below_what_wraps_it() {
        let system = || io::Error::from_raw_os_error(24);
        assert_eq!(os_error(&system()), Some(24));
        assert_eq!(os_error(&io::Error::other(system())), Some(24));
        assert_eq!(os_error(&io::Error::other(TransportTimeoutError::Other(system()))), Some(24));
        assert_eq!(os_error(&TransportError::Other(io::Error::other(io::Error::other(system())))), Some(24));
        assert_eq!(os_error(&io::Error::other("no code")), None);
    }
}
