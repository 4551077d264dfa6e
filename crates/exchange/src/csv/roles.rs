//! What the words of a CSV's header say that its columns are for.

use crate::types::normal;

/// What a column is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Value,
    /// The values' if there are types beside it.
    Name,
    Package,
    Versions,
    Type,
    Comment,
    Tags,
    From,
    Until,
    Confidence,
    /// What the source takes the value for: a kind, and a word for people.
    Class,
    /// Whether it is bad: `true` and its like.
    Bad,
    /// Whether it is good.
    Good,
    /// Whether its source took it back, or when.
    Gone,
    /// MISP's `to_ids`: whether to look for it.
    ToIds,
    /// The first address of a network, its last, and its prefix length.
    Start,
    End,
    Prefix,
    /// Context that looks like an indicator and is none.
    Other,
}

/// Words of headers, in lower case with `_`. Words for types of values are in [`crate::types::type_named`].
const WORDS: &[(Role, &[&str])] = &[
    (
        Role::Value,
        &[
            "value",
            "values",
            "indicator",
            "indicators",
            "indicator_value",
            "ioc",
            "iocs",
            "ioc_value",
            "data",
            "observable",
            "observable_value",
            "artifact",
            "artifact_value",
            "entity",
            "threat_indicator",
        ],
    ),
    (Role::Name, &["name"]),
    (Role::Package, &["package", "package_name"]),
    (Role::Versions, &["version", "versions", "package_version", "package_versions", "affected_versions"]),
    (
        Role::Type,
        &[
            "type",
            "subtype",
            "indicator_type",
            "ioc_type",
            "artifact_type",
            "observable_type",
            "entity_type",
            "value_type",
            "data_type",
        ],
    ),
    (
        Role::Comment,
        &[
            "comment",
            "comments",
            "note",
            "notes",
            "description",
            "context",
            "other_context",
            "details",
            "malware_printable",
            "title",
            "meta_desc",
        ],
    ),
    (
        Role::Tags,
        &[
            "tag",
            "tags",
            "label",
            "labels",
            "threat",
            "malware",
            "malware_family",
            "family",
            "attribute_tag",
            "malware_alias",
        ],
    ),
    (
        Role::Class,
        &[
            "classification",
            "class",
            "category",
            "categories",
            "threat_type",
            "threat_category",
            "disposition",
            "verdict_type",
            "attack_type",
        ],
    ),
    (
        Role::Bad,
        &["malicious", "is_malicious", "bad", "is_bad", "blacklisted", "blocklisted", "is_threat", "verdict"],
    ),
    (
        Role::Good,
        &[
            "whitelisted",
            "whitelist",
            "is_whitelisted",
            "allowlisted",
            "is_allowlisted",
            "benign",
            "is_benign",
            "false_positive",
            "is_false_positive",
            "legitimate",
            "is_legitimate",
            "legit",
            "clean",
            "is_clean",
            "safe",
            "is_safe",
            "trusted",
        ],
    ),
    (
        Role::Gone,
        &[
            "revoked",
            "is_revoked",
            "revoked_at",
            "deleted",
            "is_deleted",
            "deleted_at",
            "withdrawn",
            "is_withdrawn",
            "retracted",
            "is_retracted",
            "is_expired",
            "status",
            "state",
            "indicator_status",
            "ioc_status",
        ],
    ),
    (Role::ToIds, &["to_ids"]),
    (
        Role::From,
        &[
            "date",
            "first_seen",
            "firstseen",
            "first_seen_utc",
            "first_seen_at",
            "date_first_seen",
            "dateadded",
            "date_added",
            "added",
            "added_on",
            "detected_date",
            "detection_date",
            "date_detected",
            "detected",
            "detected_at",
            "discovered",
            "discovery_date",
            "observed",
            "observed_date",
            "valid_from",
            "created",
            "created_at",
            "created_on",
            "submission_date",
            "timestamp",
            "reported",
            "reported_date",
            "report_date",
        ],
    ),
    (
        Role::Until,
        &[
            "valid_until",
            "valid_to",
            "expires",
            "expiration",
            "expiration_date",
            "expiry",
            "expiry_date",
            "expire_date",
        ],
    ),
    (Role::Confidence, &["confidence", "confidence_level", "confidence_score"]),
    (
        Role::Start,
        &[
            "start",
            "start_ip",
            "range_start",
            "start_address",
            "first_ip",
            "first_address",
            "ip_start",
            "from_ip",
            "begin",
            "network_start",
        ],
    ),
    (
        Role::End,
        &[
            "end",
            "end_ip",
            "range_end",
            "end_address",
            "last_ip",
            "last_address",
            "ip_end",
            "to_ip",
            "network_end",
        ],
    ),
    (Role::Prefix, &["netmask", "prefix", "prefix_length", "mask", "masklen", "subnet_mask"]),
    (
        Role::Other,
        &[
            "reference",
            "references",
            "source",
            "sources",
            "link",
            "links",
            "report",
            "report_url",
            "asn_name",
            "url_status",
            "last_seen",
            "last_seen_utc",
            "lastseen",
            "last_online",
            "registered",
            "registrar",
            "country",
            "isp",
            "user_agent_string",
            "product",
            "software",
            "os",
            "vendor",
            "build",
            "file_version",
            "reporter",
            "nameserver",
            "nameservers",
            "name_server",
            "abuse",
            "abuse_contact",
            "victim",
            "victims",
        ],
    ),
];

/// What is told of a value elsewhere: a URL that is called so (`phish_detail_url`, `vt_link`) is where to read on, and none of what
/// the row warns of.
const TOLD: &[&str] = &[
    "detail",
    "details",
    "reference",
    "ref",
    "report",
    "permalink",
    "article",
    "blog",
    "analysis",
    "advisory",
    "screenshot",
    "virustotal",
    "vt",
    "urlscan",
    "evidence",
    "info",
    "documentation",
];

fn is_told_of(name: &str) -> bool {
    let mut words = name.rsplit('_');
    let last = words.next().unwrap_or_default();
    matches!(last, "url" | "urls" | "uri" | "link" | "links") && words.any(|word| TOLD.contains(&word))
}

/// What a header's cell says of its column.
pub(super) fn role(cell: &str) -> Option<Role> {
    let name = normal(cell);
    if is_told_of(&name) {
        return Some(Role::Other);
    }
    WORDS.iter().find(|(_, words)| words.contains(&&*name)).map(|(role, _)| *role)
}
