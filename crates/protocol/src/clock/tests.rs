//! Clocks that jump, and others that say so.

use super::*;

const BOOT: [u8; 16] = [1; 16];
const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;
const WALL: u64 = 1_800_000_000_000;

fn at(wall: u64, mono: u64) -> Now {
    Now { wall: WALL + wall, mono }
}

/// A clock that others confirmed at `at(0, 0)`, and are not heard any more.
fn confirmed() -> Clock {
    let mut clock = Clock::open(BOOT, None, at(0, 0));
    clock.hear(at(0, 0), vec![WALL, WALL + 1000], 2);
    clock.hear(at(0, 0), vec![], 2);
    clock
}

fn read(clock: &mut Clock, now: Now) -> Reading {
    clock.look(now);
    clock.reading()
}

#[test]
fn a_clock_that_goes_on_evenly_is_trusted_and_one_that_jumps_is_not() {
    let mut clock = confirmed();
    for hours in 0..10_000 {
        assert!(read(&mut clock, at(hours * HOUR + 500_000, hours * HOUR)).is_trusted());
    }
    let now = at(60 * DAY, 4_000);
    assert_eq!(read(&mut clock, now), Reading::Unknown { by_ms: 60 * DAY - 4_000 });
    assert_eq!((clock.passed(now), clock.erases_up_to(now)), (WALL + 4_000, None));
    assert!(clock.is_ahead(now, WALL + DAY) && !clock.is_ahead(now, WALL + TOLERANCE_MS));
    // However often it was seen meanwhile, and whether or not anything was due.
    for minutes in 0..200 {
        let now = at(60 * DAY + minutes * 60_000, 4_000 + minutes * 60_000);
        clock.hear(now, vec![], 2);
        assert!(!read(&mut clock, now).is_trusted() && clock.erases_up_to(now).is_none());
    }
    let back = at(DAY, DAY);
    assert!(read(&mut clock, back).is_trusted());
    assert_eq!(clock.erases_up_to(back), Some(back.wall));
}

#[test]
fn small_steps_do_not_add_up() {
    let mut clock = confirmed();
    let steps = (0..10).filter(|step| read(&mut clock, at(step * 540_000, step * 1000)).is_trusted());
    assert_eq!(steps.count(), 2, "nine minutes a second");
}

/// Five steps of five minutes that everybody's clock makes, each of which the others confirm.
#[test]
fn nothing_ends_early_by_steps_that_add_up() {
    let mut clock = confirmed();
    let mut now = at(0, 0);
    for step in 1..=5 {
        now = at(step * 300_000 + step * 1_000, step * 1_000);
        clock.hear(now, vec![now.wall; 3], 3);
        assert!(read(&mut clock, now).is_trusted(), "{step}");
        let latest = WALL + step * 1_000 + TOLERANCE_MS;
        assert_eq!(clock.erases_up_to(now), Some(now.wall.min(latest)), "{step}");
        assert!(clock.passed(now) <= latest, "{step}");
        // Nor over a restart, on the same boot or another.
        for boot in [BOOT, [2; 16]] {
            let mut again = Clock::open(boot, Some(clock.kept(BOOT, now)), now);
            again.look(now);
            assert!(again.erases_up_to(now) <= Some(latest), "{step}");
        }
    }
    // Once the others said so for long enough, the clock was wrong before.
    let later = Now { wall: now.wall + SETTLE_MS, mono: now.mono + SETTLE_MS };
    clock.hear(later, vec![later.wall; 3], 3);
    read(&mut clock, later);
    assert_eq!(clock.erases_up_to(later), Some(later.wall));
}

#[test]
fn a_jump_that_all_make_and_take_back_erases_nothing() {
    let mut clock = confirmed();
    for seconds in 1..SETTLE_MS / 1_000 {
        let now = at(seconds * 1_000 + HOUR, seconds * 1_000);
        clock.hear(now, vec![now.wall; 3], 3);
        read(&mut clock, now);
        assert!(clock.erases_up_to(now).is_none_or(|time| time <= WALL + now.mono + TOLERANCE_MS));
    }
    let right = at(SETTLE_MS, SETTLE_MS);
    clock.hear(right, vec![right.wall; 3], 3);
    read(&mut clock, right);
    assert_eq!(clock.erases_up_to(right), Some(right.wall));
}

#[test]
fn what_an_older_version_kept_still_reads() {
    let before = KeptBefore { boot: BOOT, time: WALL, mono: 5, sure: true, held: false };
    let bytes = tocsin_record::codec::encode(&before);
    let read = |bytes: &[u8]| tocsin_record::codec::decode::<Kept, 256>(bytes).ok();
    assert_eq!(read(&bytes), None);
    let before = tocsin_record::codec::decode::<KeptBefore, 256>(&bytes).ok().map(Kept::from);
    assert_eq!(before, Some(Kept { boot: BOOT, time: WALL, mono: 5, sure: true, held: false, least: WALL }));
}

#[test]
fn a_restart_remembers_what_was_known() {
    let mut clock = confirmed();
    read(&mut clock, at(60 * DAY, 4_000));
    let kept = clock.kept(BOOT, at(60 * DAY, 5_000));
    // The same boot: monotonic time tells. Another: nobody knows how long it was off.
    for (boot, mono) in [(BOOT, 6_000), ([2; 16], 9_000), (BOOT, 10)] {
        let mut ahead = Clock::open(boot, Some(kept), at(60 * DAY, mono));
        assert!(matches!(read(&mut ahead, at(60 * DAY, mono)), Reading::Unknown { .. }));
        let again = ahead.kept(boot, at(60 * DAY, mono));
        let mut again = Clock::open(boot, Some(again), at(60 * DAY, mono));
        assert!(again.look(at(60 * DAY, mono)) && !again.reading().is_trusted(), "nor a second time");
        let mut right = Clock::open(boot, Some(kept), at(6_000, mono));
        assert!(read(&mut right, at(6_000, mono)).is_trusted());
        let mut early = Clock::open(boot, Some(kept), Now { wall: WALL - DAY, mono });
        assert!(matches!(read(&mut early, Now { wall: WALL - DAY, mono }), Reading::Behind { .. }));
    }
    // Asleep for a month, by a monotonic clock that counts sleep.
    let month = at(30 * DAY, 30 * DAY);
    assert!(read(&mut Clock::open(BOOT, Some(kept), month), month).is_trusted());
}

#[test]
fn others_confirm_what_this_node_cannot_know() {
    let kept = confirmed().kept(BOOT, at(0, 0));
    let now = at(90 * DAY, 0);
    let back = || Clock::open([2; 16], Some(kept), now);
    for (voices, others, erases) in [
        (vec![WALL + 90 * DAY], 1, true),
        (vec![WALL + 90 * DAY; 2], 5, true),
        (vec![WALL + 90 * DAY], 5, false),
    ] {
        let mut clock = back();
        clock.hear(now, voices.clone(), others);
        assert!(read(&mut clock, now).is_trusted(), "{voices:?}");
        assert_eq!(clock.erases_up_to(now).is_some(), erases, "{voices:?} of {others}");
        // What ended meanwhile is not shown; it is not gone before they agreed for a while: all may have been set together.
        let least = WALL + TOLERANCE_MS;
        assert!(clock.erases_up_to(now).is_none_or(|time| time <= least), "{voices:?} of {others}");
        assert!(clock.passed(now) <= least, "{voices:?} of {others}");
        assert_eq!(clock.shown(now), if erases { now.wall } else { WALL }, "{voices:?} of {others}");
        // The others had time to come in.
        let later = at(90 * DAY + SETTLE_MS, SETTLE_MS);
        clock.hear(later, vec![later.wall; voices.len()], others);
        read(&mut clock, later);
        assert_eq!(clock.erases_up_to(later), Some(later.wall), "{voices:?} of {others}");
        assert_eq!(clock.passed(later), later.wall);
    }
    let mut clock = back();
    clock.hear(now, vec![WALL + 3 * DAY], 1);
    assert_eq!(read(&mut clock, now), Reading::Ahead { by_ms: 87 * DAY });
    assert_eq!(clock.shown(now), WALL + 3 * DAY);
    // One says this, another that: what is known by itself decides.
    let mut clock = back();
    clock.hear(now, vec![WALL + 3 * DAY, WALL + 90 * DAY], 2);
    assert!(matches!(read(&mut clock, now), Reading::Unknown { .. }));
}

#[test]
fn no_single_org_overrules_a_clock_that_others_confirmed() {
    for lie in [0, WALL - 60 * DAY, WALL + 60 * DAY, u64::MAX] {
        let mut clock = confirmed();
        clock.hear(at(0, 0), vec![lie], 1);
        assert!(read(&mut clock, at(0, 0)).is_trusted(), "{lie}");
        clock.hear(at(0, 0), vec![WALL, lie], 2);
        assert!(read(&mut clock, at(0, 0)).is_trusted(), "{lie}");
        clock.hear(at(0, 0), vec![WALL, lie, lie], 3);
        assert!(read(&mut clock, at(0, 0)).is_trusted(), "half of all voices, {lie}");
        clock.hear(at(0, 0), vec![WALL, lie, lie, lie], 4);
        assert!(!read(&mut clock, at(0, 0)).is_trusted(), "{lie}");
    }
    // Nor does it confirm one that jumped while another knows better.
    let mut clock = confirmed();
    let now = at(60 * DAY, 4_000);
    clock.hear(now, vec![WALL, now.wall], 2);
    assert!(!read(&mut clock, now).is_trusted());
}

#[test]
fn a_clock_that_is_behind_holds_nothing_back_that_the_others_have_reached() {
    let mut clock = confirmed();
    let now = Now { wall: WALL - 30 * DAY, mono: 1_000 };
    clock.hear(now, vec![WALL + 1_000; 3], 3);
    assert_eq!(read(&mut clock, now), Reading::Behind { by_ms: 30 * DAY + 1_000 });
    assert!(!clock.is_ahead(now, WALL) && clock.is_ahead(now, WALL + 2 * TOLERANCE_MS));
    assert_eq!(clock.passed(now), now.wall, "nothing lapses before its time");
    assert_eq!(clock.erases_up_to(now), Some(now.wall));
}

#[test]
fn a_person_confirms_and_says_so_where_others_contradict() {
    let now = at(60 * DAY, 4_000);
    let mut clock = confirmed();
    assert!(clock.confirm(now, false).is_ok(), "nobody is heard");
    assert!(read(&mut clock, now).is_trusted() && clock.erases_up_to(now).is_some());
    let mut clock = confirmed();
    clock.hear(now, vec![WALL; 3], 3);
    assert_eq!(clock.confirm(now, false), Err(Reading::Ahead { by_ms: 60 * DAY }));
    assert!(!read(&mut clock, now).is_trusted());
    assert!(clock.confirm(now, true).is_ok());
    clock.hear(now, vec![WALL; 3], 3);
    assert!(read(&mut clock, now).is_trusted());
    // That held for this clock, not for the next jump.
    assert!(!read(&mut clock, at(61 * DAY, 5_000)).is_trusted());
    // Nor for the machine's next start.
    let kept = clock.kept(BOOT, now);
    let mut clock = Clock::open([2; 16], Some(kept), now);
    clock.hear(now, vec![WALL; 3], 3);
    assert!(!read(&mut clock, now).is_trusted());
}

#[test]
fn readings_say_how_far() {
    assert_eq!(
        Reading::Ahead { by_ms: 60 * DAY }.to_string(),
        "this machine's clock is 60 days ahead of its partners' clocks"
    );
    assert!(Reading::Unknown { by_ms: 11 * 60_000 }.to_string().contains("11 minutes"));
    assert!(Reading::Behind { by_ms: 5 * HOUR }.to_string().contains("5 hours"));
}
