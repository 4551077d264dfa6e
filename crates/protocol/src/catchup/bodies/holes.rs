//! Holes: bodies that are missing here and that nobody announced, or whose announcement was lost, are asked after.

use tocsin_store::{LogNo, RecordRef};

use crate::held::{Around, Held};
use crate::io::LinkId;
use crate::message::body::REFS_MAX;
use crate::message::{Message, RecordAt};

/// Between two turns on one link, in ms: what many records' authors give to nobody would else be asked after without end.
const TURN_MS: u64 = 500;

/// Asks which of the missing bodies a peer may give: at most 1,000, in turn.
pub(crate) fn say_holes(around: &mut Around<'_, impl Held>, link: LinkId) {
    let mono = around.mono;
    let Some(known) = around.links.get_mut(link) else {
        return;
    };
    known.holes_due = false;
    let Some(peer) = known.peer() else { return };
    let start = known.holes_from.unwrap_or(RecordRef { log: LogNo(0), seq: 0 });
    let missing = around.held.missing(start, REFS_MAX);
    let next = if missing.len() < REFS_MAX { None } else { missing.last().copied() };
    let mut refs = Vec::new();
    for place in missing {
        if around.held.shares(peer.org, place.log)
            && let Some(log) = around.number(link, place.log)
        {
            refs.push(RecordAt { log, seq: place.seq });
        }
    }
    if let Some(known) = around.links.get_mut(link) {
        known.holes_from = next.map(|place| RecordRef { seq: place.seq + 1, ..place });
        // More than one message holds: the rest goes with the next turn.
        known.holes_due = next.is_some();
        known.holes_after = mono + TURN_MS;
    }
    if !refs.is_empty() {
        around.links.tell(link, Message::Holes(refs));
    }
}

/// Asks those links whose turn it is.
pub(crate) fn say_due_holes(around: &mut Around<'_, impl Held>) {
    let mono = around.mono;
    let due: Vec<LinkId> = around
        .links
        .iter()
        .filter(|(_, link)| link.holes_due && link.holes_after <= mono)
        .filter(|(_, link)| link.peer().is_some() && !link.behind)
        .map(|(id, _)| id)
        .collect();
    for link in due {
        say_holes(around, link);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::held::testing::Shelf;
    use crate::links::testing::{links, told};

    #[test]
    fn more_holes_than_a_message_holds_are_asked_after_in_turns() {
        let shelf = Shelf::lacking(LogNo(1), REFS_MAX as u64 + 5);
        let mut links = links(1);
        let mut around = Around { held: &shelf, links: &mut links, mono: 0 };
        say_holes(&mut around, 1);
        for (first, count, due) in [(1, REFS_MAX, true), (REFS_MAX as u64 + 1, 5, false)] {
            let said = told(around.links, 1);
            let [Message::Holes(refs)] = &said[..] else { panic!("{said:?}") };
            assert_eq!((refs[0].seq, refs.len()), (first, count));
            assert_eq!(around.links.get(1).unwrap().holes_due, due);
            say_due_holes(&mut around);
            assert!(told(around.links, 1).is_empty(), "one turn follows another");
            around.mono += TURN_MS;
            say_due_holes(&mut around);
        }
        assert!(told(around.links, 1).is_empty(), "what is not due is not said");
    }
}
