//! How the client is set up, and what of certificates and keys cannot be used.

use std::{error, fmt, time::Duration};

use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use super::{EndpointClient, connect};

/// Sets up an [`EndpointClient`]; made by [`EndpointClient::builder`].
///
/// ```no_run
/// use tower_reauth::EndpointClient;
///
/// let client = EndpointClient::builder()
///     .authority(std::fs::read("company-ca.pem")?)
///     .client_certificate(std::fs::read("client.pem")?, std::fs::read("client.key")?)
///     .build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a builder does nothing until `build`"]
pub struct EndpointClientBuilder {
    public: Public,
    authorities: Result<Vec<CertificateDer<'static>>, InvalidTls>,
    identity: Option<Result<Identity, InvalidTls>>,
    connect: Duration,
    loopback_http: bool,
}

/// Which authorities are trusted beside those of the program.
#[derive(Clone, Copy, Debug)]
enum Public {
    Mozilla,
    Platform,
    None,
}

struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

/// Long enough for a slow network, and far below the 30 s that a session listens for an answer: a
/// server that cannot be reached is known not to have spent anything.
pub(super) const CONNECT: Duration = Duration::from_secs(10);

impl EndpointClientBuilder {
    pub(super) fn new() -> Self {
        Self {
            public: Public::Mozilla,
            authorities: Ok(Vec::new()),
            identity: None,
            connect: CONNECT,
            loopback_http: false,
        }
    }

    /// Trust the authorities that the platform trusts, read when the client is
    /// [built](Self::build): where a company adds its own there.
    ///
    /// Default: Mozilla's list, compiled in.
    pub fn platform_authorities(mut self) -> Self {
        self.public = Public::Platform;
        self
    }

    /// Trust no authority but those given by [`authority`](Self::authority).
    ///
    /// Default: Mozilla's list too.
    pub fn no_public_authorities(mut self) -> Self {
        self.public = Public::None;
        self
    }

    /// Trust this authority too: one certificate as DER, or one or more as PEM.
    ///
    /// Default: none.
    pub fn authority(mut self, certificate: impl AsRef<[u8]>) -> Self {
        if let Ok(authorities) = &mut self.authorities {
            match certificates(certificate.as_ref(), Flaw::Authority) {
                Ok(more) => authorities.extend(more),
                Err(error) => self.authorities = Err(error),
            }
        }
        self
    }

    /// Show this certificate to servers that ask for one (RFC 8705): the chain, leaf first, as PEM, or
    /// the leaf alone as DER; and its private key, as PEM or as PKCS #8, PKCS #1 or SEC 1 DER.
    ///
    /// Default: none.
    pub fn client_certificate(mut self, chain: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Self {
        self.identity = Some(identity(chain.as_ref(), key.as_ref()));
        self
    }

    /// How long connecting may take, TLS included.
    ///
    /// Default: 10 s.
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.connect = limit;
        self
    }

    /// Allow plain `http` to this machine: `localhost`, `127.0.0.0/8` and `[::1]`. Other programs on it
    /// may listen there too.
    ///
    /// Default: `https` alone.
    pub fn allow_loopback_http(mut self) -> Self {
        self.loopback_http = true;
        self
    }

    /// The client. Nothing is connected before it is needed.
    ///
    /// # Errors
    ///
    /// [`InvalidTls`] if a certificate or key cannot be used, or the platform has no authorities.
    pub fn build(self) -> Result<EndpointClient, InvalidTls> {
        let mut roots = match self.public {
            Public::Mozilla => connect::mozilla(),
            Public::Platform | Public::None => RootCertStore::empty(),
        };
        if matches!(self.public, Public::Platform) {
            // Platforms hold a certificate or two that nobody can read.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                return Err(InvalidTls(Flaw::Platform));
            }
        }
        for authority in self.authorities? {
            roots.add(authority).map_err(|_| InvalidTls(Flaw::Authority))?;
        }
        if roots.is_empty() {
            return Err(InvalidTls(Flaw::NoAuthority));
        }
        let tls = connect::trusting(roots);
        let tls = match self.identity.transpose()? {
            Some(Identity { chain, key }) => {
                tls.with_client_auth_cert(chain, key).map_err(|_| InvalidTls(Flaw::Mismatch))?
            }
            None => tls.with_no_client_auth(),
        };
        Ok(EndpointClient::over(tls, self.connect, self.loopback_http))
    }
}

fn certificates(bytes: &[u8], flaw: Flaw) -> Result<Vec<CertificateDer<'static>>, InvalidTls> {
    if !is_pem(bytes) {
        return Ok(vec![CertificateDer::from(bytes.to_vec())]);
    }
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
    found.ok().filter(|found| !found.is_empty()).ok_or(InvalidTls(flaw))
}

fn identity(chain: &[u8], key: &[u8]) -> Result<Identity, InvalidTls> {
    let chain = certificates(chain, Flaw::Certificate)?;
    let key = if is_pem(key) {
        PrivateKeyDer::from_pem_slice(key).ok()
    } else {
        PrivateKeyDer::try_from(key.to_vec()).ok()
    };
    Ok(Identity { chain, key: key.ok_or(InvalidTls(Flaw::Key))? })
}

fn is_pem(bytes: &[u8]) -> bool {
    // Text may stand before the first section (RFC 7468 §2).
    bytes.windows(11).any(|window| window == b"-----BEGIN ")
}

impl fmt::Debug for EndpointClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointClientBuilder")
            .field("public_authorities", &self.public)
            .field("connect_timeout", &self.connect)
            .field("loopback_http", &self.loopback_http)
            .finish_non_exhaustive()
    }
}

/// A certificate or key that cannot be used, or no authority to trust.
///
/// It says what is wrong, and nothing of what it was made from.
///
/// ```
/// use tower_reauth::EndpointClient;
///
/// let error = EndpointClient::builder().authority("-----BEGIN CERTIFICATE-----").build();
/// assert!(error.unwrap_err().to_string().contains("authority"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidTls(Flaw);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    Authority,
    NoAuthority,
    Platform,
    Certificate,
    Key,
    Mismatch,
}

impl fmt::Display for InvalidTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Flaw::Authority => "an authority is a certificate, as PEM or as DER",
            Flaw::NoAuthority => "without public authorities, name one by `authority`",
            Flaw::Platform => "the platform's authorities cannot be read, or there are none",
            Flaw::Certificate => {
                "a client certificate is a chain of certificates, as PEM or as DER"
            }
            Flaw::Key => "a private key is PEM, or the DER of PKCS #8, PKCS #1 or SEC 1",
            Flaw::Mismatch => "the client certificate and its private key do not go together",
        })
    }
}

impl error::Error for InvalidTls {}

#[cfg(test)]
mod tests {
    use rcgen::generate_simple_self_signed;

    use super::*;

    fn flaw(builder: EndpointClientBuilder) -> Option<Flaw> {
        builder.build().err().map(|error| error.0)
    }

    fn builder() -> EndpointClientBuilder {
        EndpointClient::builder()
    }

    #[test]
    fn an_authority_is_pem_or_der() {
        let made = generate_simple_self_signed(["as.example".to_owned()]).unwrap();
        let (pem, der) = (made.cert.pem(), made.cert.der().to_vec());
        assert_eq!(flaw(builder().authority(&pem)), None);
        assert_eq!(flaw(builder().authority(format!("a comment\n{pem}{pem}"))), None);
        assert_eq!(flaw(builder().no_public_authorities().authority(&der)), None);
        for wrong in [
            "",
            "canary",
            "-----BEGIN CERTIFICATE-----",
            "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n",
            &made.signing_key.serialize_pem(),
        ] {
            assert_eq!(flaw(builder().authority(wrong)), Some(Flaw::Authority), "{wrong}");
            assert_eq!(flaw(builder().authority(wrong).authority(&der)), Some(Flaw::Authority));
        }
        assert_eq!(flaw(builder().no_public_authorities()), Some(Flaw::NoAuthority));
    }

    #[test]
    fn a_client_certificate_goes_with_its_key() {
        let made = generate_simple_self_signed(["app".to_owned()]).unwrap();
        let other = generate_simple_self_signed(["app".to_owned()]).unwrap();
        let (pem, der) = (made.cert.pem(), made.cert.der().to_vec());
        let key = made.signing_key.serialize_pem();
        assert_eq!(flaw(builder().client_certificate(&pem, &key)), None);
        assert_eq!(flaw(builder().client_certificate(der, made.signing_key.serialize_der())), None);
        let wrong = builder().client_certificate(&pem, other.signing_key.serialize_pem());
        assert_eq!(flaw(wrong), Some(Flaw::Mismatch));
        assert_eq!(flaw(builder().client_certificate(&pem, &pem)), Some(Flaw::Key));
        assert_eq!(flaw(builder().client_certificate(&pem, "canary")), Some(Flaw::Key));
        assert_eq!(flaw(builder().client_certificate(&key, &key)), Some(Flaw::Certificate));
    }

    #[test]
    fn nothing_shows_a_key() {
        let made = generate_simple_self_signed(["canary".to_owned()]).unwrap();
        let key = made.signing_key.serialize_pem();
        let builder = builder().client_certificate(made.cert.pem(), &key);
        assert!(!format!("{builder:?}").contains("canary"));
    }
}
