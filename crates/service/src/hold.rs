//! What is held waits for a person, who accepts or refuses it.

use std::collections::BTreeSet;
use std::sync::Arc;

use tocsin_api::types::{HoldRequest, Record};
use tocsin_protocol::Input;
use tocsin_protocol::judge::body_view;
use tocsin_record::RecordId;
use tocsin_store::RecordRef;

use super::visibility::Visibility;
use super::{Caller, Node, NodeError};

impl Node {
    /// Decides about held records, one after the other, and returns them as they stand then. It stands in the log who did.
    ///
    /// # Errors
    /// At the first that is not held, or not shown to who decides; those before it are decided.
    pub async fn decide_held(
        self: &Arc<Self>,
        caller: Caller,
        request: HoldRequest,
    ) -> Result<Vec<Record>, NodeError> {
        caller.check()?;
        let accept = request.accept;
        let (asked, caller) =
            self.apart(move |node| Ok((node.to_decide(&caller, &request.ids)?, caller))).await?;
        for (place, id) in &asked {
            let place = *place;
            let decided =
                self.engine.core.ask(move |ticket| Input::DecideHeld { ticket, place, accept }).await;
            decided.map_err(|error| match error {
                tocsin_engine::core::AskError::Refused(why) => {
                    NodeError::Request(format!("record {id} was left as it is: {why}"))
                }
                other => other.into(),
            })?;
            caller.note_deed(if accept { "hold accept" } else { "hold refuse" }, &[*id]);
        }
        self.apart(move |node| {
            let directory = node.engine.directory();
            let stands = |(place, _): &(RecordRef, RecordId)| {
                let stored = node.record(*place)?;
                Ok(node.list_entry(&directory, &stored, node.body(&stored).as_ref()))
            };
            asked.iter().map(stands).collect()
        })
        .await
    }

    /// The records of a request, each once. Nobody decides about what is not shown to them. Reads the disk.
    fn to_decide(&self, caller: &Caller, ids: &[String]) -> Result<Vec<(RecordRef, RecordId)>, NodeError> {
        let directory = self.engine.directory();
        let mut visibility = Visibility::new(self, &directory, caller);
        let (mut asked, mut seen) = (Vec::new(), BTreeSet::new());
        for word in ids {
            let place = self.find(word)?;
            let stored = self.record(place)?;
            if let Some(view) = self.body(&stored).as_ref().map(body_view)
                && let Some(rule) = visibility.keeps(&stored, &view)
            {
                return Err(NodeError::Denied { rule, help: visibility.help(&stored, &view) });
            }
            if seen.insert(place) {
                asked.push((place, stored.entry.id));
            }
        }
        Ok(asked)
    }
}
