// Preloaded into the gateway that gateway_test.go starts: calls to OpenAI reach the
// server of the test instead.
'use strict';
const fetch = globalThis.fetch;
globalThis.fetch = (input, init) => {
  const { origin, pathname, search } = new URL(input.url ?? input);
  if (origin !== 'https://api.openai.com') throw new Error(`not called: ${origin}`);
  return fetch(process.env.OPENAI_SERVER + pathname + search, init);
};

// NODE_OPTIONS loads this into npm as well. The gateway ends when the test does.
if (process.argv[1]?.endsWith('start-server.js')) process.stdin.on('end', () => process.exit()).resume();
