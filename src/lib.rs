//! Silent token refresh for any tower- or hyper-based HTTP client.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]
