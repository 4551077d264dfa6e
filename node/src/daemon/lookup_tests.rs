//! Lookups that ask for much, at a node that runs.

use std::sync::Arc;

use tocsin_api::types::{LookupRequest, MarkingWords, PublishRequest};

use super::Running;
use super::tests::founded;

/// Reports that list one domain.
const REPORTS: usize = 60;
/// Names under it that are looked up at once: each has a share of twenty hits.
const NAMES: usize = 1_000;

#[tokio::test(flavor = "multi_thread")]
async fn many_names_under_a_popular_domain_are_answered_within_bounds() {
    let folder = tempfile::tempdir().unwrap();
    let home = founded(&folder.path().join("aa"));
    let running = Running::start(&home, home.config().unwrap()).await.unwrap();
    let node = Arc::clone(&running.node);
    for number in 0..REPORTS {
        let warning = PublishRequest {
            values: vec!["popular.example".to_owned()],
            circle: "mesh".to_owned(),
            marking: MarkingWords { tlp: Some("green".to_owned()), ..MarkingWords::default() },
            title: format!("report {number}"),
            ..PublishRequest::default()
        };
        node.publish(warning).await.unwrap();
    }
    let answers = tokio::task::spawn_blocking(move || {
        let one = LookupRequest { values: vec!["n.popular.example".to_owned()], ..LookupRequest::default() };
        let values = (0..NAMES).map(|n| format!("n{n}.popular.example")).collect();
        let many = LookupRequest { values, ..LookupRequest::default() };
        let caller = tocsin_service::Caller::new(&node.person());
        (node.lookup(&caller, &one).unwrap(), node.lookup(&caller, &many).unwrap())
    });
    let (one, many) = answers.await.unwrap();
    assert_eq!(one[0].hits.len(), REPORTS, "one value alone has room for all");
    assert_eq!(one[0].note, None);
    assert_eq!(many.len(), NAMES);
    for answer in &many {
        let titles: std::collections::BTreeSet<&str> =
            answer.hits.iter().map(|hit| hit.title.as_str()).collect();
        assert_eq!(titles.len(), 20, "{}", answer.value);
        assert!(
            titles.contains(format!("report {}", REPORTS - 1).as_str()),
            "the newest are told: {titles:?}"
        );
        assert!(answer.is_known() && !answer.complete, "what is left out is said");
        assert!(answer.note.as_ref().unwrap().contains("fewer values"), "{:?}", answer.note);
    }
    running.stop().await.unwrap();
}
