//! The cluster's certificate authority: names, issuing, identities in certificates.
