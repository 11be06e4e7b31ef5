// Preloaded into the gateway (node --require ./loopback.cjs ...), to keep it on
// this machine and under the control of the test that started it.
'use strict';
const net = require('node:net');
const tls = require('node:tls');

// The gateway listens on all interfaces and has no option for that. With port 0
// the system chooses a free one, so the test is told which it was; on stderr,
// because the gateway draws its progress on stdout.
const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (...args) {
  const port = typeof args[0] === 'object' ? args[0].port : args[0];
  const callback = args.find((arg) => typeof arg === 'function');
  this.once('listening', () => console.error(`loopback: listening on http://127.0.0.1:${this.address().port}`));
  return listen.call(this, { port, host: '127.0.0.1' }, callback);
};

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
