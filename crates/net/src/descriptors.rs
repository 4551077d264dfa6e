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
/// How `EMFILE` and `ENFILE` are shown, which Linux and the BSDs number alike: the process, or the machine, has no
/// descriptor left.
const NONE_LEFT: [&str; 2] = ["(os error 24)", "(os error 23)"];

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
    // By its text: some of the layers that libp2p wraps it in do not give what they hold as its source.
    let what = chain(error);
    if NONE_LEFT.iter().any(|code| what.contains(code)) {
        handshakes.lack(what);
    } else {
        handshakes.fault(what);
    }
}

#[cfg(test)]
mod tests {
    use libp2p::core::transport::timeout::TransportTimeoutError;
    use libp2p::swarm::derive_prelude::Either;

    use super::super::handshakes::Room;
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
        let handshakes = Handshakes::new(Room { strangers: 1, members: 1, host: 1 });
        let system = || io::Error::from_raw_os_error(24);
        // As libp2p-tcp's error comes through the layers above it.
        let either = Either::<io::Error, io::Error>::Left(system());
        let wrapped = io::Error::other(TransportTimeoutError::Other(either));
        let all: [&(dyn Error + 'static); 4] =
            [&system(), &io::Error::other(system()), &wrapped, &io::Error::from_raw_os_error(23)];
        for error in all {
            note(&handshakes, error);
        }
        assert_eq!(handshakes.pressure().no_descriptor, 4, "{:?}", handshakes.pressure());
        note(&handshakes, &io::Error::other("something else"));
        assert_eq!(handshakes.pressure().listener_errors, 1);
    }
}
