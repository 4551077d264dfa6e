//! The key of a period: day by day a step forward by HKDF, and from each day's secret the key of its bodies and what
//! commits to it. There is no step back.

use std::fmt;

use aes_gcm::{Aes256Gcm, KeyInit as _};
use hkdf::Hkdf;
use sha2::Sha256;
use tocsin_record::{Header, LogId};
use zeroize::Zeroizing;

/// Days of a period, counted from the time of its key record: what is written later takes a new key.
pub const DAYS: u16 = 30;
/// A day, in ms.
pub const DAY_MS: u64 = 24 * 60 * 60 * 1000;
/// Length of a period key at rest, in bytes.
pub const PERIOD_LEN: usize = 32 + 8 + 8 + 2 + 32;

// What the bytes that HKDF gives are for.
const STEP: &[u8; 16] = b"tocsin step 1\0\0\0";
const BODIES: &[u8; 16] = b"tocsin bodies 1\0";
const COMMIT: &[u8; 16] = b"tocsin commit 1\0";

/// What names a period key: the log that its key record stands in, and its place there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId {
    /// The log, of the key record and of all bodies under the key.
    pub log: LogId,
    /// The key record's number.
    pub seq: u64,
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the key of record {} in log {}", self.seq, self.log)
    }
}

/// The key of a period, from some day of it on. Zeroised when dropped, never printed.
pub struct PeriodKey {
    id: KeyId,
    /// The time of the key record, in ms.
    since: u64,
    day: u16,
    secret: Box<Zeroizing<[u8; 32]>>,
    /// The day whose key was used last: bodies come day by day.
    used: Option<Box<DayKey>>,
}

impl PeriodKey {
    pub(crate) fn new(id: KeyId, since: u64, secret: Box<Zeroizing<[u8; 32]>>) -> Self {
        Self { id, since, day: 0, secret, used: None }
    }

    /// What names it.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The first day, from 0, that it still opens.
    #[must_use]
    pub fn day(&self) -> u16 {
        self.day
    }

    /// The day of the period in which a time in ms lies: `None` before it and after it, when a new key is due.
    #[must_use]
    pub fn day_of(&self, time: u64) -> Option<u16> {
        let days = time.checked_sub(self.since)? / DAY_MS;
        u16::try_from(days).ok().filter(|day| *day < DAYS)
    }

    /// Destroys what opens the days before the one of this time. A time before or after the period changes nothing.
    pub fn forget_before(&mut self, time: u64) {
        let Some(day) = self.day_of(time) else {
            return;
        };
        if day > self.day {
            *self.secret = self.secret_of(day);
            self.day = day;
        }
        if self.used.as_ref().is_some_and(|used| used.day < self.day) {
            self.used = None;
        }
    }

    /// The bytes from which [`Self::from_bytes`] makes it again, for a store that encrypts them and can erase them.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<[u8; PERIOD_LEN]> {
        let mut bytes = Zeroizing::new([0; PERIOD_LEN]);
        bytes[..32].copy_from_slice(&self.id.log.0);
        bytes[32..40].copy_from_slice(&self.id.seq.to_be_bytes());
        bytes[40..48].copy_from_slice(&self.since.to_be_bytes());
        bytes[48..50].copy_from_slice(&self.day.to_be_bytes());
        bytes[50..].copy_from_slice(self.secret.as_slice());
        bytes
    }

    /// The key that wrote these bytes, `None` if they are no such.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; PERIOD_LEN]) -> Option<Self> {
        let (log, rest) = bytes.split_first_chunk::<32>()?;
        let (seq, rest) = rest.split_first_chunk::<8>()?;
        let (since, rest) = rest.split_first_chunk::<8>()?;
        let (day, secret) = rest.split_first_chunk::<2>()?;
        let day = u16::from_be_bytes(*day);
        let mut kept = Box::new(Zeroizing::new([0; 32]));
        kept.copy_from_slice(secret);
        let id = KeyId { log: LogId(*log), seq: u64::from_be_bytes(*seq) };
        let since = u64::from_be_bytes(*since);
        (day < DAYS).then_some(Self { id, since, day, secret: kept, used: None })
    }

    /// The key of the day in which a record was written, `None` if it is destroyed or no day of the period.
    pub(crate) fn of_day(&mut self, day: u16) -> Option<&DayKey> {
        if day < self.day || day >= DAYS {
            return None;
        }
        if self.used.as_ref().is_none_or(|used| used.day != day) {
            let secret = self.secret_of(day);
            self.used = Some(Box::new(DayKey {
                day,
                commitment: *self.expand(&secret, COMMIT, day),
                cipher: Aes256Gcm::new(&(*self.expand(&secret, BODIES, day)).into()),
            }));
        }
        self.used.as_deref()
    }

    /// What the key commits to on its first day, as its key record says it.
    pub(crate) fn commitment(&self) -> [u8; 32] {
        *self.expand(&self.secret, COMMIT, self.day)
    }

    /// The cipher's key of a day that it still opens, which leads to no other day's.
    pub(crate) fn body_key(&self, day: u16) -> Option<Zeroizing<[u8; 32]>> {
        let opens = (self.day..DAYS).contains(&day);
        opens.then(|| self.expand(&self.secret_of(day), BODIES, day))
    }

    pub(crate) fn is_of(&self, header: &Header) -> bool {
        self.id.log == header.log().id()
    }

    fn secret_of(&self, day: u16) -> Zeroizing<[u8; 32]> {
        (self.day + 1..=day).fold((*self.secret).clone(), |secret, day| self.expand(&secret, STEP, day))
    }

    fn expand(&self, secret: &[u8; 32], use_of: &[u8; 16], day: u16) -> Zeroizing<[u8; 32]> {
        let mut out = Zeroizing::new([0; 32]);
        let info: [&[u8]; 4] = [use_of, &self.id.log.0, &self.id.seq.to_be_bytes(), &day.to_be_bytes()];
        Hkdf::<Sha256>::from_prk(secret)
            .expect("a secret is as long as the hash")
            .expand_multi_info(&info, out.as_mut())
            .expect("32 bytes are one block of the hash");
        out
    }
}

/// The key of one day's bodies.
pub(crate) struct DayKey {
    pub day: u16,
    /// Of the day, and no other key's.
    pub commitment: [u8; 32],
    pub cipher: Aes256Gcm,
}

#[cfg(test)]
mod tests {
    use super::*;

    const SINCE: u64 = 1_700_000_000_000;

    fn key() -> PeriodKey {
        PeriodKey::new(KeyId { log: LogId([3; 32]), seq: 9 }, SINCE, Box::new(Zeroizing::new([5; 32])))
    }

    #[test]
    fn days_are_counted_from_the_key_record() {
        let key = key();
        let day = |ms: u64| key.day_of(SINCE + ms);
        assert_eq!((day(0), day(DAY_MS - 1), day(DAY_MS)), (Some(0), Some(0), Some(1)));
        assert_eq!((day(30 * DAY_MS - 1), day(30 * DAY_MS)), (Some(29), None));
        assert_eq!(key.day_of(SINCE - 1), None);
        assert_eq!(key.day_of(u64::MAX), None);
    }

    #[test]
    fn a_step_leads_where_all_steps_lead() {
        let mut slow = key();
        let mut fast = key();
        for day in 1..DAYS {
            slow.forget_before(SINCE + u64::from(day) * DAY_MS);
            assert_eq!(slow.day(), day);
            let slow = slow.of_day(day).unwrap().commitment;
            assert_eq!(Some(slow), fast.of_day(day).map(|key| key.commitment));
        }
    }

    #[test]
    fn days_have_keys_of_their_own_and_none_is_known_by_what_commits_to_it() {
        let mut key = key();
        let secrets = (0..DAYS).map(|day| *key.secret_of(day));
        let mut all: Vec<[u8; 32]> = secrets
            .flat_map(|secret| [secret, *key.expand(&secret, BODIES, 0), *key.expand(&secret, COMMIT, 0)])
            .collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 3 * usize::from(DAYS));
        assert!(key.of_day(DAYS).is_none());
    }

    #[test]
    fn what_was_forgotten_is_gone() {
        let mut key = key();
        assert!(key.of_day(1).is_some());
        key.forget_before(SINCE + 2 * DAY_MS);
        assert!(key.used.is_none(), "the day used last is still in memory");
        assert!(key.of_day(0).is_none());
        assert!(key.of_day(1).is_none(), "the day used last");
        assert!(key.of_day(2).is_some());
        key.forget_before(SINCE);
        key.forget_before(SINCE + 400 * DAY_MS);
        assert_eq!(key.day(), 2);
        let bytes = key.to_bytes();
        assert!(!bytes.windows(32).any(|part| part == [5; 32]), "the first day's secret is still there");
        assert!(!bytes.windows(32).any(|part| part == *self::key().secret_of(1)));
    }

    #[test]
    fn a_key_rests_and_is_read() {
        let mut key = key();
        key.forget_before(SINCE + 3 * DAY_MS);
        let mut bytes = key.to_bytes();
        let mut back = PeriodKey::from_bytes(&bytes).unwrap();
        assert_eq!((back.id(), back.day(), back.since), (key.id(), 3, SINCE));
        assert_eq!(back.of_day(7).unwrap().commitment, key.of_day(7).unwrap().commitment);
        bytes[49] = 30;
        assert!(PeriodKey::from_bytes(&bytes).is_none());
    }

    #[test]
    fn a_key_is_bound_to_its_place() {
        let place = |log: u8, seq: u64| {
            let id = KeyId { log: LogId([log; 32]), seq };
            PeriodKey::new(id, SINCE, Box::new(Zeroizing::new([5; 32]))).commitment()
        };
        assert_ne!(place(3, 9), place(3, 10));
        assert_ne!(place(3, 9), place(4, 9));
    }
}
