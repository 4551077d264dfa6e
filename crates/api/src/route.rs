//! The paths of a node's interface, each once: the node routes by them and its callers ask by them. None is made of a text
//! elsewhere, so that what is misspelt does not compile.

/// A path of the interface, in which `{id}` stands for a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route(&'static str);

macro_rules! routes {
    ($($(#[$doc:meta])* $name:ident = $path:literal;)*) => {
        $($(#[$doc])* pub const $name: Route = Route($path);)*
        /// All of them.
        pub const ALL: &[Route] = &[$($name),*];
    };
}

routes! {
    /// How the node is.
    STATUS = "/v1/status";
    /// What is listed of values.
    LOOKUP = "/v1/lookup";
    /// Records that are wanted by what they say.
    QUERY = "/v1/query";
    /// One record, whole.
    RECORD = "/v1/records/{id}";
    /// One record, as a file that shows who signed it.
    EVIDENCE = "/v1/records/{id}/evidence";
    /// What became of one record, and why.
    WHY = "/v1/records/{id}/why";
    /// What arrives, line by line.
    WATCH = "/v1/watch";
    /// A report to a circle.
    PUBLISH = "/v1/publish";
    /// A report of the own circle, to others.
    SHARE = "/v1/share";
    /// Until partners signed for records.
    WAIT = "/v1/wait";
    /// Who would get reports of the own circle, or of others.
    WHO_WOULD_GET = "/v1/who-would-get";
    /// Something known, met.
    SIGHT = "/v1/sight";
    /// Words about a report.
    NOTE = "/v1/note";
    /// A report, taken back.
    RETRACT = "/v1/retract";
    /// What waits for a person to decide.
    HOLD = "/v1/hold";
    /// What waits so, as a list.
    HOLD_LIST = "/v1/hold/list";
    /// The circles that this org is in or is invited to, and what is to become of them.
    CIRCLES = "/v1/circles";
    /// The policy in its file, in force; asked for, what that would change.
    POLICY_RELOAD = "/v1/policy/reload";
    /// What another policy would decide otherwise.
    POLICY_DIFF = "/v1/policy/diff";
    /// What the node takes for the time, and a person's word on it.
    CLOCK = "/v1/clock";
    /// The store as it is, piece by piece.
    BACKUP = "/v1/backup";
    /// What this node has for others, as a file that is carried by hand.
    BUNDLE = "/v1/bundle";
    /// How far this node has what it shares with others, as such a file.
    BUNDLE_FRONTIER = "/v1/bundle/frontier";
    /// Such a file of a partner, taken in.
    BUNDLE_APPLY = "/v1/bundle/apply";
    /// The end.
    STOP = "/v1/stop";
    /// A batch of reports out of files.
    IMPORT = "/v1/import";
    /// Signed documents.
    DOCUMENTS = "/v1/documents";
}

/// A route with its record and what is asked of it: what a request names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target(String);

impl Route {
    /// As a router has it.
    #[must_use]
    pub fn pattern(self) -> &'static str {
        self.0
    }

    /// Of a record, by its id or subject, which is of letters, digits and hyphens.
    #[must_use]
    pub fn of(self, record: &str) -> Target {
        Target(self.0.replace("{id}", record))
    }
}

impl From<Route> for Target {
    fn from(route: Route) -> Self {
        Self(route.0.to_owned())
    }
}

impl Target {
    /// With the end of a URL behind it: empty, or `?` and its fields.
    #[must_use]
    pub fn with(mut self, query: &str) -> Self {
        self.0.push_str(query);
        self
    }

    /// As the head of a request has it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    use super::*;

    #[test]
    fn a_record_takes_its_place() {
        assert_eq!(RECORD.of("ab-1").with("?original=true").as_str(), "/v1/records/ab-1?original=true");
        assert_eq!(WHY.of("ab").as_str(), "/v1/records/ab/why");
        assert_eq!(Target::from(STATUS).with("").as_str(), "/v1/status");
        assert_eq!(ALL.iter().map(|route| route.0).collect::<BTreeSet<_>>().len(), ALL.len());
    }

    #[test]
    fn no_path_stands_anywhere_else() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut waiting: Vec<PathBuf> = vec![root.join("crates"), root.join("node")];
        let mut files = 0;
        while let Some(path) = waiting.pop() {
            if path.ends_with("target") {
                continue;
            }
            if path.is_dir() {
                waiting.extend(path.read_dir().unwrap().map(|entry| entry.unwrap().path()));
            } else if path.extension().is_some_and(|end| end == "rs") && !path.ends_with("api/src/route.rs") {
                files += 1;
                let text = std::fs::read_to_string(&path).unwrap();
                assert!(!text.contains("\"/v1/"), "{} has a path as a text", path.display());
            }
        }
        assert!(files > 100, "{files} files were looked at");
    }
}
