//! `tocsin circle`: begin a circle, invite orgs to it, accept, decline, leave, remove, rename, open its history, list, show.

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Subcommand;
use tocsin_api::route;
use tocsin_api::types::{Circle, CircleRequest, Proposed};
use tocsin_clock as clock;
use tocsin_text as text;

use super::{Context, done};
use crate::term;

/// Share with some: begin a circle, invite orgs, accept, decline, leave, remove.
///
/// A circle is a set of orgs that share among themselves: a pair, a task force. What is shared in it (--to NAME) goes to its
/// members and to nobody else; no other org hears of the circle at all. An org is in once its own people accepted, and out
/// once it leaves or is removed: from the next record on it gets nothing more.
///
/// Who begins a circle is its steward. With several stewards, more than half of them agree to each change: what waits for
/// you is accepted by `accept` as well, and `show` tells whose signature is awaited. What nobody answers lapses after 30 days.
///
/// Names are yours to choose; two circles of one name are told apart as NAME@ORG, by the org that began them.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  tocsin circle create ops --members police-xb,bank-cc
  tocsin circle accept ops                 (or: tocsin circle decline ops)
  tocsin circle show ops
  tocsin publish 203.0.113.50 --tlp green --to ops
  tocsin circle remove ops police-xb")]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    /// Begin a circle: this org is in it at once, the others are invited
    Create {
        /// Its name: 1 to 64 of a-z 0-9 . -
        name: String,
        /// Orgs to invite
        #[arg(long, value_name = "ORG", value_delimiter = ',', num_args = 1..)]
        members: Vec<String>,
        /// Orgs to invite that may change the circle as well
        #[arg(long, value_name = "ORG", value_delimiter = ',', num_args = 1..)]
        stewards: Vec<String>,
        /// Orgs to ask to carry for the members, without being in
        #[arg(long, value_name = "ORG", value_delimiter = ',', num_args = 1..)]
        carriers: Vec<String>,
        /// Who hands records on: their author alone (RED goes to no other circle), all members, or named carriers as well
        #[arg(long, value_name = "WHO", value_parser = ["author", "members", "named"])]
        carry: Option<String>,
    },
    /// Invite orgs to a circle
    Invite {
        /// The circle
        circle: String,
        /// The orgs
        #[arg(required = true, value_name = "ORG")]
        orgs: Vec<String>,
        /// As what they come in
        #[arg(long = "as", value_name = "PART", value_parser = ["member", "steward", "carrier"], default_value = "member")]
        part: String,
    },
    /// Agree to what waits for this org: an invitation, or a change that stewards agree to
    Accept {
        /// The circle
        circle: String,
        /// Where several changes wait, the org that the one you mean is about
        #[arg(value_name = "ORG")]
        about: Option<String>,
    },
    /// Say no to an invitation: `list` shows it no more. Nobody is told: who invited sees it wait until it lapses, 30 days after it
    /// was sent, or takes it back. Until then `accept` still takes it
    Decline {
        /// The circle
        circle: String,
    },
    /// Leave a circle
    Leave {
        /// The circle
        circle: String,
    },
    /// Take orgs out of a circle, or take back what they were invited to
    Remove {
        /// The circle
        circle: String,
        /// The orgs
        #[arg(required = true, value_name = "ORG")]
        orgs: Vec<String>,
    },
    /// Give a circle another name, for all its members
    Rename {
        /// The circle
        circle: String,
        /// Its new name
        name: String,
    },
    /// Open to an org what was shared before it came in
    ///
    /// What is sealed to a circle is sealed to its members of that moment. A member that reads it can let an org read that came
    /// later: all members see that it did. What partners keep from each other by their policies stays so.
    OpenHistory {
        /// The circle
        circle: String,
        /// The org
        #[arg(long = "for", value_name = "ORG")]
        org: String,
        /// Only what was sealed since, give or take the 30 days of a key: a span back from now, a date, or a time
        #[arg(long, value_name = "WHEN", value_parser = clock::parse_moment)]
        since: Option<u64>,
    },
    /// List the circles that this org is in, and those that it is invited to
    List,
    /// Show who is in a circle, and what is proposed
    Show {
        /// The circle
        circle: String,
    },
}

/// Has the node do it, and shows the circle as it is then.
///
/// # Errors
/// What was wrong, where, and how to mend it.
pub fn run(context: &Context, args: Args) -> Result<ExitCode> {
    let request = match args.what {
        What::List => {
            let all: Vec<Circle> = context.client().get(route::CIRCLES)?;
            context.print_fitted(&all, || list_text(&all))?;
            return done();
        }
        What::Show { circle } => {
            let target = tocsin_api::route::Target::from(route::CIRCLES);
            let all: Vec<Circle> =
                context.client().get(target.with(&format!("?circle={}", name_word(&circle)?)))?;
            let Some(found) = all.first() else { bail!("the node told of no circle") };
            context.print_fitted(found, || circle_text(found))?;
            return done();
        }
        What::Create { name, members, stewards, carriers, carry } => {
            CircleRequest::Create { name, members, stewards, carriers, carry }
        }
        What::Invite { circle, orgs, part } => CircleRequest::Invite { circle, orgs, part: Some(part) },
        What::Accept { circle, about } => CircleRequest::Accept { circle, about },
        What::Decline { circle } => CircleRequest::Decline { circle },
        What::Leave { circle } => CircleRequest::Leave { circle },
        What::Remove { circle, orgs } => CircleRequest::Remove { circle, orgs },
        What::Rename { circle, name } => CircleRequest::Rename { circle, name },
        What::OpenHistory { circle, org, since } => {
            CircleRequest::OpenHistory { circle, org, since: since.unwrap_or(0) }
        }
    };
    let circle: Circle = context.client().post(route::CIRCLES, &request)?;
    context.print_fitted(&circle, || circle_text(&circle))?;
    done()
}

/// A circle's name that may stand in the head of a request.
fn name_word(word: &str) -> Result<&str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'@');
    if word.bytes().all(plain) && (1..=130).contains(&word.len()) {
        Ok(word)
    } else {
        bail!("`{}` is no name of a circle: `tocsin circle list` has them", text::cut(word, 80))
    }
}

fn list_text(all: &[Circle]) -> String {
    let row = |circle: &Circle| {
        let members: Vec<&str> = circle.members.iter().map(|member| member.org.as_str()).collect();
        let members = match members.len() {
            0..=5 => members.join(", "),
            many => format!("{many} orgs"),
        };
        let waits = circle.proposals.iter().map(|one| one.awaits.len()).sum::<usize>();
        let waits = if waits == 0 { String::new() } else { waits.to_string() };
        vec![
            circle.circle.clone(),
            circle.part.clone(),
            circle.founder.clone().unwrap_or_default(),
            members,
            waits,
        ]
    };
    let rows: Vec<Vec<String>> = all.iter().map(row).collect();
    term::table(&["circle", "part", "begun by", "members", "awaited"], &rows)
}

fn circle_text(circle: &Circle) -> String {
    let e = text::escape;
    let by = circle.founder.as_ref().map(|org| format!(", begun by {}", e(org))).unwrap_or_default();
    let part = match circle.part.as_str() {
        "member" => "this org is in it",
        "carrier" => "this org carries for it",
        "invited" => "this org is invited to it",
        "declined" => "this org declined to come in",
        "left" => "this org left it",
        _ => "this org is not in it any more",
    };
    let carries = match circle.carry.as_str() {
        "author" => "each author hands its records to every member itself",
        "named" => "members and named carriers hand records on",
        _ => "members hand records on",
    };
    let name = term::paint(term::Style::Bold, &e(&circle.circle));
    let mut out = format!("Circle {name}{by}: {part}\nversion {} · {carries}", circle.version);
    if !circle.stewards.is_empty() {
        out.push_str(&format!("\nchanged by {}", e(&circle.stewards.join(", "))));
    }
    if !circle.carriers.is_empty() {
        out.push_str(&format!("\ncarried by {}", e(&circle.carriers.join(", "))));
    }
    let rows: Vec<Vec<String>> = circle
        .members
        .iter()
        .map(|member| {
            let since = member.since.map(|version| version.to_string()).unwrap_or_default();
            vec![member.org.clone(), member.kind.clone(), member.country.clone(), since]
        })
        .collect();
    out.push_str(&format!("\n\n{}", term::table(&["member", "kind", "in", "since version"], &rows)));
    for one in &circle.proposals {
        out.push_str(&format!("\n{}", proposed_text(one)));
    }
    if circle.part == "invited" {
        out.push_str(&format!("\n\nTo come in: tocsin circle accept {}", e(&circle.circle)));
    }
    out
}

fn proposed_text(one: &Proposed) -> String {
    let e = text::escape;
    let org = one.org.as_deref().unwrap_or_default();
    let what = match one.change.as_str() {
        "remove" => format!("that {} be taken out", e(org)),
        "leave" => format!("{} leaves", e(org)),
        "rename" => format!("the name `{}`", e(one.name.as_deref().unwrap_or_default())),
        "member" => format!("{} as a member", e(org)),
        part => format!("{} as a {}", e(org), e(part)),
    };
    let awaits = e(&one.awaits.join(", ")).into_owned();
    let by = e(&one.by);
    format!("proposed by {by} at {}: {what}; waits for {awaits}, until {}", one.since, one.until)
}

#[cfg(test)]
mod tests {
    use tocsin_api::types::CircleMember;

    use super::*;

    #[test]
    fn a_circle_says_who_is_in_and_whose_word_is_awaited() {
        let member = |org: &str| CircleMember { org: org.to_owned(), ..CircleMember::default() };
        let proposed = Proposed {
            change: "member".to_owned(),
            org: Some("bank-cc".to_owned()),
            by: "cert-aa".to_owned(),
            awaits: vec!["bank-cc".to_owned()],
            ..Proposed::default()
        };
        let circle = Circle {
            circle: "ops".to_owned(),
            part: "invited".to_owned(),
            founder: Some("cert-aa".to_owned()),
            members: vec![member("cert-aa"), member("police-bb")],
            stewards: vec!["cert-aa".to_owned()],
            proposals: vec![proposed],
            ..Circle::default()
        };
        let shown = circle_text(&circle);
        for part in ["ops", "begun by cert-aa", "police-bb", "waits for bank-cc", "tocsin circle accept ops"]
        {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        let listed = list_text(&[circle]);
        assert!(listed.contains("invited") && listed.contains("cert-aa, police-bb"), "{listed}");
    }

    #[test]
    fn only_words_go_into_the_head_of_a_request() {
        assert!(name_word("ops-1@cert.aa").is_ok());
        for word in ["", "a b", "a&b", "a\r\nb", "ö", &"a".repeat(131)] {
            assert!(name_word(word).is_err(), "{word}");
        }
    }
}
