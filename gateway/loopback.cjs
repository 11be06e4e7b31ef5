// Preloaded by "npm start". The gateway asks its callers for no credential, listens on
// all interfaces, and has no option for the address. This binds it to 127.0.0.1 and
// prints the port, which --port=0 leaves to the system.
'use strict';
const net = require('node:net');

const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (...args) {
  const port = typeof args[0] === 'object' ? args[0].port : args[0];
  const callback = args.find((arg) => typeof arg === 'function');
  // On stdout, the gateway draws its progress.
  this.once('listening', () => console.error(`listening on http://127.0.0.1:${this.address().port}`));
  return listen.call(this, { port, host: '127.0.0.1' }, callback);
};
