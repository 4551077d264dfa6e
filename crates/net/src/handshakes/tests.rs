//! Who gives way to whom, by number.

use std::net::IpAddr;

use futures::task::noop_waker;

use super::*;

const ROOM: Room = Room { strangers: 8, members: 4, host: 3 };

fn host(number: u8) -> Host {
    Host::from(IpAddr::from([192, 0, 2, number]))
}

fn is_gone(place: &Place) -> bool {
    place.poll_gone(&mut Context::from_waker(&noop_waker())).is_ready()
}

fn gone(places: &[Place]) -> Vec<usize> {
    (0..places.len()).filter(|number| is_gone(&places[*number])).collect()
}

fn enter(handshakes: &Arc<Handshakes>, hosts: &[u8]) -> Vec<Place> {
    hosts.iter().map(|number| handshakes.enter(host(*number), Via::Tcp).expect("entered")).collect()
}

#[test]
fn the_oldest_of_a_host_gives_way_to_its_newer_ones() {
    let handshakes = Arc::new(Handshakes::new(ROOM));
    let places = enter(&handshakes, &[1, 2, 1, 1, 1, 1]);
    assert_eq!(gone(&places), [0, 2]);
    assert_eq!(handshakes.pressure().tcp.gave_way, 2);
    assert_eq!(handshakes.pressure().tcp.under_way, 4);
    drop(places);
    assert_eq!(handshakes.pressure().tcp.under_way, 0);
    assert!(handshakes.table().places.is_empty());
}

#[test]
fn where_all_is_full_the_host_that_holds_most_gives_way() {
    let handshakes = Arc::new(Handshakes::new(ROOM));
    // Host 9 came first and holds one; 2 and 3 hold most, and 2 held its oldest for longer.
    let mut places = enter(&handshakes, &[9, 1, 1, 2, 3, 2, 3, 3]);
    assert!(gone(&places).is_empty());
    places.extend(enter(&handshakes, &[4]));
    assert_eq!(gone(&places), [4], "the oldest of host 3");
    places.extend(enter(&handshakes, &[5]));
    assert_eq!(gone(&places), [1, 4], "of three that hold two, the oldest is host 1's");
    assert!(!is_gone(&places[0]));
}

#[test]
fn who_says_nothing_gives_way_first() {
    let handshakes = Arc::new(Handshakes::new(ROOM));
    let places = enter(&handshakes, &[1, 1, 1]);
    assert!(places[0].speaker().speaks());
    let more = enter(&handshakes, &[1, 1, 1]);
    assert_eq!((gone(&places), gone(&more)), (vec![1, 2], vec![0]));
    assert!(more[1].speaker().speaks() && more[2].speaker().speaks());
    assert!(!places[1].speaker().speaks(), "it is gone");
    let last = enter(&handshakes, &[1]);
    assert_eq!((gone(&places), gone(&last)), (vec![0, 1, 2], vec![]));
}

#[test]
fn members_hosts_have_places_of_their_own() {
    let handshakes = Arc::new(Handshakes::new(ROOM));
    handshakes.name(HashSet::from([host(1)]));
    handshakes.see(&[7; 32], host(2));
    let members = enter(&handshakes, &[1, 2]);
    let strangers = enter(&handshakes, &[11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22]);
    assert!(gone(&members).is_empty());
    assert_eq!(gone(&strangers), [0, 1, 2, 3]);
    let more = enter(&handshakes, &[1, 1, 2]);
    assert_eq!(gone(&members), [0], "members give way among themselves");
    assert!(gone(&more).is_empty());
    // What counts is what is known now.
    handshakes.forget(&[7; 32]);
    handshakes.name(HashSet::new());
    assert!(handshakes.table().members.all.is_empty());
}

#[test]
fn of_a_member_so_many_hosts_are_remembered() {
    let handshakes = Handshakes::new(ROOM);
    for number in 0..=u8::MAX {
        handshakes.see(&[7; 32], host(number));
        handshakes.see(&[7; 32], host(number));
    }
    handshakes.see(&[8; 32], host(1));
    let table = handshakes.table();
    assert_eq!(table.members.all.len(), SEEN_OF_ONE + 1);
    assert!(table.members.all.contains(&host(255)) && table.members.all.contains(&host(1)));
}

#[test]
fn unproven_addresses_take_nothing_from_anybody() {
    let handshakes = Arc::new(Handshakes::new(ROOM));
    handshakes.name(HashSet::from([host(1)]));
    let places: Vec<Place> =
        (0..UNPROVEN).filter_map(|_| handshakes.enter_unproven(host(1), Via::Quic)).collect();
    assert_eq!(places.len(), UNPROVEN);
    assert!(handshakes.enter_unproven(host(1), Via::Quic).is_none());
    let proven = enter(&handshakes, &[1, 1, 1]);
    assert!(gone(&places).is_empty() && gone(&proven).is_empty());
    let pressure = handshakes.pressure();
    assert_eq!(pressure.quic.asked_to_prove, 1);
    assert_eq!(pressure.of_late().worst_host, None, "nobody is blamed for what others forge");
}

#[test]
fn a_host_begins_so_many_and_others_still_may() {
    let room = Room { strangers: 1_000, members: 1_000, host: 1_000 };
    let handshakes = Arc::new(Handshakes::new(room));
    let begun = Instant::now();
    let mut in_all = 0;
    for number in 0..100 {
        let of_one = (0..500).filter(|_| handshakes.enter(host(number), Via::Tcp).is_some()).count();
        assert!(of_one as f64 <= HOST_RATE.at_once + begun.elapsed().as_secs_f64() * 40.0 + 1.0);
        in_all += of_one;
    }
    let bound = STRANGERS_RATE.at_once + RESTED_RATE.at_once + begun.elapsed().as_secs_f64() * 400.0;
    assert!(in_all as f64 <= bound + 1.0, "{in_all}");
    // All that strangers have is used up, and who comes for the first time still comes in.
    assert!(handshakes.enter(host(200), Via::Tcp).is_some());
    // At a member's host those that speak are counted, and the silent are not.
    handshakes.name(HashSet::from([host(201)]));
    let members: Vec<Place> = enter(&handshakes, &[201; 1_000]);
    let speaking = members.iter().filter(|place| place.speaker().speaks()).count() as f64;
    assert!((MEMBER_RATE.at_once..=600.0).contains(&speaking), "{speaking}");
    let (worst, count) = handshakes.pressure().of_late().worst_host.unwrap();
    assert!(worst.starts_with("192.0.2.") && count > 300, "{worst} {count}");
}

#[test]
fn what_is_remembered_of_hosts_is_bounded() {
    let handshakes = Arc::new(Handshakes::new(ROOM));
    for number in 0..20_000u32 {
        let host =
            Host::from(IpAddr::from((0x2001_0db8_u128 << 96 | u128::from(number) << 64).to_be_bytes()));
        drop(handshakes.enter(host, Via::Tcp));
    }
    assert!(handshakes.table().hosts.len() <= HOSTS);
    assert!(handshakes.pressure().of_late().in_vain > 10_000);
}

#[test]
fn a_host_is_an_address_or_a_64() {
    let of = |text: &str| Host::of(&text.parse().unwrap()).map(|host| host.to_string());
    assert_eq!(of("/ip4/192.0.2.1/tcp/1").as_deref(), Some("192.0.2.1"));
    assert_eq!(of("/ip6/2001:db8::1:2:3:4/udp/1/quic-v1").as_deref(), Some("2001:db8::/64"));
    assert_eq!(of("/ip6/::ffff:192.0.2.1/tcp/1").as_deref(), Some("192.0.2.1"));
    assert_eq!(of("/dns4/localhost/tcp/1"), None);
}

#[test]
fn news_comes_once_a_minute_and_only_where_there_is_some() {
    let handshakes = Arc::new(Handshakes::new(ROOM));
    let begun = Instant::now();
    let at = |seconds| begun + Duration::from_secs(seconds);
    for place in enter(&handshakes, &[1, 2, 3, 4]) {
        place.ended(|counts| counts.failed += 1);
    }
    assert_eq!(handshakes.news(at(0)), None, "a few failures are everyday");
    for _ in 0..30 {
        enter(&handshakes, &[1])[0].ended(|counts| counts.timed_out += 1);
    }
    let news = handshakes.news(at(1)).unwrap();
    assert_eq!((news.in_vain, news.worst_host), (34, Some(("192.0.2.1".to_owned(), 31))));
    assert!((2..61).all(|second| handshakes.news(at(second)).is_none()));
    assert!(handshakes.news(at(62)).is_some(), "of the minute before");
    assert!((63..300).all(|second| handshakes.news(at(second)).is_none()), "nothing happened since");
    handshakes.lack("none left".to_owned());
    assert_eq!(handshakes.news(at(300)).unwrap().no_descriptor, 1);
}
