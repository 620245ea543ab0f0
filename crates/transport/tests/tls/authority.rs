//! Certificates and revocation lists made for a test.

use openssl::asn1::{Asn1Integer, Asn1Time};
use openssl::bn::{BigNum, MsbOption};
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::x509::extension::{
    AuthorityKeyIdentifier, BasicConstraints, SubjectAlternativeName, SubjectKeyIdentifier,
};
use openssl::x509::{
    CrlNumber, X509, X509Builder, X509Crl, X509CrlBuilder, X509Name, X509RevokedBuilder,
};

pub(crate) const DAY: i64 = 86_400;

/// Somebody who issues certificates.
pub(crate) struct Authority {
    pub(crate) certificate: X509,
    key: PKey<Private>,
    /// Those between this one and the root, to be sent along.
    chain: Vec<X509>,
}

/// A certificate to be issued.
#[derive(Clone)]
pub(crate) struct Wanted<'a> {
    pub(crate) common_name: &'a str,
    /// `URI:…`, `DNS:…`, `IP:…`.
    pub(crate) names: &'a [&'a str],
    /// Seconds from now.
    pub(crate) from: i64,
    pub(crate) until: i64,
    pub(crate) rsa: bool,
}

impl Default for Wanted<'_> {
    fn default() -> Self {
        Self { common_name: "leaf", names: &[], from: -DAY, until: DAY, rsa: false }
    }
}

pub(crate) fn names<'a>(names: &'a [&'a str]) -> Wanted<'a> {
    Wanted { names, ..Wanted::default() }
}

/// An issued certificate.
#[derive(Clone)]
pub(crate) struct Issued {
    pub(crate) certificate: X509,
    pub(crate) chain: Vec<X509>,
    pub(crate) key: PKey<Private>,
}

impl Issued {
    pub(crate) fn chain_pem(&self) -> Vec<u8> {
        let mut pem = self.certificate.to_pem().unwrap();
        self.chain.iter().for_each(|link| pem.extend(link.to_pem().unwrap()));
        pem
    }
}

pub(crate) fn ec_key() -> PKey<Private> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
}

fn subject(common_name: &str) -> X509Name {
    let mut name = X509Name::builder().unwrap();
    name.append_entry_by_nid(Nid::COMMONNAME, common_name).unwrap();
    name.build()
}

fn serial() -> Asn1Integer {
    let mut number = BigNum::new().unwrap();
    number.rand(127, MsbOption::MAYBE_ZERO, false).unwrap();
    number.to_asn1_integer().unwrap()
}

fn in_seconds(seconds: i64) -> Asn1Time {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Asn1Time::from_unix(now.as_secs() as i64 + seconds).unwrap()
}

fn begin(common_name: &str, key: &PKey<Private>, from: i64, until: i64) -> X509Builder {
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    builder.set_serial_number(&serial()).unwrap();
    builder.set_subject_name(&subject(common_name)).unwrap();
    builder.set_not_before(&in_seconds(from)).unwrap();
    builder.set_not_after(&in_seconds(until)).unwrap();
    builder.set_pubkey(key).unwrap();
    builder
}

fn identify(builder: &mut X509Builder) {
    let context = builder.x509v3_context(None, None);
    let identifier = SubjectKeyIdentifier::new().build(&context).unwrap();
    builder.append_extension(identifier).unwrap();
}

impl Authority {
    pub(crate) fn root(common_name: &str) -> Self {
        let key = ec_key();
        let mut builder = begin(common_name, &key, -DAY, 10 * DAY);
        builder.set_issuer_name(&subject(common_name)).unwrap();
        let basic = BasicConstraints::new().critical().ca().build().unwrap();
        builder.append_extension(basic).unwrap();
        identify(&mut builder);
        builder.sign(&key, MessageDigest::sha256()).unwrap();
        Self { certificate: builder.build(), key, chain: Vec::new() }
    }

    pub(crate) fn intermediate(&self, common_name: &str) -> Self {
        let key = ec_key();
        let mut builder = begin(common_name, &key, -DAY, 10 * DAY);
        builder.set_issuer_name(self.certificate.subject_name()).unwrap();
        let basic = BasicConstraints::new().critical().ca().build().unwrap();
        builder.append_extension(basic).unwrap();
        identify(&mut builder);
        builder.sign(&self.key, MessageDigest::sha256()).unwrap();
        let certificate = builder.build();
        let mut chain = vec![certificate.clone()];
        chain.extend(self.chain.iter().cloned());
        Self { certificate, key, chain }
    }

    pub(crate) fn issue(&self, wanted: &Wanted<'_>) -> Issued {
        let key = match wanted.rsa {
            true => PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap(),
            false => ec_key(),
        };
        let mut builder = begin(wanted.common_name, &key, wanted.from, wanted.until);
        builder.set_issuer_name(self.certificate.subject_name()).unwrap();
        let mut alternative = SubjectAlternativeName::new();
        for name in wanted.names {
            match name.split_once(':').unwrap() {
                ("URI", uri) => alternative.uri(uri),
                ("DNS", host) => alternative.dns(host),
                ("IP", address) => alternative.ip(address),
                other => panic!("{other:?}"),
            };
        }
        if !wanted.names.is_empty() {
            let context = builder.x509v3_context(Some(&self.certificate), None);
            let extension = alternative.build(&context).unwrap();
            builder.append_extension(extension).unwrap();
        }
        identify(&mut builder);
        builder.sign(&self.key, MessageDigest::sha256()).unwrap();
        Issued { certificate: builder.build(), chain: self.chain.clone(), key }
    }

    /// A list of what this authority has revoked, good until `until` seconds from now.
    pub(crate) fn revocations(&self, revoked: &[&Issued], until: i64) -> Vec<u8> {
        let mut builder = X509CrlBuilder::new().unwrap();
        builder.set_issuer_name(self.certificate.subject_name()).unwrap();
        builder.set_last_update(&in_seconds(-DAY)).unwrap();
        builder.set_next_update(&in_seconds(until)).unwrap();
        let any = X509::builder().unwrap();
        let context = any.x509v3_context(Some(&self.certificate), None);
        let identifier = AuthorityKeyIdentifier::new().keyid(true).build(&context).unwrap();
        builder.append_extension(identifier).unwrap();
        let number = CrlNumber::new(BigNum::from_u32(1).unwrap()).unwrap();
        builder.append_extension(number.build().unwrap()).unwrap();
        for issued in revoked {
            let mut entry = X509RevokedBuilder::new().unwrap();
            entry.set_serial_number(issued.certificate.serial_number()).unwrap();
            entry.set_revocation_date(&in_seconds(-60)).unwrap();
            builder.add_revoked(entry.build()).unwrap();
        }
        builder.sign(&self.key, MessageDigest::sha256()).unwrap();
        let list: X509Crl = builder.build().unwrap();
        list.to_pem().unwrap()
    }

    pub(crate) fn pem(&self) -> Vec<u8> {
        self.certificate.to_pem().unwrap()
    }
}
