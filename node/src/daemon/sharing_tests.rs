//! Sharing, at a node that runs.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use tocsin_api::types::{MarkingWords, PublishRequest, RetractRequest, ShareRequest};

use super::Running;
use super::tests::founded;

fn caller(node: &tocsin_service::Node) -> tocsin_service::Caller {
    tocsin_service::Caller::new(&node.person())
}

fn warning(circle: &str) -> PublishRequest {
    PublishRequest {
        values: vec!["192.0.2.7".to_owned()],
        circles: vec![circle.to_owned()],
        marking: MarkingWords { tlp: Some("green".to_owned()), ..MarkingWords::default() },
        ..PublishRequest::default()
    }
}

// One thread for everything that is not told to block: had a request waited there, nothing else would go on.
#[tokio::test]
async fn a_request_that_waits_holds_up_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let home = founded(&folder.path().join("aa"));
    let running = Running::start(&home, home.config().unwrap()).await.unwrap();
    let node = Arc::clone(&running.node);
    let own = node.publish(&caller(&node), warning("own")).await.unwrap();
    let request = ShareRequest {
        ids: vec![own.records[0].record.clone()],
        to: vec!["mesh".to_owned()],
        dry_run: true,
        ..ShareRequest::default()
    };
    // A share is told by the policy who would get it: here it waits for that.
    let (holds, held) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let holder = std::thread::spawn({
        let node = Arc::clone(&node);
        move || {
            let _policy = tocsin_engine::write(&node.policy.policy);
            holds.send(()).unwrap();
            let _ = released.recv_timeout(Duration::from_secs(3));
        }
    });
    held.recv().unwrap();
    let asks = caller(&node);
    let mut shared = Box::pin(node.share(&asks, request));
    let early = tokio::time::timeout(Duration::from_millis(50), &mut shared).await;
    assert!(early.is_err(), "the only thread waited for it");
    release.send(()).unwrap();
    assert_eq!(shared.await.unwrap().records.len(), 1);
    holder.join().unwrap();
    running.stop().await.unwrap();
}

#[tokio::test]
async fn what_stands_there_is_no_refusal() {
    let folder = tempfile::tempdir().unwrap();
    let home = founded(&folder.path().join("aa"));
    let running = Running::start(&home, home.config().unwrap()).await.unwrap();
    let node = &running.node;
    let own = node.publish(&caller(node), warning("own")).await.unwrap();
    let id = own.records[0].record.clone();
    let to =
        |to: &str| ShareRequest { ids: vec![id.clone()], to: vec![to.to_owned()], ..ShareRequest::default() };
    // Who asks for a looser label is told that it stays.
    let looser = |to: ShareRequest| ShareRequest {
        marking: MarkingWords { tlp: Some("clear".to_owned()), ..MarkingWords::default() },
        ..to
    };
    let shared = node.share(&caller(node), looser(to("mesh"))).await.unwrap();
    assert_eq!(shared.warnings, [format!("{id} keeps TLP:GREEN: a marking is never made looser")]);
    let again = node.share(&caller(node), looser(to("mesh"))).await.unwrap();
    assert!(
        again.skipped[0].why.ends_with("it keeps TLP:GREEN: a marking is never made looser"),
        "{again:?}"
    );
    for (circle, said) in [("mesh", "as it is"), ("own", "already")] {
        let again = node.share(&caller(node), to(circle)).await.unwrap();
        assert!(again.records.is_empty() && again.skipped[0].why.contains(said), "{again:?}");
    }
    let retract = RetractRequest { ids: vec![id.clone()], reason: "wrong".to_owned() };
    assert_eq!(node.retract(&caller(node), retract).await.unwrap().records.len(), 2);
    let refused = node.share(&caller(node), to("mesh")).await.unwrap_err().to_string();
    assert!(refused.starts_with(&format!("{id} was not shared: ")), "{refused}");
    running.stop().await.unwrap();
}
