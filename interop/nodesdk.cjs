// Runs the official Node SDK's createHeaders, for the test that compares its
// headers with the library's: reads a JSON list of parameter objects from stdin,
// and writes the list of what it makes of each to stdout.
'use strict';
const { readFileSync } = require('node:fs');
const { createHeaders } = require('portkey-ai');

const cases = JSON.parse(readFileSync(0, 'utf8'));
process.stdout.write(JSON.stringify(cases.map((params) => createHeaders(params))));
