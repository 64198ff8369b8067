//! Every error that TLS may end with is told in words.

use rustls::{AlertDescription, CertificateError, OtherError};

use super::*;

#[derive(Debug)]
struct Named(&'static str);

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Named {}

#[test]
fn every_error_of_tls_is_told_in_words_with_what_to_do() {
    use CertificateError as Cert;
    use rustls::Error::*;
    let certificates = [
        Cert::BadEncoding,
        Cert::Expired,
        Cert::NotValidYet,
        Cert::Revoked,
        Cert::UnhandledCriticalExtension,
        Cert::UnknownIssuer,
        Cert::UnknownRevocationStatus,
        Cert::ExpiredRevocationList,
        Cert::BadSignature,
        Cert::UnsupportedSignatureAlgorithmContext {
            signature_algorithm_id: vec![1],
            supported_algorithms: Vec::new(),
        },
        Cert::NotValidForName,
        Cert::NotValidForNameContext {
            expected: "a.example".try_into().unwrap(),
            presented: vec!["b.example".into()],
        },
        Cert::InvalidPurpose,
        Cert::InvalidOcspResponse,
        Cert::ApplicationVerificationFailure,
        Cert::Other(OtherError(std::sync::Arc::new(Named("whatever")))),
    ];
    let alerts = (0..=u8::MAX).map(AlertDescription::from);
    let others = [
        InvalidMessage(rustls::InvalidMessage::InvalidContentType),
        NoCertificatesPresented,
        UnsupportedNameType,
        DecryptError,
        EncryptError,
        PeerSentOversizedRecord,
        NoApplicationProtocol,
        BadMaxFragmentSize,
        FailedToGetCurrentTime,
        FailedToGetRandomBytes,
        General("NoServerCertVerifier".into()),
        PeerIncompatible(rustls::PeerIncompatible::NoCipherSuitesInCommon),
        PeerIncompatible(rustls::PeerIncompatible::ServerDoesNotSupportTls12Or13),
        PeerMisbehaved(rustls::PeerMisbehaved::IncorrectBinder),
        InappropriateMessage {
            expect_types: Vec::new(),
            got_type: rustls::ContentType::Alert,
        },
    ];
    let all = certificates.into_iter().map(InvalidCertificate);
    for error in all.chain(alerts.map(AlertReceived)).chain(others) {
        let words = describe(&Error::Rustls(error.clone()));
        let is_joined = |two: &[u8]| two[0].is_ascii_lowercase() && two[1].is_ascii_uppercase();
        assert!(
            !words.as_bytes().windows(2).any(is_joined),
            "{error:?}: {words}"
        );
        assert!(
            !words.contains("unknown(0x") && words.len() > 20,
            "{error:?}: {words}"
        );
    }
}

#[test]
fn only_what_a_server_says_of_a_clients_certificate_proves_that_nothing_was_processed() {
    let proves =
        |alert| lacks_client_certificate(&Error::Rustls(rustls::Error::AlertReceived(alert)));
    use AlertDescription::*;
    assert!(proves(CertificateRequired) && proves(BadCertificate) && proves(UnknownCA));
    for alert in [
        HandshakeFailure,
        InternalError,
        DecryptError,
        AccessDenied,
        CloseNotify,
    ] {
        assert!(!proves(alert), "{alert:?}");
    }
    assert!(!lacks_client_certificate(&Error::ConnectionFailed));
}
