// The token requests of `oauth4webapi`, a certified client. For each `case` of the request on the command line it
// asks the endpoints below `{origin}/{case name}/`, whatever they answer.
import { createPrivateKey } from 'node:crypto';

import * as oauth from 'oauth4webapi';

const { issuer, origin, secret, key, kid, cases } = JSON.parse(process.argv[2]);
const der = createPrivateKey(key).export({ format: 'der', type: 'pkcs8' });
const algorithm = { name: 'ECDSA', namedCurve: 'P-256' };
const signing = await crypto.subtle.importKey('pkcs8', der, algorithm, false, ['sign']);

const authentications = {
  none: oauth.None(),
  basic: oauth.ClientSecretBasic(secret),
  post: oauth.ClientSecretPost(secret),
  private_key_jwt: oauth.PrivateKeyJwt({ key: signing, kid }),
};

const options = { [oauth.allowInsecureRequests]: true };

const requests = {
  refresh: (as, client, auth, { refresh_token: token, ...more }) =>
    oauth.refreshTokenGrantRequest(as, client, auth, token, {
      ...options,
      additionalParameters: more,
    }),
  client_credentials: (as, client, auth, parameters) =>
    oauth.clientCredentialsGrantRequest(as, client, auth, list(parameters), options),
  revocation: (as, client, auth, { token, ...more }) =>
    oauth.revocationRequest(as, client, auth, token, { ...options, additionalParameters: more }),
  device: async (as, client, auth, { device_code: code, ...parameters }) => {
    await oauth.deviceAuthorizationRequest(as, client, auth, list(parameters), options);
    await oauth.deviceCodeGrantRequest(as, client, auth, code, options);
  },
  generic: (as, client, auth, { grant_type: grantType, ...parameters }) =>
    oauth.genericTokenEndpointRequest(as, client, auth, grantType, list(parameters), options),
};

// A parameter with a list of values is sent once for each.
function list(parameters) {
  const entries = Object.entries(parameters);
  return entries.flatMap(([name, value]) => [value].flat().map((each) => [name, each]));
}

for (const { name, request, authentication, client_id: clientId, parameters } of cases) {
  const as = {
    issuer,
    token_endpoint: `${origin}/${name}/token`,
    revocation_endpoint: `${origin}/${name}/revoke`,
    device_authorization_endpoint: `${origin}/${name}/device`,
  };
  const client = { client_id: clientId };
  await requests[request](as, client, authentications[authentication], parameters);
}
