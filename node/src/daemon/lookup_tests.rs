//! Lookups that ask for much, at a node that runs.

use std::sync::Arc;
use std::time::Instant;

use tocsin_api::types::{LookupRequest, MarkingWords, PublishRequest, QueryRequest};
use tocsin_protocol::Input;
use tocsin_record::body::Body;
use tocsin_record::body::report::{Extent, Origin, Report, Subject};

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
            circles: vec!["mesh".to_owned()],
            marking: MarkingWords { tlp: Some("green".to_owned()), ..MarkingWords::default() },
            title: format!("report {number}"),
            ..PublishRequest::default()
        };
        node.publish(&tocsin_service::Caller::new(&node.person()), warning).await.unwrap();
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

/// An org may write as many versions of a report as it likes: lists come by each of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_reads_the_versions_of_a_report_once() {
    const VERSIONS: usize = 1_500;
    let folder = tempfile::tempdir().unwrap();
    let home = founded(&folder.path().join("aa"));
    let running = Running::start(&home, home.config().unwrap()).await.unwrap();
    let node = Arc::clone(&running.node);
    let version = |number: usize| {
        Body::Report(Report {
            salt: [7; 16],
            subject: Subject([1; 16]),
            supersedes: None,
            extent: Extent::Whole,
            origin: Origin::default(),
            marking: None,
            title: format!("version {number}"),
            description: String::new(),
            created: 0,
            modified: 0,
            labels: vec![],
            indicators: vec![],
            withdrawn: vec![],
            originals: vec![],
            extension: vec![],
        })
    };
    let (circle, bodies) = (node.engine.own_circle(), (0..VERSIONS).map(version).collect());
    node.engine.core.ask(move |ticket| Input::Publish { ticket, circle, bodies }).await.unwrap();
    let timed = tokio::task::spawn_blocking(move || {
        let caller = tocsin_service::Caller::new(&node.engine.config.person);
        let list = |all_versions: bool| {
            let request = QueryRequest { all_versions, limit: Some(10_000), ..QueryRequest::default() };
            let begun = Instant::now();
            let found = node.query(&caller, &request).unwrap().records.len();
            (found, begun.elapsed())
        };
        list(true);
        (list(true), list(false))
    });
    let ((all, plain), (standing, sorted)) = timed.await.unwrap();
    assert_eq!((all, standing), (VERSIONS, 1));
    // Not a thousand times, as if all of them were read for each.
    assert!(sorted < 20 * plain, "{sorted:?} where all of them take {plain:?}");
    running.stop().await.unwrap();
}
