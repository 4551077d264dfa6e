//! Who an org is, on paper: its card, the invitation it gets, the certificate of its node, and the texts they travel
//! as. None of them holds a secret.

mod armor;
mod card;
mod change;
mod entry;
mod invite;
mod node;
mod papers;
mod peer;

pub use armor::ArmorError;
pub use card::{Card, CardError};
pub use change::{Change, ChangeError, Quorum, Reading};
pub use entry::{EntryEdit, EntryError};
pub use invite::{Invite, InviteError};
pub use node::{NodeAnswer, NodeError, NodeRequest};
pub use papers::{Checked, Papers, PapersError, Removed, entry};
pub(crate) use peer::address_with_peer;
pub use peer::peer_id;
