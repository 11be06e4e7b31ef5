// Preloaded into the gateway (node --require ./loopback.cjs ...), to keep it on
// this machine and under the control of the test that started it.
'use strict';
const tls = require('node:tls');

require('../gateway/loopback.cjs');

// A provider elsewhere is never called. The server at LOOPBACK_PROVIDER answers in its
// place, or else a response that shows the request that the gateway would have sent.
const provider = process.env.LOOPBACK_PROVIDER;
const fetch = globalThis.fetch;
globalThis.fetch = async (input, init) => {
  const url = new URL(input.url ?? input);
  if (url.hostname === '127.0.0.1') return fetch(input, init);
  if (provider) return fetch(provider + url.pathname + url.search, init);
  const { method = 'GET', headers, body } = init ?? {};
  const message = `loopback: not called: ${method} ${url}`;
  const error = { message, type: 'loopback', code: 421 };
  return Response.json({ message, error, headers, body }, { status: 421 });
};

// A WebSocket to a provider does not use fetch.
tls.connect = ({ host }) => {
  throw new Error(`loopback: not connected: ${host}`);
};

// The test holds our stdin. However it ends, that closes, and so do we.
process.stdin.on('end', () => process.exit()).resume();
