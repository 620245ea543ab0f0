//! Keys, passphrases and what is wrong with them.

use std::error::Error as _;

use openssl::symm::Cipher;
use tls_policy::{PassphraseSource, Profile};

use crate::authority::{Authority, Issued, Wanted, names};
use crate::fixture::{Folder, facts, load, serve};

fn encrypted(folder: &Folder, issued: &Issued) -> tls_policy::MaterialPair {
    let pair = folder.pair("server", issued);
    let cipher = Cipher::aes_256_cbc();
    let pem = issued.key.private_key_to_pem_pkcs8_passphrase(cipher, b"open sesame").unwrap();
    folder.write("server-key.pem", pem);
    pair
}

#[tokio::test]
async fn tls_an_encrypted_key_is_opened_with_its_passphrase() {
    let (folder, root) = (Folder::new(), Authority::root("root"));
    let mut pair = encrypted(&folder, &root.issue(&names(&["DNS:localhost"])));
    let file = folder.write("passphrase", "open sesame\n");
    let sources = [
        PassphraseSource::File(file.clone()),
        PassphraseSource::Command(format!("cat {}", file.display())),
    ];
    for source in sources {
        pair.passphrase = Some(source);
        let server = serve(&folder.rules(vec![pair.clone()]));
        let mut stream = server.raw(|_| {}).await.unwrap();
        assert_eq!(facts(&mut stream).await, "false None");
    }
}

#[test]
fn tls_an_encrypted_key_without_its_passphrase_is_an_error_and_nobody_is_asked() {
    let (folder, root) = (Folder::new(), Authority::root("root"));
    let mut pair = encrypted(&folder, &root.issue(&names(&["DNS:localhost"])));
    let error = load(&folder.rules(vec![pair.clone()])).unwrap_err();
    assert!(error.source().unwrap().to_string().contains("encrypted"), "{error:?}");
    pair.passphrase = Some(PassphraseSource::File(folder.write("wrong", "open barley")));
    let error = load(&folder.rules(vec![pair.clone()])).unwrap_err();
    assert!(error.source().unwrap().to_string().contains("wrong"), "{error:?}");
    assert!(!format!("{error:?} {error}").contains("barley"));
    pair.passphrase = Some(PassphraseSource::File(folder.path("missing")));
    let error = load(&folder.rules(vec![pair])).unwrap_err();
    assert!(error.to_string().contains("server-key.pem"), "{error}");
    assert!(error.source().unwrap().to_string().contains("missing"), "{error:?}");
}

#[test]
fn tls_a_key_of_another_certificate_and_two_of_one_kind_are_errors() {
    let (folder, root) = (Folder::new(), Authority::root("root"));
    let issued = root.issue(&names(&[]));
    let mut pair = folder.pair("server", &issued);
    pair.key = folder.pair("other", &root.issue(&names(&[]))).key;
    let error = load(&folder.rules(vec![pair])).unwrap_err();
    assert!(error.source().unwrap().to_string().contains("does not belong"), "{error:?}");
    let pairs = ["a", "b"].map(|name| folder.pair(name, &root.issue(&names(&[]))));
    let error = load(&folder.rules(pairs.into())).unwrap_err();
    assert!(error.source().unwrap().to_string().contains("same kind"), "{error:?}");
}

#[test]
fn tls_the_modern_profile_presents_no_rsa_certificate() {
    let (folder, root) = (Folder::new(), Authority::root("root"));
    let rsa = root.issue(&Wanted { rsa: true, ..Wanted::default() });
    let rsa = folder.pair("rsa", &rsa);
    let ecdsa = folder.pair("ecdsa", &root.issue(&names(&[])));
    let mut rules = folder.rules(vec![ecdsa, rsa.clone()]);
    rules.profile = Profile::Modern;
    let security = load(&rules).unwrap();
    let notices = security.contexts().unwrap().notices();
    assert_eq!(notices.len(), 1, "{notices:?}");
    assert!(notices[0].to_string().contains("rsa.pem"));
    rules.materials.pairs = vec![rsa];
    assert!(load(&rules).unwrap_err().to_string().contains("rsa.pem"));
}
