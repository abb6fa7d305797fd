// One authorization server of one test. It is driven by lines of JSON on standard input, `{"do": name, …}`, each
// answered by one line on standard output, and ends when its standard input does: when its owner is gone.
import http from 'node:http';
import https from 'node:https';
import { createInterface } from 'node:readline';

import { Conduct } from './conduct.mjs';

// The library's remarks on its development set-up. Standard output is for answers alone.
console.info = () => {};
console.warn = () => {};
const { configure } = await import('./provider.mjs');

// Expiry is judged by this clock, which `advance` moves on.
const realNow = Date.now;
let ahead = 0;
Date.now = () => realNow() + ahead;

const conduct = new Conduct();
let server;
let provider;

const commands = {
  // Listen on a free port, before the issuer is known: what stands in front of this server decides it.
  listen({ tls }) {
    server = tls
      ? https.createServer({ ...tls, requestCert: true, rejectUnauthorized: false })
      : http.createServer();
    // Nothing but the faults asked for may end a connection.
    server.keepAliveTimeout = 0;
    return new Promise((resolve) => {
      server.listen(0, '127.0.0.1', () => resolve({ port: server.address().port }));
    });
  },

  // Serve, as `issuer`.
  start(options) {
    const configured = configure(options, conduct);
    provider = configured.provider;
    server.on('request', provider.callback());
    return { assertionKey: configured.assertionKey };
  },

  // What a login yields: a grant, a refresh token and an access token.
  async mint({ client: clientId, scope, resource }) {
    const client = await provider.Client.find(clientId);
    const accountId = 'alice';
    const grant = new provider.Grant({ clientId, accountId });
    grant.addOIDCScope(scope);
    if (resource) grant.addResourceScope(resource, 'api:read api:write');
    const grantId = await grant.save();
    const shared = { accountId, client, grantId, gty: 'authorization_code', scope };
    const refresh = new provider.RefreshToken({ ...shared, resource, rotations: 0 });
    const access = new provider.AccessToken(shared);
    return {
      refresh_token: await refresh.save(),
      access_token: await access.save(),
      expires_in: access.expiration,
    };
  },

  // Forget an access token, and nothing else of its grant.
  async forget({ access_token: value }) {
    await (await provider.AccessToken.find(value)).destroy();
  },

  // The user of a device flow says yes.
  async approve({ user_code: userCode }) {
    const code = await provider.DeviceCode.findByUserCode(userCode.replace(/[^A-Z0-9]/g, ''));
    const { clientId, params: { scope } } = code;
    const grant = new provider.Grant({ clientId, accountId: 'alice' });
    grant.addOIDCScope(scope);
    Object.assign(code, { grantId: await grant.save(), accountId: 'alice', scope });
    await code.save();
  },

  // Let the server's clock run ahead by so many seconds more.
  advance({ seconds }) {
    ahead += seconds * 1000;
  },

  // Do this to the next request for `path`: see `conduct.mjs`.
  fault(fault) {
    conduct.plan(fault);
  },

  // Resolves once this many requests are held.
  held({ count }) {
    return conduct.held(count);
  },

  release() {
    conduct.release();
  },

  stats() {
    return conduct.stats;
  },
};

const lines = createInterface({ input: process.stdin });
lines.on('close', () => process.exit());
lines.on('line', async (line) => {
  const { do: name, ...options } = JSON.parse(line);
  let answer;
  try {
    answer = { ok: (await commands[name](options)) ?? null };
  } catch (error) {
    answer = { error: String(error?.stack ?? error) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
});
