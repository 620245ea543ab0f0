//! The authority on disk.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use alcazar_pki::{DAY, KeyKind, LeafRequest, Opened, Store, StoreError, identity_of};
use model::identity::{Identity, TrustDomain};
use model::time::Timestamp;
use openssl::pkey::PKey;
use openssl::x509::X509;

/// 2026-11-22.
const NOW: Timestamp = Timestamp::new(Duration::from_secs(1_795_305_600));

fn later(days: u32) -> Timestamp {
    Timestamp::new(NOW.since_epoch() + days * DAY)
}

fn domain() -> TrustDomain {
    TrustDomain::new("d1").unwrap()
}

fn request(identity: &str, now: Timestamp) -> LeafRequest {
    LeafRequest::new(identity.parse::<Identity>().unwrap(), now)
}

fn contents(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    fs::read_dir(directory)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())
        })
        .collect()
}

#[test]
fn an_authority_survives_being_opened_again() {
    let scratch = tempfile::tempdir().unwrap();
    let directory = scratch.path().join("state/pki");
    let (_, opened) = Store::open_or_create(&directory, &domain(), NOW).unwrap();
    assert_eq!(opened, Opened::Created);
    let before = contents(&directory);
    assert_eq!(
        before.keys().map(String::as_str).collect::<Vec<_>>(),
        ["intermediate.crt", "intermediate.key", "root.crt", "root.key", "trust-bundle.pem"]
    );
    assert_eq!(before["trust-bundle.pem"], before["root.crt"]);
    let (_, opened) = Store::open_or_create(&directory, &domain(), later(100)).unwrap();
    assert_eq!(opened, Opened::Existing);
    assert_eq!(contents(&directory), before);
    let siblings = fs::read_dir(directory.parent().unwrap()).unwrap().count();
    assert_eq!(siblings, 1, "nothing temporary is left");
}

#[test]
fn keys_are_for_their_owner_alone() {
    let scratch = tempfile::tempdir().unwrap();
    let directory = scratch.path().join("pki");
    let (store, _) = Store::open_or_create(&directory, &domain(), NOW).unwrap();
    store.reissue(&request("spiffe://d1/agent/a", NOW)).unwrap();
    store.reissue(&request("spiffe://d1/agent/a", NOW)).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&directory), 0o700);
    let keys: Vec<_> = contents(&directory).into_keys().filter(|n| n.ends_with(".key")).collect();
    assert_eq!(keys, ["agent-a.key", "intermediate.key", "root.key"]);
    for key in keys {
        assert_eq!(mode(&directory.join(&key)), 0o600, "{key}");
    }
}

#[test]
fn a_key_that_others_can_read_is_refused_by_name() {
    let scratch = tempfile::tempdir().unwrap();
    let directory = scratch.path().join("pki");
    Store::open_or_create(&directory, &domain(), NOW).unwrap();
    for name in ["root.key", "intermediate.key"] {
        let key = directory.join(name);
        fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
        let error = Store::open_or_create(&directory, &domain(), NOW).unwrap_err();
        assert!(matches!(&error, StoreError::Exposed { path } if *path == key), "{error}");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    }
}

#[test]
fn a_leaf_and_its_key_belong_together_and_are_renewed_in_place() {
    let scratch = tempfile::tempdir().unwrap();
    let directory = scratch.path().join("pki");
    let (store, _) = Store::open_or_create(&directory, &domain(), NOW).unwrap();
    let paths = store.reissue(&request("spiffe://d1/master/m", NOW)).unwrap();
    assert_eq!(paths.certificate, directory.join("master-m.crt"));
    assert_eq!(paths.key, directory.join("master-m.key"));
    let first = fs::read(&paths.certificate).unwrap();
    store.reissue(&request("spiffe://d1/master/m", later(1))).unwrap();
    let second = fs::read(&paths.certificate).unwrap();
    assert_ne!(first, second);
    let certificate = X509::from_pem(&second).unwrap();
    let key = PKey::private_key_from_pem(&fs::read(&paths.key).unwrap()).unwrap();
    assert!(key.public_eq(&certificate.public_key().unwrap()));
    let identity = identity_of(&certificate.to_der().unwrap()).unwrap();
    assert_eq!(identity.to_string(), "spiffe://d1/master/m");
    let rsa = store.leaf_paths(&identity, KeyKind::Rsa3072);
    assert_ne!(rsa.certificate, paths.certificate, "two leaves lie side by side");
    let count = contents(&directory).len();
    assert_eq!(count, 7, "nothing temporary is left");
}

#[test]
fn another_trust_domain_does_not_take_over_an_authority() {
    let scratch = tempfile::tempdir().unwrap();
    let directory = scratch.path().join("pki");
    Store::open_or_create(&directory, &domain(), NOW).unwrap();
    let before = contents(&directory);
    let other = TrustDomain::new("d2").unwrap();
    let error = Store::open_or_create(&directory, &other, NOW).unwrap_err();
    assert!(matches!(error, StoreError::Authority { .. }), "{error}");
    assert_eq!(contents(&directory), before);
}

#[test]
fn half_an_authority_is_neither_used_nor_overwritten() {
    for missing in ["root.crt", "root.key"] {
        let scratch = tempfile::tempdir().unwrap();
        let directory = scratch.path().join("pki");
        Store::open_or_create(&directory, &domain(), NOW).unwrap();
        fs::remove_file(directory.join(missing)).unwrap();
        let before = contents(&directory);
        let error = Store::open_or_create(&directory, &domain(), NOW).unwrap_err();
        assert!(
            matches!(error, StoreError::Incomplete { missing: named, .. } if named == missing),
            "{error}"
        );
        assert_eq!(contents(&directory), before);
    }
}

#[test]
fn a_root_with_anothers_key_is_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let (ours, theirs) = (scratch.path().join("ours"), scratch.path().join("theirs"));
    Store::open_or_create(&ours, &domain(), NOW).unwrap();
    Store::open_or_create(&theirs, &domain(), NOW).unwrap();
    fs::copy(theirs.join("root.key"), ours.join("root.key")).unwrap();
    let error = Store::open_or_create(&ours, &domain(), NOW).unwrap_err();
    assert!(matches!(error, StoreError::Authority { .. }), "{error}");
}

#[test]
fn an_intermediate_is_replaced_before_its_leaves_could_outlive_it() {
    let scratch = tempfile::tempdir().unwrap();
    let directory = scratch.path().join("pki");
    let (store, _) = Store::open_or_create(&directory, &domain(), NOW).unwrap();
    let old = store.reissue(&request("spiffe://d1/agent/a", NOW)).unwrap();
    let old = fs::read(old.certificate).unwrap();
    let before = contents(&directory);
    let (_, opened) = Store::open_or_create(&directory, &domain(), later(540)).unwrap();
    assert_eq!(opened, Opened::Existing);
    let (_, opened) = Store::open_or_create(&directory, &domain(), later(560)).unwrap();
    assert_eq!(opened, Opened::IntermediateRenewed);
    let after = contents(&directory);
    assert_eq!(after["root.crt"], before["root.crt"]);
    assert_ne!(after["intermediate.crt"], before["intermediate.crt"]);
    // The old leaf still chains to the root through the intermediate that it carries.
    let chain = X509::stack_from_pem(&old).unwrap();
    let root = X509::from_pem(&after["root.crt"]).unwrap();
    assert!(chain[0].verify(&chain[1].public_key().unwrap()).unwrap());
    assert!(chain[1].verify(&root.public_key().unwrap()).unwrap());
    let (_, opened) = Store::open_or_create(&directory, &domain(), later(561)).unwrap();
    assert_eq!(opened, Opened::Existing);
}

#[test]
fn a_lost_or_foreign_intermediate_is_replaced_from_the_root() {
    let scratch = tempfile::tempdir().unwrap();
    let (ours, theirs) = (scratch.path().join("ours"), scratch.path().join("theirs"));
    Store::open_or_create(&ours, &domain(), NOW).unwrap();
    Store::open_or_create(&theirs, &domain(), NOW).unwrap();
    fs::remove_file(ours.join("intermediate.key")).unwrap();
    let (_, opened) = Store::open_or_create(&ours, &domain(), NOW).unwrap();
    assert_eq!(opened, Opened::IntermediateRenewed);
    for name in ["intermediate.crt", "intermediate.key"] {
        fs::copy(theirs.join(name), ours.join(name)).unwrap();
    }
    let (store, opened) = Store::open_or_create(&ours, &domain(), NOW).unwrap();
    assert_eq!(opened, Opened::IntermediateRenewed);
    let paths = store.reissue(&request("spiffe://d1/agent/a", NOW)).unwrap();
    let chain = X509::stack_from_pem(&fs::read(paths.certificate).unwrap()).unwrap();
    let root = X509::from_pem(&fs::read(ours.join("root.crt")).unwrap()).unwrap();
    assert!(chain[1].verify(&root.public_key().unwrap()).unwrap());
}

#[test]
fn an_expired_root_is_said_to_be_expired() {
    let scratch = tempfile::tempdir().unwrap();
    let directory = scratch.path().join("pki");
    Store::open_or_create(&directory, &domain(), NOW).unwrap();
    let error = Store::open_or_create(&directory, &domain(), later(3651)).unwrap_err();
    assert!(matches!(error, StoreError::Authority { .. }), "{error}");
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("file");
    fs::write(&file, "").unwrap();
    let error = Store::open_or_create(&file.join("pki"), &domain(), NOW).unwrap_err();
    assert!(error.to_string().contains("file/pki"), "{error}");
}
