//! Circles: who is in them, what is proposed, and what people ask about them.

use serde::{Deserialize, Serialize};

use super::Time;

/// What people ask to be done about a circle. Circles are named as in `circle` of [`Circle`], orgs as in the charter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum CircleRequest {
    /// A circle begins: this org is in it at once, the others are invited.
    Create {
        /// Its name: 1 to 64 of a-z 0-9 . -
        name: String,
        /// Who is invited.
        #[serde(default)]
        members: Vec<String>,
        /// Who is invited and may change the circle.
        #[serde(default)]
        stewards: Vec<String>,
        /// Who is asked to carry for the members.
        #[serde(default)]
        carriers: Vec<String>,
        /// Who hands its records on: `author`, `members` or `named`; `members` by default, `named` with carriers.
        #[serde(default)]
        carry: Option<String>,
    },
    /// Orgs are invited.
    Invite {
        /// The circle.
        circle: String,
        /// The orgs.
        orgs: Vec<String>,
        /// As what: `member`, `steward` or `carrier`; `member` by default.
        #[serde(default)]
        part: Option<String>,
    },
    /// This org agrees to what waits for it.
    Accept {
        /// The circle.
        circle: String,
        /// Where several changes wait, the one that is about this org.
        #[serde(default)]
        about: Option<String>,
    },
    /// This org says no to what it is invited to.
    Decline {
        /// The circle.
        circle: String,
    },
    /// This org leaves.
    Leave {
        /// The circle.
        circle: String,
    },
    /// Orgs are taken out, or what they were invited to is taken back.
    Remove {
        /// The circle.
        circle: String,
        /// The orgs.
        orgs: Vec<String>,
    },
    /// What was sealed before an org came in is opened to it, as far as this node reads it.
    OpenHistory {
        /// The circle.
        circle: String,
        /// The org.
        org: String,
        /// Since when, in ms since 1970; of before that nothing is opened but what was sealed within the same 30 days.
        #[serde(default)]
        since: u64,
    },
    /// The circle gets another name.
    Rename {
        /// The circle.
        circle: String,
        /// The name.
        name: String,
    },
}

/// A circle as this node knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Circle {
    /// Its name here, by which commands take it: that of its roster, with `@` and the org that began it where there are two of
    /// that name.
    pub circle: String,
    /// Its id, 64 hexadecimal digits.
    pub id: String,
    /// The org that began it; `null` for the mesh, and where that org is gone.
    pub founder: Option<String>,
    /// What this org is in it: `member`, `carrier`, `invited`, `declined` (in no list; it may be accepted still),
    /// `left` (until a version says so), or `out`.
    pub part: String,
    /// The version of the roster; of one that this org is invited to, the one that it would come in by.
    pub version: u32,
    /// Who hands its records on: `author`, `members` or `named`.
    pub carry: String,
    /// Who is in.
    pub members: Vec<CircleMember>,
    /// Who carries for them.
    pub carriers: Vec<String>,
    /// Who may change it, more than half of them together.
    pub stewards: Vec<String>,
    /// What is proposed and not in force.
    pub proposals: Vec<Proposed>,
}

/// An org in a circle.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CircleMember {
    /// Its name.
    pub org: String,
    /// Its kind.
    pub kind: String,
    /// Its country, two letters.
    pub country: String,
    /// The version by which it came in; `null` in a circle that this org is only invited to.
    pub since: Option<u32>,
}

/// A change of a circle that is not in force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposed {
    /// `member`, `steward` or `carrier` for an org that is to be one; `remove`, `leave`, `rename`.
    pub change: String,
    /// The org that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub org: Option<String>,
    /// The new name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The org that proposes it.
    pub by: String,
    /// The version that it would make.
    pub version: u32,
    /// Since when.
    pub since: Time,
    /// When it lapses.
    pub until: Time,
    /// The orgs whose signature is awaited.
    pub awaits: Vec<String>,
}
