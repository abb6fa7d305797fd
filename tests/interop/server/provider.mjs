// The authorization server, with one client for each way of authentication, and an API that takes JWTs.
import { generateKeyPairSync, randomBytes, X509Certificate } from 'node:crypto';

import * as oauth from 'oauth4webapi';
import Provider from 'oidc-provider';

const secret = 's3cr:t%+ /~';
const jwtResource = 'urn:api';

// `issuer`: how clients know this server. `rotate`: `true` or `false`; absent, the server's own policy.
// `accessTtl`, `refreshTtl`: seconds. `clientCertificate`: PEM, of the client that authenticates by mutual TLS.
export function configure(options, conduct) {
  const { issuer, rotate, accessTtl = 3600, refreshTtl = 86400, clientCertificate } = options;
  const assertion = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const signing = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const jwk = (key, more) => ({ ...key.export({ format: 'jwk' }), use: 'sig', ...more });

  const user = {
    redirect_uris: ['https://client.example/callback'],
    grant_types: [
      'authorization_code',
      'refresh_token',
      'urn:ietf:params:oauth:grant-type:device_code',
    ],
    response_types: ['code'],
  };
  const machine = { redirect_uris: [], response_types: [], grant_types: ['client_credentials'] };
  const clients = [
    { ...user, client_id: 'pub', token_endpoint_auth_method: 'none' },
    { ...user, client_id: 'basic', client_secret: secret, token_endpoint_auth_method: 'client_secret_basic' },
    { ...user, client_id: 'post', client_secret: secret, token_endpoint_auth_method: 'client_secret_post' },
    {
      ...user,
      client_id: 'pkjwt',
      token_endpoint_auth_method: 'private_key_jwt',
      token_endpoint_auth_signing_alg: 'ES256',
      jwks: { keys: [jwk(assertion.publicKey, { alg: 'ES256', kid: 'assertion' })] },
    },
    { ...machine, client_id: 'svc', client_secret: secret, token_endpoint_auth_method: 'client_secret_basic' },
    {
      ...machine,
      client_id: 'svc-pkjwt',
      token_endpoint_auth_method: 'private_key_jwt',
      token_endpoint_auth_signing_alg: 'ES256',
      jwks: { keys: [jwk(assertion.publicKey, { alg: 'ES256', kid: 'assertion' })] },
    },
  ];
  if (clientCertificate) {
    const certificate = new X509Certificate(clientCertificate);
    const x5c = [certificate.raw.toString('base64')];
    clients.push({
      ...user,
      client_id: 'mtls',
      token_endpoint_auth_method: 'self_signed_tls_client_auth',
      tls_client_certificate_bound_access_tokens: true,
      jwks: { keys: [jwk(certificate.publicKey, { x5c })] },
    });
  }

  const provider = new Provider(issuer, {
    clients,
    // Fifteen seconds by default, for which expired tokens would be taken.
    clockTolerance: 0,
    cookies: { keys: [randomBytes(16).toString('hex')] },
    jwks: { keys: [jwk(signing.privateKey, { alg: 'RS256', kid: 'signing' })] },
    scopes: ['openid', 'offline_access', 'api:read', 'api:write'],
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
    issueRefreshToken: (_, client) => client.grantTypeAllowed('refresh_token'),
    ...(rotate === undefined ? {} : { rotateRefreshToken: rotate }),
    ttl: {
      AccessToken: accessTtl,
      ClientCredentials: accessTtl,
      RefreshToken: refreshTtl,
      Grant: 86400,
      DeviceCode: 600,
      IdToken: 3600,
    },
    clientAuthMethods: [
      'client_secret_basic',
      'client_secret_post',
      'private_key_jwt',
      'none',
      ...(clientCertificate ? ['self_signed_tls_client_auth'] : []),
    ],
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      revocation: { enabled: true },
      deviceFlow: { enabled: true },
      ...(clientCertificate && {
        mTLS: {
          enabled: true,
          certificateBoundAccessTokens: true,
          selfSignedTlsClientAuth: true,
          getCertificate: (ctx) => ctx.socket.getPeerX509Certificate(),
        },
      }),
      resourceIndicators: {
        enabled: true,
        defaultResource: () => undefined,
        useGrantedResource: () => true,
        getResourceServerInfo: (_, resource) => ({
          scope: 'api:read api:write',
          audience: resource,
          accessTokenTTL: accessTtl,
          accessTokenFormat: 'jwt',
          jwt: { sign: { alg: 'RS256' } },
        }),
      },
    },
  });
  // The server in front of it, where there is one, ends TLS.
  provider.proxy = true;
  provider.on('grant.revoked', () => {
    conduct.stats.revoked += 1;
  });
  provider.on('server_error', (_, error) => console.error(error));
  provider.use((ctx, next) => conduct.around(ctx, next));
  provider.use(api(issuer, { keys: [jwk(signing.publicKey, { alg: 'RS256', kid: 'signing' })] }));

  const assertionKey = assertion.privateKey.export({ format: 'pem', type: 'pkcs8' });
  return { provider, assertionKey };
}

// `/api`: a resource server for JWT access tokens (RFC 9068), as oauth4webapi judges them.
function api(issuer, jwks) {
  const as = { issuer, jwks_uri: `${issuer}/jwks` };
  const options = {
    [oauth.allowInsecureRequests]: true,
    // Thirty seconds by default.
    [oauth.clockTolerance]: 0,
    [oauth.customFetch]: async () => Response.json(jwks),
  };
  return async (ctx, next) => {
    if (ctx.path !== '/api') return next();
    try {
      const request = new Request(new URL(ctx.url, issuer), { headers: ctx.req.headers });
      const claims = await oauth.validateJwtAccessToken(as, request, jwtResource, options);
      ctx.body = { sub: claims.sub };
    } catch (error) {
      ctx.status = 401;
      ctx.set('www-authenticate', 'Bearer realm="api", error="invalid_token"');
      ctx.body = { error: error.code ?? String(error) };
    }
    return undefined;
  };
}
