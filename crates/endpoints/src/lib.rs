//! What master and agent answer alike over HTTP: routes as data, media types, errors, files, metrics.
