use tocsin_record::OrgId;
use tocsin_record::marking::Tlp;

use super::*;
use crate::{Found, Profile};

fn import(text: &str, profile: &Profile) -> Found {
    let file = FileInfo { name: "iocs.csv", source: "vendor", org: OrgId([7; 32]), profile };
    let found = crate::import(text.as_bytes(), &file).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(found.format, "csv", "{text}");
    found
}

fn shown(found: &Found) -> Vec<String> {
    let all = found.reports.iter().flat_map(|report| &report.indicators);
    let mut shown: Vec<String> = all.map(|i| format!("{} {}", i.what.type_name(), i.what.show())).collect();
    shown.sort();
    shown
}

const SHA1: &str = "da39a3ee5e6b4b0d3255bfef95601890afd80709";
const SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

#[test]
fn layouts_of_real_files() {
    let plain = Profile::default();
    for (text, expected) in [
        ("domain_name,ip_address\n\"a.example\",\"192.0.2.7\"\n", vec!["domain a.example", "ipv4 192.0.2.7"]),
        ("ip,country,asn,asn_name\n192.0.2.7,Utopia,64496,NET-1\n", vec!["ipv4 192.0.2.7"]),
        ("\u{feff}Value,Type,Notes\r\n192.0.2.7,IP address,C2\r\n", vec!["ipv4 192.0.2.7"]),
        ("Domain,Registered,Registrar\na.example,2025-09-24,SOMEONE LIMITED\n", vec!["domain a.example"]),
        ("type,indicator,context\ndomain,a[.]example,\"C2, old\"\n", vec!["domain a.example"]),
        ("Indicator type,Data\nemail_address,me@a.example\n", vec!["email me@a.example"]),
        (
            "phish_id,url,phish_detail_url,vt_link\n1,http://a.example/x,http://b.example/y?id=1,http://c.example/z\n",
            vec!["url http://a.example/x"],
        ),
        // The column that is called so says what the other is.
        (
            "#domain,ioc\nns1[.]a[.]example ns2[.]b[.]example,Possible C2 Domain\nc.example,Possible\n",
            vec!["domain c.example", "domain ns1.a.example", "domain ns2.b.example"],
        ),
        ("ip,ioc\n192.0.2.7,seen\n", vec!["ipv4 192.0.2.7"]),
        ("ip,ioc\n192.0.2.7,a.example\n", vec!["domain a.example"]),
        (
            "Some IOCs,Other\nhxxps://a[.]example/x ,first\nb[.]example,\n,\n",
            vec!["domain b.example", "url https://a.example/x"],
        ),
        (
            "artifact_type,name,affected_versions\nnpm package,@s/x,\"1.0, 1.1\"\n",
            vec!["package pkg:npm/%40s/x@1.0", "package pkg:npm/%40s/x@1.1"],
        ),
        (
            "package_name,package_versions\nleft,1.0\n@s/x,2.0\n",
            vec!["package pkg:npm/%40s/x@2.0", "package pkg:npm/left@1.0"],
        ),
        (
            "2026-08-22 02:53:35,user,domain,a.example,#phishing,https://x.example/1\n",
            vec!["domain a.example"],
        ),
        (
            "d41d8cd98f00b204e9800998ecf8427e,88391e76-0480-5c3e-a69e-44c22b13ebd0\n",
            // The index of a MISP feed.
            vec![],
        ),
        (
            "d41d8cd98f00b204e9800998ecf8427e,evil.exe\n",
            vec!["filename evil.exe", "md5 d41d8cd98f00b204e9800998ecf8427e"],
        ),
        (
            "a.example,192.0.2.7\nb.example,192.0.2.8\n",
            vec!["domain a.example", "domain b.example", "ipv4 192.0.2.7", "ipv4 192.0.2.8"],
        ),
        (
            "a.example,https://ref.example/1\nb.example,https://ref.example/2\n",
            vec!["domain a.example", "domain b.example"],
        ),
        ("sep=;\r\nip;note\r\n192.0.2.7;x\r\n", vec!["ipv4 192.0.2.7"]),
        ("sep=,\r\na.example,x\r\nb.example,y\r\n", vec!["domain a.example", "domain b.example"]),
        (
            "\"value\", \"type\", \"note\"\n\"a.example\", \"domain\", \"one, two\"\n",
            vec!["domain a.example"],
        ),
        (
            "# \"first_seen_utc\",\"ioc_value\",\"ioc_type\"\n\"2026-01-08 15:23:26\", \"a.example\", \"domain\"\n\
             \"2026-01-08 15:23:26\", \"192.0.2.7:443\", \"ip:port\"\n",
            vec!["domain a.example", "ipv4 192.0.2.7"],
        ),
        (
            "#separator \\x09\n#fields\tindicator\tindicator_type\tmeta.source\nevil.example\tIntel::DOMAIN\tx\n\
             192.0.2.0/24\tIntel::SUBNET\t-\nd41d8cd98f00b204e9800998ecf8427e\tIntel::FILE_HASH\tx\n\
             da39a3ee5e6b4b0d3255bfef95601890afd80709\tIntel::CERT_HASH\tx\nsome one\tIntel::USER_NAME\tx\n",
            vec![
                "cert-sha1 da39a3ee5e6b4b0d3255bfef95601890afd80709",
                "domain evil.example",
                "ipv4-net 192.0.2.0/24",
                "md5 d41d8cd98f00b204e9800998ecf8427e",
            ],
        ),
        (
            "Start\tEnd\tNetmask\tName\temail\n192.0.2.0\t192.0.2.255\t24\tX\tabuse@x.example\n",
            vec!["ipv4-net 192.0.2.0/24"],
        ),
        ("network,mask\n192.0.2.0,255.255.255.0\n", vec!["ipv4-net 192.0.2.0/24"]),
        ("start_ip,end_ip\n192.0.2.0,192.0.2.2\n", vec!["ipv4 192.0.2.2", "ipv4-net 192.0.2.0/31"]),
        (
            "type,value\nip-dst|port,192.0.2.7|443\ndomain|ip,a.example|192.0.2.8\nfilename|imphash,x.exe|d41d8cd98f00b204e9800998ecf8427e\n",
            vec!["domain a.example", "filename x.exe", "ipv4 192.0.2.7", "ipv4 192.0.2.8"],
        ),
        (
            "value,type\n\"d41d8cd98f00b204e9800998ecf8427e\nda39a3ee5e6b4b0d3255bfef95601890afd80709\",file\n",
            vec!["md5 d41d8cd98f00b204e9800998ecf8427e", "sha1 da39a3ee5e6b4b0d3255bfef95601890afd80709"],
        ),
        (
            "product,version,hash\nx,10.0.19041.1,d41d8cd98f00b204e9800998ecf8427e\n",
            vec!["md5 d41d8cd98f00b204e9800998ecf8427e"],
        ),
        ("ja3_hash,ip\nd41d8cd98f00b204e9800998ecf8427e,192.0.2.7\n", vec!["ipv4 192.0.2.7"]),
        ("ip;note\n192.0.2.7;x\n", vec!["ipv4 192.0.2.7"]),
        ("ip\tnote\n192.0.2.7\tx\n", vec!["ipv4 192.0.2.7"]),
        (
            "Type,Value\rIPv4 Address,192[.]0[.]2[.]7\rDomain,a.example\r",
            vec!["domain a.example", "ipv4 192.0.2.7"],
        ),
    ] {
        assert_eq!(shown(&import(text, &plain)), expected, "{text}");
    }
}

#[test]
fn hashes_beside_values_and_certificates() {
    let text = format!("category,subtype,indicator,CN,thumbprint\nSigning,SHA256,{SHA256},LTD,{SHA1}\n");
    let found = import(&text, &Profile::default());
    assert_eq!(shown(&found), [format!("cert-sha1 {SHA1}"), format!("sha256 {SHA256}")]);
}

#[test]
fn what_is_said_to_be_no_value_or_good_is_none() {
    let md5 = "d41d8cd98f00b204e9800998ecf8427e";
    let types = [
        "ja3",
        "jarm",
        "imphash",
        "hassh-md5",
        "pehash",
        "git-commit-id",
        "authentihash",
        "whitelist",
        "allow",
        "FileHash-IMPHASH",
        "url-regex",
        "victim-domain",
        "source",
        "reference",
        "nameserver",
        "link",
        "foo",
    ];
    let rows: Vec<String> =
        types.iter().map(|name| format!("{name},{md5}\n{name},https://x.example/1\n")).collect();
    let found = import(&format!("type,value\n{}domain,a.example\n", rows.concat()), &Profile::default());
    assert_eq!(shown(&found), ["domain a.example"]);
    assert_eq!((found.counts.skipped, found.counts.noted), (30, 4));
    assert!(found.skipped[0].why.contains("`ja3`"), "{:?}", found.skipped[0]);
    for (text, expected) in [
        (
            "ioc,malicious\na.example,true\nb.example,false\nc.example,1\nd.example,no\n",
            "a.example c.example",
        ),
        ("ioc,verdict\na.example,malicious\nb.example,clean\n", "a.example"),
        ("ioc,whitelisted\na.example,0\nb.example,1\nc.example,\n", "a.example c.example"),
        ("ioc,false_positive\na.example,no\nb.example,yes\n", "a.example"),
        (
            "ioc,comment\na.example,C2 server\nb.example,sinkhole\nc.example,Microsoft sinkhole\nd.example,not a sinkhole\n",
            "a.example d.example",
        ),
        ("ioc,tags\na.example,c2\nb.example,whitelisted\n", "a.example"),
    ] {
        let found = import(text, &Profile::default());
        let shown: Vec<String> = shown(&found).iter().map(|value| value.replace("domain ", "")).collect();
        assert_eq!(shown.join(" "), expected, "{text}");
        assert!(found.counts.noted > 0 && found.counts.skipped == 0);
    }
}

#[test]
fn what_a_row_says_of_its_value_is_kept() {
    for header in ["classification", "Category", "threat_type"] {
        for since in ["detected_date", "first_seen", "First Seen (UTC)", "date_added"] {
            let since = if since.ends_with(')') { "first seen utc" } else { since };
            let text = format!(
                "type,indicator,{header},{since}\ndomain,a.example,phishing,2026-01-03\ndomain,b.example,legitimate,2026-01-02\n"
            );
            let found = import(&text, &Profile::default());
            let all = &found.reports[0].indicators;
            let of = |name: &str| all.iter().find(|one| one.what.show() == name).unwrap();
            let told = |name: &str| (of(name).kind.kind, of(name).comment.clone(), of(name).valid_from);
            assert_eq!(told("a.example"), (7, "phishing".to_owned(), 1_767_398_400_000), "{header} {since}");
            assert_eq!(
                told("b.example"),
                (4, "legitimate".to_owned(), 1_767_312_000_000),
                "{header} {since}"
            );
        }
    }
    let misp = "uuid,category,type,value,comment,to_ids,date\nu,Network activity,domain,a.example,,1,1767225600\nu,Other,domain,b.example,,0,1767225600\n\
                u,Payload delivery,filename|md5,x.exe|d41d8cd98f00b204e9800998ecf8427e,,1,1767225600\n";
    let found = import(misp, &Profile::default());
    let kinds: Vec<_> =
        found.reports[0].indicators.iter().map(|one| (one.what.show(), one.kind.kind)).collect();
    let md5 = "d41d8cd98f00b204e9800998ecf8427e";
    let expected = [("a.example", 1), ("b.example", 12), (md5, 1), ("x.exe", 0)]
        .map(|(text, kind)| (text.to_owned(), kind));
    assert_eq!(kinds, expected);
}

#[test]
fn a_comment_in_another_encoding_loses_no_value() {
    let file = FileInfo { name: "x.csv", source: "y", org: OrgId([7; 32]), profile: &Profile::default() };
    let found = crate::import(b"ioc,comment\na.example,caf\xe9\nb\xe9.example,x\n", &file).unwrap();
    assert_eq!(shown(&found), ["domain a.example"]);
    assert_eq!(found.reports[0].indicators[0].comment, "caf\u{e9}");
    assert_eq!((found.skipped[0].line, found.counts.skipped), (Some(3), 1));
    let found = crate::import(b"# caf\xe9\na.example # caf\xe9\nb\xe9.example\n", &file).unwrap();
    assert_eq!(
        (found.format, shown(&found), found.counts.skipped),
        ("list", vec!["domain a.example".to_owned()], 1)
    );
}

#[test]
fn context_of_a_row() {
    let text = "2026-08-22 02:53:35,user,domain,a.example,#phishing #kit,https://x.example/1\n";
    let indicator = &import(text, &Profile::default()).reports[0].indicators[0];
    assert_eq!((indicator.kind.kind, indicator.comment.as_str()), (7, "#phishing #kit"));
    assert_eq!(indicator.valid_from, 1_787_367_215_000);
    let text = "value,type,note,confidence,valid_until\na.example,domain,a note,80%,2027-01-01\n";
    let indicator = &import(text, &Profile::default()).reports[0].indicators[0];
    assert_eq!((indicator.confidence, indicator.comment.as_str()), (Some(80), "a note"));
    assert!(indicator.valid_until > 1_798_000_000_000);
}

#[test]
fn a_row_that_ends_before_it_begins_is_left_out() {
    let text =
        "value,valid_from,valid_until\na.example,2027-01-02,2027-01-01\nb.example,2027-01-01,2027-01-02\n";
    let found = import(text, &Profile::default());
    assert_eq!(shown(&found), ["domain b.example"]);
    assert_eq!((found.skipped[0].line, found.skipped[0].path.as_str()), (Some(2), "valid_until"));
    assert!(found.skipped[0].why.contains("before"), "{:?}", found.skipped);
}

#[test]
fn a_bad_row_is_told_by_line_and_column() {
    let text =
        "type,value\ndomain,a.example\nCommand line,curl http://b.example\nsha256,zz\n\ndomain,c.example\n";
    let found = import(text, &Profile::default());
    assert_eq!(shown(&found), ["domain a.example", "domain c.example"]);
    let told: Vec<_> = found.skipped.iter().map(|skipped| (skipped.line, skipped.path.as_str())).collect();
    assert_eq!(told, [(Some(3), "value"), (Some(4), "value")]);
    assert!(found.skipped[0].why.contains("`Command line`"));
}

#[test]
fn a_tlp_column_marks_its_rows() {
    let text = "domain,tlp\na.example,TLP:GREEN\nb.example,amber\nc.example,\nd.example,blue\n";
    let found = import(text, &Profile::default());
    // What is not understood stays here, and is told.
    assert_eq!(
        marked(&found),
        [
            "None c.example".to_owned(),
            "Green a.example".into(),
            "Amber b.example".into(),
            "AmberStrict d.example".into()
        ]
    );
    assert_eq!(
        (found.noted[0].line, &*found.noted[0].path, &*found.noted[0].value),
        (Some(5), "tlp", "blue")
    );
    let profile = Profile::parse("[override-marking]\nblue = 'green'").unwrap();
    assert_eq!(marked(&import(text, &profile))[1], "Green a.example d.example");
    let found = import("# TLP:AMBER\ndomain,x\na.example,\n", &Profile::default());
    assert_eq!(found.marking.tlp, Some(Tlp::Amber));
}

/// Each group's marking and values.
fn marked(found: &Found) -> Vec<String> {
    let reports = found.reports.iter().map(|report| {
        let values = report.indicators.iter().map(|indicator| indicator.what.show()).collect::<Vec<_>>();
        let tlp = report.marking.strictest().max(found.marking.strictest());
        format!("{} {}", tlp.map_or("None".to_owned(), |tlp| format!("{tlp:?}")), values.join(" "))
    });
    reports.collect()
}

#[test]
fn labels_bind_wherever_they_stand_in_a_table() {
    let profile = Profile::default();
    for (text, groups) in [
        // A column of any name whose cells are such words, with a prefix or without.
        ("domain,farbe\na.example,TLP:RED\nb.example,TLP:GREEN\n", &["Green b.example", "Red a.example"][..]),
        ("domain,farbe\na.example,red\nb.example,green\n", &["Green b.example", "Red a.example"]),
        (
            "domain,Classification\na.example,TLP-AMBER\nb.example,phishing\n",
            &["None b.example", "Amber a.example"],
        ),
        (
            "domain,Classification\na.example,confidential\nb.example,legit\n",
            &["None b.example", "AmberStrict a.example"],
        ),
        ("domain,Handling\na.example,partners\nb.example,\n", &["None b.example", "AmberStrict a.example"]),
        // Tags, comments, and any other cell.
        (
            "domain,tags\na.example,phish tlp:red\nb.example,\"c2,tlp:green\"\n",
            &["Green b.example", "Red a.example"],
        ),
        ("domain,tags\na.example,tlp:ex:chr\nb.example,c2\n", &["None b.example", "AmberStrict a.example"]),
        (
            "domain,comment\na.example,TLP: RED\nb.example,from a TLP:AMBER report\n",
            &["Amber b.example", "Red a.example"],
        ),
        ("domain,other\na.example,amber\nb.example,blue\n", &["None b.example", "Amber a.example"]),
        (
            "domain,event_tag\na.example,\"osint,tlp:amber+strict\"\nb.example,osint\n",
            &["None b.example", "AmberStrict a.example"],
        ),
        (
            "domain,event_distribution\na.example,0\nb.example,3\n",
            &["Green b.example", "AmberStrict a.example"],
        ),
        // Comments before, between and behind, and the header.
        ("# shared as TLP:RED\ndomain,x\na.example,\n", &["Red a.example"]),
        ("domain,x\na.example,\n# TLP:RED\nb.example,\n", &["None a.example", "Red b.example"]),
        ("domain,x\na.example,\nb.example,\n# all of this is TLP:RED\n", &["Red a.example b.example"]),
        ("domain (TLP:AMBER),x\na.example,\n", &["Amber a.example"]),
    ] {
        let mut found = marked(&import(text, &profile));
        found.sort_by_key(|group| {
            ["None", "Green", "Amber ", "AmberS", "Red"].iter().position(|name| group.starts_with(name))
        });
        assert_eq!(found, groups, "{text}");
    }
    // A file that is CSV by its profile, too.
    let found = import("value;tlp\na.example;red\n", &Profile::parse("format = 'csv'").unwrap());
    assert_eq!(marked(&found), ["Red a.example"]);
}

#[test]
fn a_profile_maps_columns() {
    let text = "when,what,which,why\n2026-01-01,a.example,domain,because\n";
    let profile = Profile::parse(
        "kind = 'phishing'\n[columns]\nvalue = 'What'\ntype = '3'\ncomment = 'why'\nvalid-from = 'when'",
    )
    .unwrap();
    let indicator = &import(text, &profile).reports[0].indicators[0];
    assert_eq!((indicator.comment.as_str(), indicator.kind.kind), ("because", 7));
    assert!(indicator.valid_from > 0);
    let profile = Profile::parse("[columns]\nvalue = 'absent'").unwrap();
    let file = FileInfo { name: "x", source: "y", org: OrgId([7; 32]), profile: &profile };
    assert!(
        matches!(crate::import(text.as_bytes(), &file), Err(ImportError::Column(name)) if name == "absent")
    );
}

#[test]
fn what_is_taken_otherwise_is_told_by_line() {
    let text = format!(
        "type,value,confidence,valid_from,valid_until\ndomain,a.example,high,2026-01-01,\n\
         domain,192.0.2.7,150,soon,never\nmd5,{SHA1},-4,,\nsha1,{SHA1},40%,,\nip,192.0.2.0/24,,,\n"
    );
    let found = import(&text, &Profile::default());
    let told: Vec<_> = found.noted.iter().map(|n| (n.line.unwrap(), &*n.path, &*n.value)).collect();
    assert_eq!(
        told,
        [
            (2, "confidence", "high"),
            (3, "value", "192.0.2.7"),
            (3, "confidence", "150"),
            (3, "valid from", "soon"),
            (3, "valid until", "never"),
            (4, "value", SHA1),
            (4, "confidence", "-4"),
        ]
    );
    assert!(found.noted[1].why.contains("`domain`") && found.noted[1].why.contains("`ipv4`"));
    assert_eq!((found.counts.indicators, found.counts.duplicates, found.counts.skipped), (4, 1, 0));
}

#[test]
fn a_value_is_quoted_short() {
    let long = format!("type,value\nsha256,{}\nsha256,{SHA256}\n", "z".repeat(3_000));
    let found = import(&long, &Profile::default());
    assert!(found.skipped[0].value.len() <= 80 && found.skipped[0].why.len() < 300);
}

/// What a source took back is not imported as if it stood, wherever a table says so.
#[test]
fn what_its_source_took_back_is_left_out() {
    let plain = Profile::default();
    for (header, gone, stands) in [
        ("revoked", "true", "false"),
        ("Is Revoked", "1", "0"),
        ("deleted", "yes", ""),
        ("deleted_at", "2026-01-02T03:04:05Z", "-"),
        ("withdrawn", "2026-01-02", "null"),
        ("status", "Revoked", "active"),
        ("status", "expired", "online"),
        ("Indicator Status", "DELETED", "inactive"),
    ] {
        let found = import(&format!("domain,{header}\na.example,{gone}\nb.example,{stands}\n"), &plain);
        assert_eq!(shown(&found), ["domain b.example"], "{header}");
        assert_eq!(
            (found.counts.withdrawn, found.noted[0].line, found.counts.skipped),
            (1, Some(2), 0),
            "{header}"
        );
        assert!(found.noted[0].why.contains("no longer counts"), "{header}");
    }
}

#[test]
fn what_stands_for_nothing_is_no_fault() {
    let found = import(
        &format!("md5,sha1,sha256,filename\n-,N/A,\"sha256:{SHA256}\",y.exe\nnull,{SHA1},None,--\n"),
        &Profile::default(),
    );
    assert_eq!(
        shown(&found),
        ["filename y.exe".to_owned(), format!("sha1 {SHA1}"), format!("sha256 {SHA256}")]
    );
    assert_eq!((found.counts.skipped, found.counts.noted), (0, 0));
}

/// MISP's own export of attributes: dates without signs, tags that bind their row alone, no `to_ids` no malice.
#[test]
fn the_csv_that_misp_writes() {
    let text = format!(
        "uuid,event_id,category,type,value,comment,to_ids,date,object_relation,attribute_tag,object_uuid,object_name,object_meta_category\n\
         \"5f0a5b5e-0000-4000-8000-000000000001\",1,\"Network activity\",\"ip-dst|port\",\"2001:db8::7|80\",\"\",1,20200131,\"\",\"tlp:red,x\",\"\",\"\",\"\"\n\
         \"5f0a5b5e-0000-4000-8000-000000000002\",1,\"Network activity\",\"domain\",\"a.example\",\"\",0,20200131,\"\",\"\",\"\",\"\",\"\"\n\
         \"5f0a5b5e-0000-4000-8000-000000000003\",1,\"Payload delivery\",\"filename|sha1\",\"a|b.exe|{SHA1}\",\"\",1,20200131,\"\",\"\",\"\",\"\",\"\"\n"
    );
    let found = import(&text, &Profile::default());
    assert_eq!((found.counts.skipped, found.counts.noted), (0, 0), "{:?}", found.noted);
    assert_eq!(
        shown(&found),
        [
            "domain a.example".to_owned(),
            "filename a|b.exe".to_owned(),
            "ipv6 2001:db8::7".to_owned(),
            format!("sha1 {SHA1}")
        ]
    );
    let red = found.reports.iter().find(|report| report.marking.tlp == Some(Tlp::Red)).unwrap();
    assert_eq!((red.indicators.len(), red.indicators[0].valid_from), (1, 1_580_428_800_000));
    assert_eq!(found.reports.iter().filter(|report| report.marking.tlp.is_none()).count(), 1);
}

/// Zeek's own names, and what stands in a feed for Zeek that is none of a value.
#[test]
fn intelligence_for_zeek() {
    let text = "#fields\tindicator\tindicator_type\tmeta.source\tmeta.desc\tmeta.do_notice\n\
                \"192.0.2.7\"\tIntel::ADDR\tfeed\t-\tT\n198.51.100.0/24\tIntel::SUBNET\tfeed\t-\tT\n\
                203.0.113.0/24\tIntel::NET\tfeed\t-\tF\na.example\tIntel::DOMAIN\tfeed\tTLP:AMBER c2\tT\n\
                a.example/x\tIntel::URL\tfeed\t-\tT\n.40\tIntel::ADDR\tfeed\t-\tT\nbob\tIntel::USER_NAME\tfeed\t-\tT\n";
    let found = import(text, &Profile::default());
    assert_eq!(
        shown(&found),
        [
            "domain a.example",
            "ipv4 192.0.2.7",
            "ipv4-net 198.51.100.0/24",
            "ipv4-net 203.0.113.0/24",
            "url http://a.example/x"
        ]
    );
    assert_eq!(found.skipped.iter().map(|one| one.line).collect::<Vec<_>>(), [Some(7), Some(8)]);
    let amber = found.reports.iter().find(|report| report.marking.floor == Some(Tlp::Amber)).unwrap();
    assert_eq!(amber.indicators[0].what.show(), "a.example");
}

/// Zeek escapes what would end a cell, and what is no ASCII, by the byte.
#[test]
fn what_zeek_escapes_is_read_as_it_is_meant() {
    let text = "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n\
                #fields\tindicator\tindicator_type\tmeta.tlp\tmeta.desc\n\
                b.example\\x2fgate\\x2f\\xc3\\xbc\tIntel::URL\tgreen\t(empty)\nc:\\\\a\\x5cb.exe\tIntel::FILE_NAME\tgreen\ta\\x09b\n\
                a\\x2eexample\tIntel::DOMAIN\tred\t-\n\\xff.example\tIntel::DOMAIN\tgreen\t-\n";
    let found = import(text, &Profile::default());
    assert_eq!(
        shown(&found),
        ["domain a.example", "filename c:\\a\\b.exe", "url http://b.example/gate/%C3%BC"]
    );
    assert_eq!(found.skipped.iter().map(|one| one.line).collect::<Vec<_>>(), [Some(9)]);
    let green = found.reports.iter().find(|report| report.marking.tlp == Some(Tlp::Green)).unwrap();
    assert_eq!(
        green.indicators.iter().map(|one| one.comment.as_str()).collect::<Vec<_>>(),
        ["", "a b: Intel::FILE_NAME"]
    );
    assert!(found.reports.iter().any(|report| report.marking.tlp == Some(Tlp::Red)));
    // In what Zeek did not write a backslash is one.
    let other = import("value,type\nc:\\x2fb.exe,filename\n", &Profile::default());
    assert_eq!(shown(&other), ["filename c:\\x2fb.exe"]);
}
