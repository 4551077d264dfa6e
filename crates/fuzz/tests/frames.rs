//! The frames that fuzzing begins with are one of each message: their bytes are pinned, and since which protocol version
//! they are sent, for a change of either keeps nodes of two versions from understanding each other. So that others can
//! write such a node, `crates/protocol/WIRE.md` has all of them, as they are.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use tocsin_fuzz::seeds;
use tocsin_protocol::message::lobby::PROTOCOL;
use tocsin_protocol::message::{self, Fate, Message, body, documents, frontier, head, proposals, tree, want};
use tocsin_record::id::{CircleId, LogId, MeshId, NodeKey, RecordId};
use tocsin_record::testing::hex;
use tocsin_record::{document, page, run};

/// The document of the wire protocol.
const WIRE: &str = include_str!("../../protocol/WIRE.md");

#[test]
fn every_message_is_pinned() {
    let mut lines = Vec::new();
    for frame in seeds::frames() {
        let mut messages = message::decode(MeshId([1; 32]), &frame).unwrap().messages;
        let (Some(message), true) = (messages.pop(), messages.is_empty()) else {
            continue;
        };
        let (name, since) = (message.name(), message.since());
        let routine = if message.is_routine() { ", routine" } else { "" };
        let message = without_pages(message);
        lines.push(format!("{name}: since {since}{routine}, {}", hex(&message::encode(&vec![message]))));
    }
    let head = message::head::head_hash(
        &MeshId([1; 32]),
        &NodeKey([2; 32]),
        &CircleId([3; 32]),
        4,
        5,
        &RecordId([6; 32]),
        7,
        8,
    );
    lines.push(format!("signed of a head: {}", hex(&head)));
    let fates = message::Fates { below: 1, runs: vec![(2, Fate::KeptBack)] };
    let receipt = message::head::receipt_hash(&NodeKey([1; 32]), &LogId([2; 32]), 3, 4, &fates);
    lines.push(format!("signed of a receipt: {}", hex(&receipt)));
    if let Some(Message::Proposals(proposals)) = self::messages().pop() {
        lines.push(format!("signed of a proposal: {}", hex(&proposals[0].hash(MeshId([1; 32])))));
    }

    let pinned: Vec<(&str, &str)> = include_str!("golden/frames.txt").lines().map(named).collect();
    let made: Vec<(&str, &str)> = lines.iter().map(|line| named(line)).collect();
    let of = |lines: &[(&str, &str)], name: &str| {
        lines.iter().find(|(other, _)| *other == name).map(|(_, rest)| (*rest).to_owned())
    };
    let mut wrong = Vec::new();
    for (name, rest) in &made {
        match of(&pinned, name) {
            Some(pinned) if pinned == *rest => {}
            Some(pinned) => wrong.push(format!(
                "`{name}` is sent or signed otherwise than it is pinned:\n{name}: {rest}\ninstead of\n{name}: {pinned}"
            )),
            None => wrong.push(format!("`{name}` is new; add to golden/frames.txt:\n{name}: {rest}")),
        }
    }
    for (name, _) in pinned.iter().filter(|(name, _)| of(&made, name).is_none()) {
        wrong.push(format!("`{name}` is pinned but no longer made"));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(made.len(), pinned.len(), "a name stands twice");
}

/// A pinned line as its name and the rest.
fn named(line: &str) -> (&str, &str) {
    line.split_once(": ").unwrap_or_else(|| panic!("a line without a name: {line}"))
}

/// Pages are a form of their own, pinned where they are made; and what zstd makes of one is its own affair.
fn without_pages(mut message: Message) -> Message {
    let stand_in = vec![1, 2, 3];
    match &mut message {
        Message::Page(page) => page.packed = stand_in,
        Message::Push(push) => push.page = stand_in,
        Message::Fork(branches) => branches.iter_mut().for_each(|push| push.page = stand_in.clone()),
        _ => {}
    }
    message
}

#[test]
fn the_newest_message_makes_the_protocol() {
    let messages = seeds::frames()
        .into_iter()
        .flat_map(|frame| message::decode(MeshId([1; 32]), &frame).unwrap().messages);
    let newest = messages.map(|message| message.since()).max();
    assert_eq!(newest, Some(PROTOCOL), "`PROTOCOL` and the greatest `since` differ");
}

#[test]
fn every_message_has_a_seed() {
    let named = |frame: Vec<u8>| {
        let messages = message::decode(MeshId([1; 32]), &frame).unwrap().messages;
        let [one] = &messages[..] else { return None };
        Some((frame[1], one.name()))
    };
    let seeds: Vec<(u8, &str)> = seeds::frames().into_iter().filter_map(named).collect();
    for (at, (number, name)) in (0..).zip(&seeds) {
        assert_eq!(*number, at, "{name} is not in its place among the seeds");
    }
    // The first number without a seed is the first that no message has.
    let next = u8::try_from(seeds.len()).unwrap();
    let error = message::decode(MeshId([1; 32]), &[1, next]).unwrap_err();
    assert!(format!("{error:?}").contains("UnexpectedVariant"), "message {next} has no seed: {error}");
}

/// One of each message, in order of their numbers.
fn messages() -> Vec<Message> {
    let decoded = |frame: Vec<u8>| message::decode(MeshId([1; 32]), &frame).unwrap().messages;
    let alone = |messages: Vec<Message>| <[Message; 1]>::try_from(messages).ok();
    seeds::frames().into_iter().map(decoded).filter_map(alone).map(|[message]| message).collect()
}

/// The lines of the document between two headings.
fn part(heading: &str) -> impl Iterator<Item = &'static str> {
    let after =
        WIRE.split_once(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("no part {heading}")).1;
    after.split("\n## ").next().unwrap_or_default().lines()
}

/// The rows of the first table of a part, without its head.
fn rows(heading: &str) -> Vec<Vec<&'static str>> {
    let lines =
        part(heading).skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    lines.skip(2).map(|line| line.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

#[test]
fn the_document_has_each_message_as_it_is() {
    let messages = messages();
    let mut made = Vec::new();
    for (number, message) in messages.iter().enumerate() {
        let unpaid = if message.is_read_unpaid() { "read" } else { "dropped" };
        let routine = if message.is_routine() { ", routine" } else { "" };
        let news = if message.brings_news() { "new is free" } else { "all is paid" };
        made.push(format!(
            "{number} `{}` since {}, {unpaid}{routine}, {news}",
            message.name(),
            message.since()
        ));
    }
    let written = |row: Vec<&str>| {
        let [number, name, since, _, _, cost, unpaid, _] = row[..] else { panic!("another row: {row:?}") };
        let news = if cost.starts_with("new is free") { "new is free" } else { "all is paid" };
        format!("{number} {name} since {since}, {unpaid}, {news}")
    };
    let written: Vec<String> = rows("Messages").into_iter().map(written).collect();
    assert_eq!(written, made, "the table of `WIRE.md` and `Message` differ");

    let contents = part("Contents").skip_while(|line| !line.starts_with("```")).skip(1);
    let named: Vec<&str> = contents
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    let names: Vec<&str> = messages.iter().map(Message::name).collect();
    assert_eq!(named, names, "what is in each message is not said of each");
}

#[test]
fn the_document_has_the_bounds_that_are_kept() {
    let bounds = [
        ("FRAME_MAX", message::FRAME_MAX),
        ("LOBBY_FRAME_MAX", message::LOBBY_FRAME_MAX),
        ("LOBBY_DOCUMENT_MAX", message::LOBBY_DOCUMENT_MAX),
        ("MESSAGES_MAX", message::MESSAGES_MAX),
        ("DOCUMENTS_MAX", documents::DOCUMENTS_MAX),
        ("DOCUMENT_MAX", document::DOCUMENT_MAX),
        ("SIGNATURES_MAX", document::SIGNATURES_MAX),
        ("ENTRIES_MAX", frontier::ENTRIES_MAX),
        ("HAVES_MAX", tree::HAVES_MAX),
        ("RANGES_MAX", want::RANGES_MAX),
        ("REFS_MAX", body::REFS_MAX),
        ("PROPOSALS_MAX", proposals::PROPOSALS_MAX),
        ("PROPOSAL_MAX", proposals::PROPOSAL_MAX),
        ("STATEMENTS_MAX", head::STATEMENTS_MAX),
        ("FATES_MAX", head::FATES_MAX),
        ("RECORDS_MAX", run::RECORDS_MAX),
        ("PAGE_MAX", page::PAGE_MAX),
        ("PAGE_WIRE_MAX", want::PAGE_WIRE_MAX),
        ("PUSH_BODY_MAX", tree::PUSH_BODY_MAX),
        ("CREDIT_MAX", usize::try_from(want::CREDIT_MAX).unwrap()),
    ];
    let written: Vec<(String, String)> =
        rows("Frame").iter().map(|row| (row[0].to_owned(), row[1].to_owned())).collect();
    let made: Vec<(String, String)> =
        bounds.iter().map(|(name, value)| (format!("`{name}`"), value.to_string())).collect();
    assert_eq!(written, made, "the bounds of `WIRE.md` and those of the code differ");
}
