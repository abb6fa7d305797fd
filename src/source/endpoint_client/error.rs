//! Why an exchange failed, without a word that somebody else wrote.

use std::{error, fmt, io, iter};

use hyper_util::client::legacy;
use rustls::{AlertDescription, CertificateError};

use super::connect::ConnectTimeout;

/// Why an [`EndpointClient`](super::EndpointClient) has no answer.
///
/// It carries nothing that a server wrote, and no part of the request or its URI. A grant understands
/// it, at whatever depth of an error chain it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndpointClientError(Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    PlainHttp,
    NotConnected(Option<io::ErrorKind>),
    ConnectTimeout,
    Certificate(Flaw),
    ClientCertificate,
    Tls,
    /// The connection was closed before a byte of the request was written.
    NotStarted,
    Lost(Option<io::ErrorKind>),
}

/// What is wrong with the server's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    Authority,
    Host,
    Time,
    Other,
}

impl EndpointClientError {
    pub(super) fn of(error: &legacy::Error) -> Self {
        // A server may only say after its own part of the handshake that it refuses the certificate
        // (RFC 8446 §4.4.2.4), and a handshake that fails never lets a request through.
        if let Some(alert) = chain(error).find_map(tls).and_then(refused_certificate) {
            return alert.into();
        }
        if error.is_connect() {
            return unconnected(error).into();
        }
        // hyper hands such a request back unwritten.
        let canceled = |cause: &(dyn error::Error + 'static)| {
            cause.downcast_ref().is_some_and(hyper::Error::is_canceled)
        };
        if chain(error).any(canceled) {
            return Kind::NotStarted.into();
        }
        Kind::Lost(io_kind(error)).into()
    }

    pub(super) fn cut(error: &hyper::Error) -> Self {
        Kind::Lost(io_kind(error)).into()
    }

    /// The server got no byte of the request, or refused the handshake: nothing can have been spent.
    #[must_use]
    pub fn is_not_sent(&self) -> bool {
        !matches!(self.0, Kind::Lost(_))
    }

    /// The server's certificate is not to be trusted, not for this host, or not valid now.
    #[must_use]
    pub fn is_certificate(&self) -> bool {
        matches!(self.0, Kind::Certificate(_))
    }

    /// The server wants a client certificate, or another one (RFC 8705).
    #[must_use]
    pub fn is_client_certificate(&self) -> bool {
        self.0 == Kind::ClientCertificate
    }

    /// The URI is plain `http`, to another machine or without
    /// [leave](super::EndpointClientBuilder::allow_loopback_http).
    #[must_use]
    pub fn is_plain_http(&self) -> bool {
        self.0 == Kind::PlainHttp
    }
}

impl From<Kind> for EndpointClientError {
    fn from(kind: Kind) -> Self {
        Self(kind)
    }
}

fn unconnected(error: &legacy::Error) -> Kind {
    if chain(error).any(|cause| cause.is::<ConnectTimeout>()) {
        return Kind::ConnectTimeout;
    }
    match chain(error).find_map(tls) {
        Some(rustls::Error::InvalidCertificate(flaw)) => Kind::Certificate(match flaw {
            CertificateError::UnknownIssuer => Flaw::Authority,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Flaw::Host
            }
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => Flaw::Time,
            _ => Flaw::Other,
        }),
        Some(_) => Kind::Tls,
        None => Kind::NotConnected(io_kind(error)),
    }
}

fn refused_certificate(error: &rustls::Error) -> Option<Kind> {
    let rustls::Error::AlertReceived(alert) = error else { return None };
    let refused = matches!(
        alert,
        AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
    );
    refused.then_some(Kind::ClientCertificate)
}

fn io_kind(error: &(dyn error::Error + 'static)) -> Option<io::ErrorKind> {
    // An outer one is often a wrapper, of kind `Other`.
    chain(error).filter_map(|cause| Some(cause.downcast_ref::<io::Error>()?.kind())).last()
}

fn tls<'a>(cause: &'a (dyn error::Error + 'static)) -> Option<&'a rustls::Error> {
    cause.downcast_ref()
}

/// The error and all beneath it. `io::Error::source` skips the error that it wraps.
fn chain<'a>(
    error: &'a (dyn error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn error::Error + 'static)> {
    iter::successors(Some(error), |error| {
        match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(wrapped) => Some(wrapped as _),
            None => error.source(),
        }
    })
}

impl fmt::Display for EndpointClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::PlainHttp => {
                "plain `http` is not allowed, but to this machine by `allow_loopback_http`"
            }
            Kind::NotConnected(_) => "there is no connection to the server",
            Kind::ConnectTimeout => "connecting to the server took too long",
            Kind::Certificate(Flaw::Authority) => {
                "no trusted authority stands for the server's certificate"
            }
            Kind::Certificate(Flaw::Host) => "the server's certificate is for another host",
            Kind::Certificate(Flaw::Time) => {
                "the server's certificate has expired or is not valid yet"
            }
            Kind::Certificate(Flaw::Other) => "the server's certificate is not valid",
            Kind::ClientCertificate => "the server does not accept the client's certificate",
            Kind::Tls => "the TLS handshake failed",
            Kind::NotStarted => "the connection was closed before the request was sent",
            Kind::Lost(_) => "the connection was lost before the answer was there",
        })?;
        match self.0 {
            Kind::NotConnected(Some(kind)) | Kind::Lost(Some(kind)) => write!(f, ": {kind}"),
            _ => Ok(()),
        }
    }
}

impl error::Error for EndpointClientError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_lost_exchange_may_have_been_processed() {
        for (kind, not_sent) in [
            (Kind::PlainHttp, true),
            (Kind::NotConnected(Some(io::ErrorKind::ConnectionRefused)), true),
            (Kind::ConnectTimeout, true),
            (Kind::Certificate(Flaw::Authority), true),
            (Kind::ClientCertificate, true),
            (Kind::Tls, true),
            (Kind::NotStarted, true),
            (Kind::Lost(None), false),
            (Kind::Lost(Some(io::ErrorKind::ConnectionReset)), false),
        ] {
            let error = EndpointClientError::from(kind);
            assert_eq!(error.is_not_sent(), not_sent, "{error}");
        }
    }

    #[test]
    fn what_an_io_error_wraps_is_found() {
        let tls_error = rustls::Error::AlertReceived(AlertDescription::CertificateRequired);
        let wrapped = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, tls_error));
        assert!(chain(&wrapped).find_map(tls).and_then(refused_certificate).is_some());
        assert_eq!(io_kind(&wrapped), Some(io::ErrorKind::InvalidData));
    }
}
