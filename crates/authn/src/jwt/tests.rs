use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use model::identity::Kind;
use model::principal::{Kinds, Principal};
use model::time::Timestamp;
use proptest::prelude::*;
use serde_json::json;

use super::encoded::encode;
use super::*;
use crate::live::Live;
use crate::proved::Proved;
use crate::secret::Secret;

const NOW: u64 = 1_795_306_528;
/// `authentication.md` §18.1: an agent of the original takes it with the key `secret`.
const VECTOR: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.\
                      eyJjaWQiOiJjMSIsImVpZCI6ImUxIiwiZmlkIjoiZjEifQ.\
                      7adF6A3egyLJzf8SmHlfDISazOgOcapG2OoM7L4ej94";

fn now() -> Timestamp {
    at(NOW)
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::new(Duration::from_secs(seconds))
}

fn key(bytes: &str) -> Key {
    Key::of_file(bytes.into())
}

fn claims(pairs: &[(&str, &str)]) -> Principal {
    let claims = pairs.iter().map(|(name, claim)| ((*name).to_owned(), (*claim).to_owned()));
    Principal::new(None, claims.collect()).unwrap()
}

fn text(secret: &Secret) -> String {
    String::from_utf8(secret.expose().to_vec()).unwrap()
}

/// A token of `header` and `payload`, signed with `key` as HS256 does.
fn token(header: &serde_json::Value, payload: &serde_json::Value, key: &str) -> String {
    use hmac::{Hmac, KeyInit as _, Mac as _};
    let parts = [header, payload].map(|part| encode(part.to_string().as_bytes())).join(".");
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(parts.as_bytes());
    format!("{parts}.{}", encode(&mac.finalize().into_bytes()))
}

fn hs256(payload: &serde_json::Value) -> String {
    token(&json!({"alg": "HS256", "typ": "JWT"}), payload, "secret")
}

fn verifier() -> Verifier {
    Verifier::new(Some(key("secret")), None)
}

fn verify(token: &str) -> Result<Proved, Rejected> {
    verifier().verify(token, now()).unwrap()
}

fn why(token: &str) -> String {
    match verify(token) {
        Err(Rejected::Invalid(why)) => why,
        other => panic!("{token}: {other:?}"),
    }
}

#[test]
fn tokens_are_the_originals_to_the_last_byte() {
    let issuer = TokenIssuer::new(key("secret"));
    let principal = claims(&[("fid", "f1"), ("eid", "e1"), ("cid", "c1")]);
    assert_eq!(text(&issuer.issue(&principal, None).unwrap()), VECTOR);
    let proved = verify(VECTOR).unwrap();
    assert_eq!(proved.principal, principal);
    assert_eq!(proved.kinds, Kinds::only(Kind::Executor));
    let named = Principal::named("ops");
    assert_eq!(issuer.issue(&named, None), Err(IssueError::Named));
}

#[test]
fn a_lifetime_ends_with_its_last_second() {
    let issuer = TokenIssuer::new(key("secret"));
    let lifetime = Lifetime { issued: now(), expires: at(NOW + 60) };
    let token = text(&issuer.issue(&claims(&[("cid", "c")]), Some(lifetime)).unwrap());
    let verify = |seconds| verifier().verify(&token, at(seconds)).unwrap();
    let proved = verify(NOW + 60).unwrap();
    assert_eq!(proved.principal.claims()["exp"], (NOW + 60).to_string());
    assert_eq!(proved.principal.claims()["iat"], NOW.to_string());
    let late = format!("Token has expired: exp({}) < now({})", NOW + 60, NOW + 61);
    assert_eq!(verify(NOW + 61), Err(Rejected::Invalid(late)));
}

#[test]
fn each_check_of_the_original_in_its_order() {
    let good = json!({"cid": "c"});
    let unsigned = |header: serde_json::Value, payload: serde_json::Value| {
        token(&header, &payload, "another key")
    };
    let expired = json!({"exp": NOW - 1});
    for (token, expected) in [
        (String::new(), "Expected 3 components in token, got 1"),
        ("a.b".into(), "Expected 3 components in token, got 2"),
        ("a.b.c.d".into(), "Expected 3 components in token, got 4"),
        (format!("!.{}.", encode(b"{}")), "Failed to decode token header"),
        (format!("{}.x.", encode(b"[]")), "Failed to decode token header"),
        (format!("{}.x.", encode(b"{")), "Failed to decode token header"),
        (unsigned(json!({"typ": 1}), good.clone()), "Token 'typ' is not a string"),
        (unsigned(json!({}), good.clone()), "Failed to locate 'alg'"),
        (unsigned(json!({"alg": 1}), good.clone()), "Token 'alg' field is not a string"),
        (unsigned(json!({"alg": "HS512"}), good.clone()), "Unsupported token algorithm: HS512"),
        // Known only where there is an identity provider.
        (unsigned(json!({"alg": "ES256"}), good.clone()), "Unsupported token algorithm: ES256"),
        (unsigned(json!({"alg": "hs256"}), good.clone()), "Unsupported token algorithm: hs256"),
        (
            unsigned(json!({"alg": "none", "crit": []}), good.clone()),
            "Token 'crit' field is unsupported",
        ),
        (
            unsigned(json!({"alg": "none"}), good.clone()),
            "Token 'alg' value \"none\" does not match, expected \"HS256\"",
        ),
        (
            unsigned(json!({"alg": "RS256"}), good.clone()),
            "Token 'alg' value \"RS256\" does not match, expected \"HS256\"",
        ),
        (unsigned(json!({"alg": "HS256"}), json!([])), "Failed to decode token payload"),
        (
            unsigned(json!({"alg": "HS256"}), json!({"exp": "soon"})),
            "JSON payload 'exp' field is not a number",
        ),
        (unsigned(json!({"alg": "HS256"}), expired), "Token has expired: exp("),
        (
            format!("{}!", unsigned(json!({"alg": "HS256"}), good.clone())),
            "Failed to base64url-decode token signature",
        ),
        (unsigned(json!({"alg": "HS256"}), good), "Token signature does not match"),
    ] {
        let why = why(&token);
        assert!(why.starts_with(expected), "{token}: {why}");
    }
    // Without any signature, and with that of nothing.
    let bare = VECTOR.rsplit_once('.').unwrap().0;
    assert_eq!(why(bare), "Expected 3 components in token, got 2");
    assert_eq!(why(&format!("{bare}.")), "Token signature does not match");
    assert_eq!(verify(&hs256(&json!({}))), Err(Rejected::NoClaims));
}

#[test]
fn times_are_numbers_of_any_size() {
    let take = |payload| verify(&hs256(&payload)).is_ok();
    assert!(take(json!({"exp": NOW})));
    assert!(take(json!({"exp": NOW as f64 + 0.5})));
    assert!(take(json!({"exp": u64::MAX})));
    assert!(take(json!({"exp": 1e300})));
    assert!(take(json!({"nbf": NOW})));
    assert!(!take(json!({"nbf": NOW + 1})));
    assert!(!take(json!({"exp": -1})));
    assert!(!take(json!({"exp": null})));
    assert!(!take(json!({"exp": -1e300})));
}

#[test]
fn claims_are_text_whatever_they_were() {
    let payload = json!({"n": 1234, "s": "x", "l": [1, "a"], "t": true, "o": {"k": null}});
    let proved = verify(&hs256(&payload)).unwrap();
    assert_eq!(proved.principal.value(), None);
    let claims: BTreeMap<_, _> =
        proved.principal.claims().iter().map(|(n, c)| (n.as_str(), c.as_str())).collect();
    let expected =
        [("l", r#"[1,"a"]"#), ("n", "1234"), ("o", r#"{"k":null}"#), ("s", "x"), ("t", "true")];
    assert_eq!(claims, expected.into());
    // Not an executor's: whoever has the key may have made it for anybody.
    assert_eq!(proved.kinds, Kinds::ANY);
}

/// Row A11: the original signs with the newline that an editor left; most programs do not.
#[test]
fn attack_a11_both_readings_of_a_key_file_verify_and_no_third() {
    let payload = json!({"cid": "c"});
    let header = json!({"alg": "HS256"});
    let signed = |key: &str| token(&header, &payload, key);
    let takes = |file: &str, signed_with: &str| {
        let verifier = Verifier::new(Some(key(file)), None);
        verifier.verify(&signed(signed_with), now()).unwrap().is_ok()
    };
    for (file, line) in [("k\n", "k"), ("k\r\n", "k"), ("k\n\n", "k\n")] {
        assert!(takes(file, file) && takes(file, line), "{file:?}");
        assert!(!takes(file, "x") && !takes(file, ""), "{file:?}");
    }
    assert!(takes("k", "k") && !takes("k", "k\n"));
    assert!(!takes(" k\n", "k"), "nothing else is trimmed");
    assert!(!takes("\n", ""), "a line of nothing is no key");
    let issuer = TokenIssuer::new(key("k\n"));
    let issued = text(&issuer.issue(&claims(&[("cid", "c")]), None).unwrap());
    let header = json!({"alg": "HS256", "typ": "JWT"});
    assert_eq!(issued, token(&header, &payload, "k\n"), "as the original signs");
}

proptest! {
    /// A flipped bit never verifies: neither in what is signed, nor in the signature.
    #[test]
    fn a_flipped_bit_in_a_token_never_verifies(at in 0..VECTOR.len(), bit in 0..8_u32) {
        let mut bytes = VECTOR.as_bytes().to_vec();
        bytes[at] ^= 1 << bit;
        let flipped = String::from_utf8_lossy(&bytes).into_owned();
        prop_assert!(verify(&flipped).is_err(), "{}", flipped);
    }

    #[test]
    fn what_is_no_token_is_refused_without_a_panic(text in "\\PC{0,200}") {
        prop_assert!(verify(&text).is_err());
        let header = encode(br#"{"alg":"HS256"}"#);
        let dressed = format!("{header}.{text}.{text}");
        let taken = verify(&dressed).is_ok();
        prop_assert!(!taken);
    }
}

/// Takes a signature that is the name of the key's algorithm; remembers what was asked.
#[derive(Debug, Default)]
struct Named(Mutex<Vec<PublicKey>>);

impl Signatures for Named {
    fn is_signed(&self, key: &PublicKey, _: &[u8], signature: &[u8]) -> Result<bool, String> {
        self.0.lock().unwrap().push(key.clone());
        if signature == b"broken" {
            return Err("the library is broken".into());
        }
        Ok(signature == key.algorithm().name().as_bytes())
    }
}

fn ed25519(kid: Option<&str>, byte: u8) -> serde_json::Value {
    json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": encode(&[byte; 32])})
}

fn p256(kid: &str) -> serde_json::Value {
    json!({"kty": "EC", "crv": "P-256", "kid": kid, "x": encode(&[1; 32]), "y": encode(&[2; 32])})
}

fn rsa(bits: usize) -> serde_json::Value {
    let mut n = vec![0xff; bits / 8];
    n[0] = 0x80;
    json!({"kty": "RSA", "kid": "rsa", "n": encode(&n), "e": "AQAB"})
}

fn jwks(keys: &[serde_json::Value]) -> Result<Jwks, JwksError> {
    Jwks::parse(json!({"keys": keys}).to_string().as_bytes())
}

fn published(keys: &[serde_json::Value], audience: Option<&str>) -> (Published, Arc<Named>) {
    let signatures = Arc::new(Named::default());
    let published = Published {
        keys: Arc::new(Live::new(jwks(keys).unwrap())),
        signatures: signatures.clone(),
        audience: audience.map(str::to_owned),
        leeway: LEEWAY,
    };
    (published, signatures)
}

fn signed(header: &serde_json::Value, payload: &serde_json::Value, signature: &str) -> String {
    let [header, payload] = [header, payload].map(|part| encode(part.to_string().as_bytes()));
    format!("{header}.{payload}.{}", encode(signature.as_bytes()))
}

fn subject() -> serde_json::Value {
    json!({"sub": "ops", "aud": "cluster", "exp": NOW, "groups": ["a"]})
}

#[test]
fn the_subject_of_a_published_key_is_a_principal() {
    let keys = [ed25519(Some("e"), 1), p256("p"), rsa(2048)];
    let (published, signatures) = published(&keys, Some("cluster"));
    let verifier = Verifier::new(Some(key("secret")), Some(published));
    for (algorithm, kid) in [("EdDSA", "e"), ("ES256", "p"), ("RS256", "rsa")] {
        let token = signed(&json!({"alg": algorithm, "kid": kid}), &subject(), algorithm);
        let proved = verifier.verify(&token, now()).unwrap().unwrap();
        assert_eq!(proved.principal.value(), Some("ops"));
        assert_eq!(proved.principal.claims()["groups"], r#"["a"]"#);
        assert!(proved.kinds.contains(Kind::Operator) && proved.kinds.contains(Kind::Framework));
        assert!(!proved.kinds.contains(Kind::Agent) && !proved.kinds.contains(Kind::Executor));
        assert!(!proved.kinds.contains(Kind::Master));
    }
    let asked = signatures.0.lock().unwrap();
    let asked: Vec<_> = asked.iter().map(PublicKey::algorithm).collect();
    assert_eq!(asked, [Algorithm::EdDsa, Algorithm::Es256, Algorithm::Rs256]);
    // Those of the secret key are taken beside them.
    assert!(verifier.verify(VECTOR, now()).unwrap().is_ok());
}

#[test]
fn a_published_token_is_judged_by_its_key_time_audience_and_subject() {
    let keys = [ed25519(Some("e"), 1), ed25519(Some("f"), 2), p256("p")];
    let (published, _) = published(&keys, Some("cluster"));
    let open = Verifier::new(None, Some(Published { audience: None, ..published.clone() }));
    let verifier = Verifier::new(None, Some(published));
    let check = |verifier: &Verifier, header: &serde_json::Value, payload: &serde_json::Value| {
        let name = header["alg"].as_str().unwrap_or_default();
        match verifier.verify(&signed(header, payload, name), now()).unwrap() {
            Ok(proved) => proved.principal.value().unwrap().to_owned(),
            Err(rejected) => format!("{rejected:?}"),
        }
    };
    let header = json!({"alg": "EdDSA", "kid": "e"});
    let with = |name: &str, value: serde_json::Value| {
        let mut payload = subject();
        payload[name] = value;
        payload
    };
    let without = |name: &str| {
        let mut payload = subject();
        payload.as_object_mut().unwrap().remove(name);
        payload
    };
    for (header, payload, expected) in [
        (header.clone(), subject(), "ops"),
        (header.clone(), with("aud", json!(["x", "cluster"])), "ops"),
        // The clocks differ by up to a minute.
        (header.clone(), with("exp", json!(NOW - 60)), "ops"),
        (header.clone(), with("nbf", json!(NOW + 60)), "ops"),
        (header.clone(), with("exp", json!(NOW - 61)), "Token has expired"),
        (header.clone(), with("nbf", json!(NOW + 61)), "Token is not valid yet"),
        (header.clone(), without("exp"), "Token has no 'exp'"),
        (header.clone(), without("sub"), "Token has no 'sub'"),
        (header.clone(), with("sub", json!("")), "Token has no 'sub'"),
        (header.clone(), with("sub", json!(1)), "Token has no 'sub'"),
        (header.clone(), without("aud"), "does not name this cluster"),
        (header.clone(), with("aud", json!("clusters")), "does not name this cluster"),
        (header.clone(), with("aud", json!(["x"])), "does not name this cluster"),
        (header, with("aud", json!(1)), "neither a string nor a list"),
        // The key says what its algorithm is, and the token which key.
        (json!({"alg": "ES256", "kid": "e"}), subject(), "names no key for ES256"),
        (json!({"alg": "RS256", "kid": "e"}), subject(), "names no key for RS256"),
        (json!({"alg": "EdDSA", "kid": "g"}), subject(), "names no key for EdDSA"),
        (json!({"alg": "EdDSA", "kid": 1}), subject(), "'kid' field is not a string"),
        (json!({"alg": "EdDSA"}), subject(), "not exactly one key for EdDSA"),
        (json!({"alg": "ES256"}), subject(), "ops"),
        (json!({"alg": "ES256", "crit": ["b64"]}), subject(), "'crit' field is unsupported"),
        // Nobody signs with a public key, nor with none.
        (json!({"alg": "HS256", "kid": "e"}), subject(), "does not match, expected"),
        (json!({"alg": "none"}), subject(), "does not match, expected"),
        (json!({"alg": "none", "kid": "e"}), subject(), "does not match, expected"),
    ] {
        let got = check(&verifier, &header, &payload);
        let right = if expected == "ops" { got == "ops" } else { got.contains(expected) };
        assert!(right, "{header} {payload}: {got}");
    }
    // Where no audience is said, a token that is for somebody is not for us.
    let header = json!({"alg": "ES256"});
    assert_eq!(check(&open, &header, &without("aud")), "ops");
    assert!(check(&open, &header, &subject()).contains("does not name this cluster"));
}

#[test]
fn what_cannot_be_verified_is_a_failure_and_not_a_refusal() {
    let (published, _) = published(&[p256("p")], None);
    let verifier = Verifier::new(None, Some(published));
    let token = signed(&json!({"alg": "ES256"}), &json!({"sub": "a", "exp": NOW}), "broken");
    let failed = verifier.verify(&token, now()).unwrap_err();
    assert!(failed.to_string().contains("the library is broken"), "{failed}");
}

#[test]
fn keys_are_replaced_while_it_runs() {
    let (published, _) = published(&[ed25519(Some("old"), 1)], None);
    let keys = Arc::clone(&published.keys);
    let verifier = Verifier::new(None, Some(published));
    let take = |kid: &str| {
        let header = json!({"alg": "EdDSA", "kid": kid});
        let payload = json!({"sub": "a", "exp": NOW});
        verifier.verify(&signed(&header, &payload, "EdDSA"), now()).unwrap().is_ok()
    };
    assert!(take("old") && !take("new"));
    keys.replace(jwks(&[ed25519(Some("new"), 2)]).unwrap());
    assert!(!take("old") && take("new"));
}

#[test]
fn sets_of_keys_hold_what_is_of_use_and_nothing_secret() {
    let with = |name: &str, value: serde_json::Value| {
        let mut key = ed25519(Some("e"), 1);
        key[name] = value;
        key
    };
    let useful = [
        with("use", json!("sig")),
        with("alg", json!("EdDSA")),
        with("key_ops", json!(["verify"])),
        rsa(4096),
    ];
    for key in useful {
        assert_eq!(jwks(std::slice::from_ref(&key)).unwrap().len(), 1, "{key}");
    }
    let useless = [
        with("use", json!("enc")),
        with("alg", json!("ES256")),
        with("alg", json!(1)),
        with("key_ops", json!(["sign"])),
        with("crv", json!("X25519")),
        with("x", json!("AQAB")),
        with("x", json!("?")),
        with("kty", json!("AKP")),
        rsa(1024),
        rsa(16_384),
    ];
    for key in useless {
        let both = jwks(&[key.clone(), p256("p")]).unwrap();
        assert_eq!((both.len(), both.skipped().len()), (1, 1), "{key}");
        let alone = jwks(std::slice::from_ref(&key));
        assert!(matches!(alone, Err(JwksError::Useless(_))), "{key}: {alone:?}");
    }
    let mut weak = rsa(2048);
    for exponent in [encode(&[1]), encode(&[4]), encode(&[1; 5]), String::new()] {
        weak["e"] = json!(exponent);
        assert!(jwks(std::slice::from_ref(&weak)).is_err(), "{weak}");
    }
    for secret in [with("d", json!("AQAB")), json!({"kty": "oct", "k": "AQAB"})] {
        let refused = jwks(&[secret, p256("p")]);
        assert!(matches!(refused, Err(JwksError::Private(_))), "{refused:?}");
    }
    let twice = jwks(&[ed25519(Some("e"), 1), ed25519(Some("e"), 2)]);
    assert_eq!(twice, Err(JwksError::Duplicate("'e'".into())));
    assert!(matches!(jwks(&vec![p256("p"); 65]), Err(JwksError::TooMany)));
    for text in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[1]}"#] {
        assert!(matches!(Jwks::parse(text.as_bytes()), Err(JwksError::Form(_))), "{text}");
    }
    assert!(jwks(&[]).is_err());
}
