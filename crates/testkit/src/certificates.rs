//! Certificates of every kind that a peer may present: a small authority whose leaves can be too
//! old, too young, revoked, of another authority or of nobody but themselves.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use openssl::asn1::{Asn1Integer, Asn1Time};
use openssl::bn::{BigNum, MsbOption};
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::symm::Cipher;
use openssl::x509::extension::{
    AuthorityKeyIdentifier, BasicConstraints, CrlNumber, ExtendedKeyUsage, KeyUsage,
    SubjectAlternativeName, SubjectKeyIdentifier,
};
use openssl::x509::{X509, X509Builder, X509CrlBuilder, X509Name, X509RevokedBuilder};

const DAY: i64 = 24 * 60 * 60;

/// Which keys are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// ECDSA on P-256.
    Ecdsa,
    /// RSA with 2048 bits.
    Rsa,
}

impl Keys {
    fn generate(self) -> PKey<Private> {
        match self {
            Self::Ecdsa => {
                let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).expect("a known curve");
                PKey::from_ec_key(EcKey::generate(&group).expect("a key")).expect("a key")
            }
            Self::Rsa => PKey::from_rsa(Rsa::generate(2048).expect("a key")).expect("a key"),
        }
    }
}

/// A certificate authority, root or below one.
#[derive(Debug)]
pub struct Authority {
    certificate: X509,
    key: PKey<Private>,
    /// The authorities between the root and this one, this one first; empty for a root.
    above: Vec<X509>,
}

/// What a leaf says about its holder, and how long it lives.
#[derive(Clone, Debug)]
pub struct Leaf {
    common_name: String,
    dns: Vec<String>,
    ip: Vec<IpAddr>,
    uri: Vec<String>,
    keys: Keys,
    /// Days from now.
    from: i64,
    until: i64,
}

/// A certificate with its key.
#[derive(Debug)]
pub struct Issued {
    certificate: X509,
    key: PKey<Private>,
    above: Vec<X509>,
}

impl Authority {
    /// A root that signs itself; `name` is its common name.
    ///
    /// # Panics
    /// If OpenSSL fails.
    #[must_use]
    pub fn root(name: &str, keys: Keys) -> Self {
        let key = keys.generate();
        let certificate = authority(name, &key, None);
        Self { certificate, key, above: Vec::new() }
    }

    /// An authority below this one.
    ///
    /// # Panics
    /// If OpenSSL fails.
    #[must_use]
    pub fn intermediate(&self, name: &str) -> Self {
        let key = Keys::Ecdsa.generate();
        let certificate = authority(name, &key, Some(self));
        let mut above = vec![certificate.clone()];
        above.extend(self.above.iter().cloned());
        Self { certificate, key, above }
    }

    /// A certificate as `leaf` says.
    ///
    /// # Panics
    /// If OpenSSL fails.
    #[must_use]
    pub fn issue(&self, leaf: &Leaf) -> Issued {
        let key = leaf.keys.generate();
        let certificate = leaf.sign(&key, Some(self));
        Issued { certificate, key, above: self.above.clone() }
    }

    /// The certificate, in PEM.
    ///
    /// # Panics
    /// If OpenSSL fails.
    #[must_use]
    pub fn pem(&self) -> Vec<u8> {
        self.certificate.to_pem().expect("PEM")
    }

    /// The certificate, in a file.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn write(&self, path: &Path) -> PathBuf {
        write(path, &self.pem());
        path.to_owned()
    }

    /// A list, in PEM, that says which of this authority's certificates are revoked.
    ///
    /// # Panics
    /// If OpenSSL fails.
    #[must_use]
    pub fn revocation_list(&self, revoked: &[&Issued]) -> Vec<u8> {
        self.revocation_list_until(revoked, 30)
    }

    /// The same, of which the next one is due in so many days (less than nought: overdue).
    ///
    /// # Panics
    /// If OpenSSL fails.
    #[must_use]
    pub fn revocation_list_until(&self, revoked: &[&Issued], next: i64) -> Vec<u8> {
        let mut list = X509CrlBuilder::new().expect("a list");
        list.set_issuer_name(self.certificate.subject_name()).expect("a name");
        list.set_last_update(&in_days(next.min(0) - 1)).expect("a time");
        list.set_next_update(&in_days(next)).expect("a time");
        let builder = X509::builder().expect("a builder");
        let context = builder.x509v3_context(Some(&self.certificate), None);
        let issuer = AuthorityKeyIdentifier::new().keyid(true).build(&context);
        list.append_extension(issuer.expect("an extension")).expect("an extension");
        let number = CrlNumber::new(BigNum::from_u32(1).expect("a number"));
        let number = number.expect("a number").build().expect("an extension");
        list.append_extension(number).expect("an extension");
        for issued in revoked {
            let mut entry = X509RevokedBuilder::new().expect("an entry");
            entry.set_serial_number(issued.certificate.serial_number()).expect("a number");
            entry.set_revocation_date(&in_days(-1)).expect("a time");
            list.add_revoked(entry.build()).expect("an entry");
        }
        list.sort().expect("a list");
        list.sign(&self.key, MessageDigest::sha256()).expect("a signature");
        list.build().expect("a list").to_pem().expect("PEM")
    }
}

impl Leaf {
    /// A certificate for `common_name`, without any other name, that lives for sixty days.
    #[must_use]
    pub fn new(common_name: &str) -> Self {
        Self {
            common_name: common_name.to_owned(),
            dns: Vec::new(),
            ip: Vec::new(),
            uri: Vec::new(),
            keys: Keys::Ecdsa,
            from: -1,
            until: 60,
        }
    }

    /// A certificate of a host: its name, and an address when it is met by that.
    #[must_use]
    pub fn host(name: &str, address: Option<IpAddr>) -> Self {
        let leaf = Self::new(name).dns(name);
        match address {
            Some(address) => leaf.ip(address),
            None => leaf,
        }
    }

    /// With a DNS name beside what it has.
    #[must_use]
    pub fn dns(mut self, name: &str) -> Self {
        self.dns.push(name.to_owned());
        self
    }

    /// With an address beside what it has.
    #[must_use]
    pub fn ip(mut self, address: IpAddr) -> Self {
        self.ip.push(address);
        self
    }

    /// With a URI beside what it has.
    #[must_use]
    pub fn uri(mut self, uri: &str) -> Self {
        self.uri.push(uri.to_owned());
        self
    }

    /// With a key of this kind.
    #[must_use]
    pub fn keys(mut self, keys: Keys) -> Self {
        self.keys = keys;
        self
    }

    /// Expired yesterday.
    #[must_use]
    pub fn expired(self) -> Self {
        self.valid(-30, -1)
    }

    /// Valid from tomorrow.
    #[must_use]
    pub fn not_yet_valid(self) -> Self {
        self.valid(1, 30)
    }

    /// Valid between these days from now.
    #[must_use]
    pub fn valid(mut self, from: i64, until: i64) -> Self {
        (self.from, self.until) = (from, until);
        self
    }

    /// A certificate that nobody signed but its holder.
    ///
    /// # Panics
    /// If OpenSSL fails.
    #[must_use]
    pub fn self_signed(&self) -> Issued {
        let key = self.keys.generate();
        Issued { certificate: self.sign(&key, None), key, above: Vec::new() }
    }

    fn sign(&self, key: &PKey<Private>, issuer: Option<&Authority>) -> X509 {
        let mut builder = certificate(&self.common_name, key, issuer, self.from, self.until);
        let constraints = BasicConstraints::new().critical().build();
        builder.append_extension(constraints.expect("an extension")).expect("an extension");
        let mut usage = KeyUsage::new();
        usage.critical().digital_signature();
        if self.keys == Keys::Rsa {
            // What key exchange without forward secrecy needs.
            usage.key_encipherment();
        }
        builder.append_extension(usage.build().expect("an extension")).expect("an extension");
        let usage = ExtendedKeyUsage::new().server_auth().client_auth().build();
        builder.append_extension(usage.expect("an extension")).expect("an extension");
        let mut names = SubjectAlternativeName::new();
        self.dns.iter().for_each(|name| _ = names.dns(name));
        self.ip.iter().for_each(|address| _ = names.ip(&address.to_string()));
        self.uri.iter().for_each(|uri| _ = names.uri(uri));
        if !(self.dns.is_empty() && self.ip.is_empty() && self.uri.is_empty()) {
            let issuer = issuer.map(|issuer| &*issuer.certificate);
            let names = names.build(&builder.x509v3_context(issuer, None));
            builder.append_extension(names.expect("an extension")).expect("an extension");
        }
        finish(builder, key, issuer)
    }
}

impl Issued {
    /// The certificate and the authorities between it and the root, in PEM.
    ///
    /// # Panics
    /// If OpenSSL fails.
    #[must_use]
    pub fn chain_pem(&self) -> Vec<u8> {
        let chain = std::iter::once(&self.certificate).chain(&self.above);
        chain.flat_map(|certificate| certificate.to_pem().expect("PEM")).collect()
    }

    /// The key, in PEM.
    ///
    /// # Panics
    /// If OpenSSL fails.
    #[must_use]
    pub fn key_pem(&self) -> Vec<u8> {
        self.key.private_key_to_pem_pkcs8().expect("PEM")
    }

    /// The key encrypted with a passphrase, in PEM.
    ///
    /// # Panics
    /// If OpenSSL fails.
    #[must_use]
    pub fn encrypted_key_pem(&self, passphrase: &str) -> Vec<u8> {
        let cipher = Cipher::aes_256_cbc();
        self.key.private_key_to_pem_pkcs8_passphrase(cipher, passphrase.as_bytes()).expect("PEM")
    }

    /// Both in files of `directory`: `<name>.pem` and `<name>-key.pem`.
    ///
    /// # Panics
    /// If they cannot be written.
    pub fn write(&self, directory: &Path, name: &str) -> (PathBuf, PathBuf) {
        let certificate = directory.join(format!("{name}.pem"));
        let key = directory.join(format!("{name}-key.pem"));
        write(&certificate, &self.chain_pem());
        write(&key, &self.key_pem());
        (certificate, key)
    }
}

fn write(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
}

fn authority(name: &str, key: &PKey<Private>, issuer: Option<&Authority>) -> X509 {
    let mut builder = certificate(name, key, issuer, -1, 300);
    let constraints = BasicConstraints::new().critical().ca().build();
    builder.append_extension(constraints.expect("an extension")).expect("an extension");
    let usage = KeyUsage::new().critical().key_cert_sign().crl_sign().build();
    builder.append_extension(usage.expect("an extension")).expect("an extension");
    finish(builder, key, issuer)
}

fn certificate(
    common_name: &str,
    key: &PKey<Private>,
    issuer: Option<&Authority>,
    from: i64,
    until: i64,
) -> X509Builder {
    let mut builder = X509::builder().expect("a builder");
    builder.set_version(2).expect("version 3");
    let mut serial = BigNum::new().expect("a number");
    serial.rand(120, MsbOption::MAYBE_ZERO, false).expect("random bits");
    let serial = Asn1Integer::from_bn(&serial).expect("a number");
    builder.set_serial_number(&serial).expect("a number");
    let mut name = X509Name::builder().expect("a name");
    name.append_entry_by_nid(Nid::COMMONNAME, common_name).expect("a name");
    let name = name.build();
    builder.set_subject_name(&name).expect("a name");
    let issuer = issuer.map_or(&*name, |issuer| issuer.certificate.subject_name());
    builder.set_issuer_name(issuer).expect("a name");
    builder.set_not_before(&in_days(from)).expect("a time");
    builder.set_not_after(&in_days(until)).expect("a time");
    builder.set_pubkey(key).expect("a key");
    builder
}

fn finish(mut builder: X509Builder, key: &PKey<Private>, issuer: Option<&Authority>) -> X509 {
    let above = issuer.map(|issuer| &*issuer.certificate);
    let subject = SubjectKeyIdentifier::new().build(&builder.x509v3_context(above, None));
    builder.append_extension(subject.expect("an extension")).expect("an extension");
    if above.is_some() {
        let context = builder.x509v3_context(above, None);
        let identifier = AuthorityKeyIdentifier::new().keyid(true).build(&context);
        builder.append_extension(identifier.expect("an extension")).expect("an extension");
    }
    let key = issuer.map_or(key, |issuer| &issuer.key);
    builder.sign(key, MessageDigest::sha256()).expect("a signature");
    builder.build()
}

fn in_days(days: i64) -> Asn1Time {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let now = i64::try_from(now).expect("a date");
    Asn1Time::from_unix(now + days * DAY).expect("a date")
}
