use std::os::unix::fs::PermissionsExt as _;

use model::time::Timestamp;

use super::*;

fn decision(principal: &str) -> Decision {
    Decision {
        time: Timestamp::default(),
        principal: Some(principal.to_owned()),
        address: "10.0.0.1".parse().unwrap(),
        method: "Basic".into(),
        realm: "r".into(),
        granted: true,
        reason: String::new(),
    }
}

/// Who is named in which line.
fn named(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap();
    let value = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
    text.lines().map(|line| value(line)["principal"].as_str().unwrap().to_owned()).collect()
}

/// Until the trail has written `count` lines in all.
fn until(trail: &AuditFile, count: u64) {
    let began = std::time::Instant::now();
    while trail.totals().0 < count {
        assert!(began.elapsed().as_secs() < 60, "{:?}", trail.totals());
        std::thread::yield_now();
    }
}

#[test]
fn lines_are_appended_to_a_file_for_its_owner_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.log");
    for run in ["a", "b"] {
        let trail = AuditFile::open(&path).unwrap();
        trail.append(&decision(run));
    }
    assert_eq!(named(&path), ["a", "b"], "dropping writes what waits");
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_file_that_was_rotated_away_is_begun_anew() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let trail = AuditFile::open(&at("audit.log")).unwrap();
    trail.append(&decision("a"));
    until(&trail, 1);
    std::fs::rename(at("audit.log"), at("audit.log.1")).unwrap();
    trail.append(&decision("b"));
    until(&trail, 2);
    std::fs::remove_file(at("audit.log")).unwrap();
    trail.append(&decision("c"));
    trail.close();
    assert_eq!(named(&at("audit.log.1")), ["a"]);
    assert_eq!(named(&at("audit.log")), ["c"]);
}

#[test]
fn lost_decisions_are_counted_and_told_in_the_next_line() {
    let directory = tempfile::tempdir().unwrap();
    let logs = directory.path().join("logs");
    std::fs::create_dir(&logs).unwrap();
    let path = logs.join("audit.log");
    let trail = AuditFile::open(&path).unwrap();
    // The directory is gone: there is no place for a new file.
    std::fs::remove_dir_all(&logs).unwrap();
    trail.append(&decision("a"));
    let began = std::time::Instant::now();
    while trail.totals() != (0, 1) {
        assert!(began.elapsed().as_secs() < 60, "{:?}", trail.totals());
        std::thread::yield_now();
    }
    std::fs::create_dir(&logs).unwrap();
    trail.append(&decision("b"));
    trail.close();
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].contains("\"b\""), "{text}");
    assert_eq!(lines[1], r#"{"lost":1}"#);
    // Nothing takes decisions any more.
    trail.append(&decision("c"));
    assert_eq!(trail.totals(), (1, 2));
}

#[test]
fn a_trail_that_cannot_be_opened_says_where() {
    let error = AuditFile::open(Path::new("/no/such/audit.log")).unwrap_err();
    assert!(error.to_string().contains("/no/such/audit.log"), "{error}");
}
