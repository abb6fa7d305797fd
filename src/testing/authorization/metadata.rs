//! Authorization server metadata (RFC 8414).

use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::{
    AuthorizationServer,
    clients::{JWT_BEARER, TOKEN_EXCHANGE},
    device::DEVICE_CODE,
    endpoint::json_answer,
};
use crate::testing::ResponseBody;

impl AuthorizationServer {
    pub(super) fn metadata(&self) -> Response<ResponseBody> {
        let mut state = self.state();
        state.counts.metadata_requests += 1;
        let issuer = state.settings.issuer.clone();
        let beneath = |name: &str| Value::from(format!("{issuer}/{name}"));
        let members = [
            ("issuer", issuer.clone().into()),
            ("token_endpoint", beneath(&state.settings.token_name)),
            ("revocation_endpoint", beneath("revoke")),
            ("device_authorization_endpoint", beneath("device")),
            ("grant_types_supported", {
                json!([
                    "refresh_token",
                    "client_credentials",
                    DEVICE_CODE,
                    JWT_BEARER,
                    TOKEN_EXCHANGE
                ])
            }),
            ("response_types_supported", json!([])),
            ("token_endpoint_auth_methods_supported", {
                json!(["none", "client_secret_basic", "client_secret_post", "private_key_jwt"])
            }),
        ];
        json_answer(
            StatusCode::OK,
            members.map(|(name, value)| (name.into(), value)).into_iter().collect(),
        )
    }

    /// The requests for metadata, at whichever address.
    #[must_use]
    pub fn metadata_requests(&self) -> usize {
        self.state().counts.metadata_requests
    }

    /// Give the token endpoint another name, the last segment of its path. There is nothing at the old
    /// one any more.
    ///
    /// Default: `token`.
    pub fn move_token_endpoint(&self, name: &str) {
        self.state().settings.token_name = name.into();
    }
}
