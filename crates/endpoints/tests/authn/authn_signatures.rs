use std::sync::Arc;

use alcazar_endpoints::authentication::OpenSsl;
use authn::conformance::http::{Case, check};
use authn::http::Bearer;
use authn::jwt::{Algorithm, Jwks, LEEWAY, PublicKey, Published, Signatures, Verifier};
use authn::live::Live;
use model::time::Timestamp;
use openssl::ec::{EcGroup, EcKey};
use openssl::ecdsa::EcdsaSig;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::PKey;
use openssl::rsa::Rsa;
use openssl::sign::Signer;

/// Key and token of RFC 7515 A.2, A.3 and RFC 8037 A.4.
const VECTORS: [(&str, &str); 3] = [
    (
        r#"{"kty":"RSA","e":"AQAB","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"}"#,
        "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
    ),
    (
        r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#,
        "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
    ),
    (
        r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
        "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
    ),
];

fn encode(bytes: &[u8]) -> String {
    let text = openssl::base64::encode_block(bytes).replace('+', "-").replace('/', "_");
    text.trim_end_matches('=').to_owned()
}

fn as_jwk(key: &PublicKey) -> String {
    match key {
        PublicKey::Rsa { n, e } => {
            format!(r#"{{"kty":"RSA","n":"{}","e":"{}"}}"#, encode(n), encode(e))
        }
        PublicKey::P256 { x, y } => {
            format!(r#"{{"kty":"EC","crv":"P-256","x":"{}","y":"{}"}}"#, encode(x), encode(y))
        }
        PublicKey::Ed25519(x) => {
            format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{}"}}"#, encode(x))
        }
    }
}

/// The suite for HTTP authenticators, with tokens of an identity provider.
#[test]
fn attack_conformance_of_bearer_with_published_keys() {
    let claims = encode(br#"{"sub":"ops","exp":1000}"#);
    for (n, algorithm) in ["RS256", "ES256", "EdDSA"].into_iter().enumerate() {
        let header = encode(format!(r#"{{"alg":"{algorithm}"}}"#).as_bytes());
        let message = format!("{header}.{claims}");
        let (key, signature) = made(message.as_bytes()).swap_remove(n);
        let (_, another) = made(message.as_bytes()).swap_remove(n);
        let token =
            |signature: &[u8]| Some(format!("Bearer {message}.{}", encode(signature)).into_bytes());
        let set = Jwks::parse(format!("{{\"keys\":[{}]}}", as_jwk(&key)).as_bytes()).unwrap();
        let published = Published {
            keys: Arc::new(Live::new(set)),
            signatures: Arc::new(OpenSsl),
            audience: None,
            leeway: LEEWAY,
        };
        let case = Case {
            authenticator: Arc::new(Bearer::new("r", Verifier::new(None, Some(published)))),
            realm: "r".into(),
            right: token(&signature),
            certificate: None,
            impostor: token(&another),
            stranger: None,
            now: Timestamp::default(),
        };
        check(&case).unwrap();
    }
}

fn decode(text: &str) -> Vec<u8> {
    let padded = format!("{text}{}", "=".repeat((4 - text.len() % 4) % 4));
    openssl::base64::decode_block(&padded.replace('-', "+").replace('_', "/")).unwrap()
}

/// Key, what is signed, and the signature.
fn vectors() -> Vec<(PublicKey, &'static [u8], Vec<u8>)> {
    let read = |(key, token): (&str, &'static str)| {
        let set = Jwks::parse(format!("{{\"keys\":[{key}]}}").as_bytes()).unwrap();
        let key = Algorithm::ALL.into_iter().find_map(|a| set.select(a, None)).unwrap().clone();
        let (message, signature) = token.rsplit_once('.').unwrap();
        (key, message.as_bytes(), decode(signature))
    };
    VECTORS.into_iter().map(read).collect()
}

#[test]
fn signatures_of_the_standards_verify() {
    for (key, message, signature) in vectors() {
        let name = key.algorithm();
        assert_eq!(OpenSsl.is_signed(&key, message, &signature), Ok(true), "{name}");
        assert_eq!(OpenSsl.is_signed(&key, b"another", &signature), Ok(false), "{name}");
    }
}

#[test]
fn attack_a_flipped_bit_in_a_signature_never_verifies() {
    for (key, message, signature) in vectors() {
        // Every bit of the short ones, some of each byte of the long one.
        let step = if signature.len() > 64 { 11 } else { 1 };
        for bit in (0..signature.len() * 8).step_by(step) {
            let mut flipped = signature.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let found = OpenSsl.is_signed(&key, message, &flipped);
            assert_eq!(found, Ok(false), "{} {bit}", key.algorithm());
        }
    }
}

#[test]
fn attack_what_is_no_signature_is_refused_without_an_error() {
    for (key, message, signature) in vectors() {
        let zeros = vec![0; signature.len()];
        let longer = [&signature[..], &[0]].concat();
        let shorter = &signature[..signature.len() - 1];
        for wrong in [&[][..], &zeros, &longer, shorter, &vec![0xff; signature.len()]] {
            assert_eq!(OpenSsl.is_signed(&key, message, wrong), Ok(false), "{}", key.algorithm());
        }
    }
}

/// What other programs make of `message`, with keys of their own.
fn made(message: &[u8]) -> Vec<(PublicKey, Vec<u8>)> {
    let mut made = Vec::new();

    let key = Rsa::generate(2048).unwrap();
    let public = PublicKey::Rsa { n: key.n().to_vec(), e: key.e().to_vec() };
    let key = PKey::from_rsa(key).unwrap();
    let mut signer = Signer::new(MessageDigest::sha256(), &key).unwrap();
    made.push((public, signer.sign_oneshot_to_vec(message).unwrap()));

    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    let key = EcKey::generate(&group).unwrap();
    let mut context = openssl::bn::BigNumContext::new().unwrap();
    let (mut x, mut y) = (openssl::bn::BigNum::new().unwrap(), openssl::bn::BigNum::new().unwrap());
    key.public_key().affine_coordinates(&group, &mut x, &mut y, &mut context).unwrap();
    let fixed = |n: &openssl::bn::BigNumRef| -> [u8; 32] {
        n.to_vec_padded(32).unwrap().try_into().unwrap()
    };
    let public = PublicKey::P256 { x: fixed(&x), y: fixed(&y) };
    let digest = openssl::sha::sha256(message);
    let signature = EcdsaSig::sign(&digest, &key).unwrap();
    made.push((public, [fixed(signature.r()), fixed(signature.s())].concat()));

    let key = PKey::generate_ed25519().unwrap();
    let public = PublicKey::Ed25519(key.raw_public_key().unwrap().try_into().unwrap());
    let mut signer = Signer::new_without_digest(&key).unwrap();
    made.push((public, signer.sign_oneshot_to_vec(message).unwrap()));
    made
}

#[test]
fn signatures_of_fresh_keys_verify_with_no_other_key() {
    let message = b"header.payload";
    let made = made(message);
    let others = vectors();
    for ((public, signature), (other, ..)) in made.iter().zip(&others) {
        assert_eq!(OpenSsl.is_signed(public, message, signature), Ok(true));
        assert_eq!(OpenSsl.is_signed(other, message, signature), Ok(false));
    }
    // A point that is on no curve is a key that cannot be used.
    let nowhere = PublicKey::P256 { x: [1; 32], y: [1; 32] };
    OpenSsl.is_signed(&nowhere, message, &made[1].1).unwrap_err();
}
